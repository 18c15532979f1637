"""The one progress bar: on stderr, only on a terminal, and only for what takes longer than two seconds.

The Git hooks set REGISTRY_PROGRESS=lines: what takes longer is told by lines, too, where there is no terminal.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from threading import Event, Thread
from typing import TYPE_CHECKING, Never

from registry.console import say

if TYPE_CHECKING:
    from tqdm import tqdm

DELAY = 2  # seconds before anything is shown
INTERVAL = 10  # seconds between two lines
MIN_INTERVAL = 1  # seconds between two looks at the clock

Progress = Callable[[int, int], None]  # called with how many more objects and bytes are done


@contextmanager
def bar(what: str, total: int, size: int = 0) -> Iterator[Progress]:
    """Count objects, or bytes where their `size` is known; gives the function to call with each progress.

    A `total` of 0 is unknown. The other of the two numbers is shown beside the bar.
    """
    with _bar(what, "B" if size else "object", size or total) as shown:
        done = moved = 0

        def advance(objects: int, more: int) -> None:
            nonlocal done, moved
            done, moved = done + objects, moved + more
            beside = f"{done:,} of {total:,} objects" if size else f"{moved / 1e6:,.1f} MB" if moved else ""
            shown.set_postfix_str(beside, refresh=False)
            shown.update(more if size else objects)

        yield advance


@contextmanager
def counter(what: str, unit: str, total: int = 0) -> Iterator[Callable[[int], None]]:
    """Count units, such as rows or bytes (`B`); gives the function to call with how many more are done."""
    with _bar(what, unit, total) as shown:

        def advance(more: int) -> None:
            shown.update(more)

        yield advance


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show for how long something has been waited for that does not tell how far it is."""
    done = Event()
    with _bar(what, "", 0) as shown:
        shown.bar_format = "{desc}: {elapsed}"

        def show() -> None:
            seconds = DELAY
            while not done.wait(seconds):
                shown.update(0)  # and not `refresh`, after which nothing would be cleared at the end
                seconds = 1

        watching = Thread(target=show, daemon=True)
        if not shown.disable:
            watching.start()
        try:
            yield
        finally:
            done.set()
            if not shown.disable:
                watching.join()


class _Lines(StringIO):
    """Where a bar is written in lines: its first state, then one in INTERVAL."""

    def __init__(self) -> None:
        super().__init__()
        self._due = 0.0

    def write(self, text: str) -> int:
        """Print a state on stderr; blanks remove a bar."""
        if (state := text.strip()) and time.monotonic() >= self._due:
            self._due = time.monotonic() + INTERVAL
            say(f"registry: {state}", err=True)
        return len(text)


def _bar(what: str, unit: str, total: int) -> "tqdm[Never]":
    from tqdm import tqdm  # only here: most commands, and every hook, end without a bar

    of_bytes = unit == "B"
    common = partial(tqdm, desc=what, total=total or None, unit=unit, unit_scale=of_bytes, delay=DELAY, leave=False)
    if os.environ.get("REGISTRY_PROGRESS") != "lines" or sys.stderr.isatty():
        return common(disable=None)
    return common(file=_Lines(), mininterval=MIN_INTERVAL, miniters=1, ncols=0)
