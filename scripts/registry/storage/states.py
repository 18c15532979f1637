"""The state of each object after a transfer or an audit; `results` has frames of them."""

from enum import StrEnum
from typing import NamedTuple


class ObjectState(StrEnum):
    """The state of an object after a transfer or an audit.

    `skipped` is a `.dir` object that was not copied because an object is missing or corrupt.
    """

    COPIED = "copied"
    PRESENT = "present"
    MISSING = "missing"
    CORRUPT = "corrupt"
    SKIPPED = "skipped"

    @property
    def is_stored(self) -> bool:
        """Whether the destination has the object."""
        return self in STORED


STORED = (ObjectState.COPIED, ObjectState.PRESENT)


class ObjectResult(NamedTuple):
    """One object: `moved` is the number of bytes that were read here, 0 where the store proved or copied it itself."""

    md5: str
    moved: int
    state: ObjectState
