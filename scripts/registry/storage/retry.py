"""When a failed request is sent again."""

import random
import time
from collections.abc import Iterator

RETRY_SECONDS = 30.0  # since the first attempt, after which no other begins
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds between attempts, at most; the delay is drawn from 0 to that


def delays() -> Iterator[float]:
    """Seconds to wait before each attempt, drawn from a growing range, so that many clients do not return together.

    There is a second attempt however long the first took: it may have timed out.
    """
    start, longest = time.monotonic(), FIRST_DELAY
    yield 0
    yield random.uniform(0, longest)  # noqa: S311 - no secret
    while time.monotonic() - start < RETRY_SECONDS:
        yield random.uniform(0, longest)  # noqa: S311 - no secret
        longest = min(2 * longest, LONGEST_DELAY)
