"""A bar on stderr for the moving of objects that takes longer than two seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.storage import Progress


@contextmanager
def bar(what: str, total: int) -> "Iterator[Progress]":
    """Gives the function to call with how many more objects and bytes are done; silent where stderr is no terminal."""
    from tqdm import tqdm

    with tqdm(desc=what, total=total, unit="object", unit_scale=True, delay=2, disable=None, leave=False) as shown:
        moved = 0

        def advance(objects: int, size: int) -> None:
            nonlocal moved
            moved += size
            shown.set_postfix_str(f"{moved / 1e6:,.1f} MB", refresh=False)
            shown.update(objects)

        yield advance
