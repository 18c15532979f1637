"""A table of what was computed before, in one Parquet file. Losing the file costs time alone."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import polars as pl
from polars.datatypes import DataType, DataTypeClass

from registry.core.atomic_write import write_atomically

Schema = Mapping[str, DataTypeClass | DataType]


def read(path: Path, schema: Schema) -> pl.DataFrame:
    """All rows; none where the file is missing, damaged or of another schema."""
    try:
        rows = pl.read_parquet(BytesIO(path.read_bytes()))
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return pl.DataFrame(schema=dict(schema))
    return rows if rows.schema == schema else pl.DataFrame(schema=dict(schema))


def add(path: Path, rows: pl.DataFrame, schema: Schema, key: Sequence[str]) -> pl.DataFrame:
    """Write the rows in front of those that are cached, one for each `key`; returns all. Raises StorageFailed."""
    out = BytesIO()
    merged = pl.concat([rows, read(path, schema)]).unique(key, keep="first", maintain_order=True)
    merged.write_parquet(out, compression="zstd", compression_level=1)
    write_atomically(path, out.getvalue())
    return merged
