"""The results of transfers and audits: the state of each object."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import polars as pl
from polars import DataFrame


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


SCHEMA = pl.Schema({"md5": pl.String(), "moved": pl.Int64(), "state": pl.Enum([state.value for state in ObjectState])})


def to_frame(results: Iterable[ObjectResult]) -> DataFrame:
    """Results as a frame: columns md5, moved (bytes) and state, sorted by md5."""
    return DataFrame(list(results), SCHEMA, orient="row").sort("md5")
