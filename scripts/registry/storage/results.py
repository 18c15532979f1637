"""The results of transfers and audits as frames."""

from collections.abc import Iterable

import polars as pl
from polars import DataFrame

from registry.storage.states import ObjectResult, ObjectState

SCHEMA = pl.Schema({"md5": pl.String(), "moved": pl.Int64(), "state": pl.Enum([state.value for state in ObjectState])})


def to_frame(results: Iterable[ObjectResult]) -> DataFrame:
    """Results as a frame: columns md5, moved (bytes) and state, sorted by md5."""
    return DataFrame(list(results), SCHEMA, orient="row").sort("md5")
