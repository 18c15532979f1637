"""Values that live as long as their process: what a worker unpickles with each task, and what it knows, is kept."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import TypeVar, cast

Made = TypeVar("Made")

_made: dict[tuple[Hashable, ...], object] = {}
_lock = Lock()


def once(make: Callable[..., Made], *arguments: Hashable) -> Made:
    """What `make` gives for these arguments, made once in this process; threads wait for each other.

    For `__reduce__`: a store or copier that comes with each of many tasks would otherwise be opened for each (50 ms for
    two buckets), log in again, and forget which folders it has tidied up.
    """
    key = (make, *arguments)
    with _lock:
        if key not in _made:
            _made[key] = make(*arguments)
        return cast("Made", _made[key])
