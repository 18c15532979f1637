"""Parquet tables: exports as texts, and the registry's own tables, read after their footer has been judged.

Only the columns that are asked for are read.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import polars as pl

from registry.dataset import column_types, parquet_footer
from registry.dataset.export_files import MAX_CELL, MAX_COLUMNS, ROW, Table, panics_as_errors, require_headers
from registry.errors import Refused

Stored = bytes | Path  # a whole file, or where it lies


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """An exported Parquet file, whose footer has been judged."""

    path: Path
    name: str
    footer: parquet_footer.Footer
    schema: pl.Schema
    timezone: str | None = None  # a column of the file says whether its times have one

    @property
    def headers(self) -> tuple[str, ...]:
        """See `TableFile.headers`."""
        return tuple(self.schema.names())

    def read(self, wanted: Sequence[str]) -> Table:
        """See `TableFile.read`."""
        parquet_footer.require_columns(self.footer, wanted, self.name)
        rows = pl.scan_parquet(self.path, glob=False)
        _require_short(rows, _texts(wanted, self.schema), self.name)
        faults = {header: _describe(dtype) for header in wanted if not _has_text(dtype := self.schema[header])}
        texts = [
            pl.lit(None, pl.String).alias(header) if header in faults else column_types.as_text(header, dtype)
            for header, dtype in self.schema.items()
            if header in wanted
        ]
        plain = [header for header, dtype in self.schema.items() if dtype.is_numeric()]
        return Table(rows.select(texts).with_row_index(ROW, offset=1), column_faults=faults, plain=plain)


@panics_as_errors()
def open_file(path: Path, name: str) -> ParquetFile:
    """The file with its footer and schema. Raises Refused, and OSError where it cannot be read."""
    with path.open("rb") as file:
        footer = parquet_footer.read(file, name)
    schema = pl.scan_parquet(path, glob=False).collect_schema()
    require_headers(schema.names(), name)
    return ParquetFile(path, name, footer, schema)


@panics_as_errors()
def read_table(
    data: bytes,
    name: str,
    *,
    wanted: Callable[[str], bool] = lambda _: True,
    at_most: int = parquet_footer.MAX_ROWS,
    fix: str = "registry select",
) -> pl.DataFrame:
    """The `wanted` columns of a Parquet table of the registry; `at_most` are the rows that another file says it has.

    Raises as `open_table` and `StoredTable.read`.
    """
    table = open_table(data, name, wanted=wanted, at_most=at_most, fix=fix)
    return table.read(table.columns)


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A Parquet table of the registry, whose footer has been judged; `columns` are those that were asked for."""

    name: str
    columns: tuple[str, ...]
    rows: int
    fix: str
    _scanned: pl.LazyFrame

    @panics_as_errors()
    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some of the columns. Raises Refused where there are other rows than the footer says, or values are too long,
        and PolarsError where the file is damaged.
        """
        _require_short(self._scanned, _texts(columns, self._scanned.collect_schema()), self.name)
        found = self._scanned.select(columns).collect()
        if columns and found.height != self.rows:
            fault = f"{self.name} has {found.height:,} rows, its footer says {self.rows:,}"
            raise Refused(fault, fix=self.fix)
        return found


@panics_as_errors()
def open_table(
    stored: Stored,
    name: str,
    *,
    wanted: Callable[[str], bool] = lambda _: True,
    at_most: int = parquet_footer.MAX_ROWS,
    columns_at_most: int = MAX_COLUMNS,
    fix: str = "registry select",
) -> StoredTable:
    """A table that is read column by column, because all of it may be larger than the memory.

    Raises Refused, with the hint `fix`, where the footer says too much, or contradicts itself, and PolarsError where
    the rest is damaged.
    """
    with stored.open("rb") if isinstance(stored, Path) else BytesIO(stored) as file:
        footer = parquet_footer.read(file, name)
    if footer.rows > at_most:
        raise Refused(f"{name} has {footer.rows:,} rows, expected {at_most:,}", fix=fix)
    scanned = pl.scan_parquet(stored if isinstance(stored, Path) else BytesIO(stored), glob=False)
    schema = scanned.collect_schema()
    columns = tuple(header for header in schema.names() if wanted(header))
    require_headers(columns, name, columns_at_most)
    parquet_footer.require_columns(footer, columns, name)
    if nested := [header for header in columns if not _has_text(schema[header])]:
        raise Refused(f"{name}: column {nested[0]} has {_describe(schema[nested[0]])}", fix=fix)
    return StoredTable(name, columns, footer.rows, fix, scanned)


def _require_short(rows: pl.LazyFrame, columns: Sequence[str], name: str) -> None:
    """Raise Refused for texts that are too long: a dictionary page holds one once, and a column a million times."""
    if not columns:
        return
    sizes = pl.col(columns).cast(pl.String).str.len_bytes().cast(pl.Int64)
    found = rows.select(sizes.max().name.prefix("max "), sizes.sum().name.prefix("sum ")).collect(engine="streaming")
    size_of = found.to_dicts()[0]
    for column in columns:
        if (size := size_of[f"max {column}"] or 0) > MAX_CELL:
            fault = f"{name}: column {column} has a value of {size:,} bytes, expected at most {MAX_CELL:,}"
            raise Refused(fault, fix="export shorter values")
        parquet_footer.require_size(column, size_of[f"sum {column}"], name)


def _texts(columns: Collection[str], schema: pl.Schema) -> list[str]:
    return [name for name in columns if schema[name] in {pl.String, pl.Categorical, pl.Enum}]


def _has_text(dtype: pl.DataType) -> bool:
    return not (dtype.is_nested() or dtype in {pl.Binary, pl.Object, pl.Duration})


def _describe(dtype: pl.DataType) -> str:
    if dtype == pl.Binary:
        return "binary values"
    return "durations" if dtype == pl.Duration else f"values of type {dtype}"
