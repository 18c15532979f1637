"""A bar on stderr for the moving of objects that takes longer than two seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]  # told how many more objects and bytes are done


@contextmanager
def bar(what: str, total: int, size: int = 0) -> Iterator[Progress]:
    """Gives the function to call with how many more objects and bytes are done; silent where stderr is no terminal.

    The bar counts objects; where `size`, all bytes together, is known, it counts bytes, and names the objects beside.
    """
    from tqdm import tqdm

    units = {"total": size, "unit": "B"} if size else {"total": total, "unit": "object"}
    with tqdm(desc=what, **units, unit_scale=True, delay=2, disable=None, leave=False) as shown:
        done = moved = 0

        def advance(objects: int, more: int) -> None:
            nonlocal done, moved
            done, moved = done + objects, moved + more
            beside = f"{done:,} of {total:,} objects" if size else f"{moved / 1e6:,.1f} MB"
            shown.set_postfix_str(beside, refresh=False)
            shown.update(more if size else objects)

        yield advance
