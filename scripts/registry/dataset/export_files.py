"""What the readers of exported tables share: rows as texts, and the faults that keep rows from being read."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from registry.errors import Refused

ROW = "\0row"  # the column of row numbers; no file has a column of this name
MAX_CELL = 131_072  # characters; Python's own limit for a cell of a CSV file
MAX_COLUMNS = 2_000
_SAMPLE = 4096  # bytes

# The first bytes of what is saved under the name of a table, although it is none.
_SIGNATURES: Mapping[bytes, str] = {
    rb"\xff\xfe\0\0|\0\0\xfe\xff": "UTF-32 text",
    rb"\xff\xfe|\xfe\xff|[^\0]\0|\0[^\0]": "UTF-16 text",
    rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd": "a compressed file",
    rb"\xd0\xcf\x11\xe0": "an Excel workbook",
    rb"PAR1": "a Parquet file",
    rb"SQLite format 3\0": "an SQLite database",
    rb"%PDF": "a PDF document",
    rb"\s*<(?i:!doctype|html|\?xml|table)": "an HTML or XML page",
}
_FIXES: Mapping[str, str] = {
    "UTF-32 text": "save it as UTF-8",
    "UTF-16 text": "save it as UTF-8 (in Excel: CSV UTF-8), or run `iconv -f UTF-16 -t UTF-8`",
    "a compressed file": "decompress it",
    "a Parquet file": "name it .parquet",
}


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that cannot be read as one; `row` counts as the file's other rows do."""

    row: int
    fault: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows of a file as texts.

    `rows` has ROW and a text column for each header that was asked for; null where a row has no such value. Rows of
    CSV and its relatives are numbered by the line on which they begin, others from 1. `row_faults` are the rows that
    are missing in it. Values that are no text are null: `cell_faults` says what they are, by header and row, and
    `column_faults` the type of a column that has no other. `plain` are the columns that
    are numbers in the file itself, and not texts of numbers. A last row of totals is possible where downloads write it.
    """

    rows: pl.LazyFrame
    row_faults: Sequence[RowFault] = ()
    cell_faults: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    column_faults: Mapping[str, str] = field(default_factory=dict)
    unterminated: int | None = None  # the last row, where no line break ends it
    plain: Collection[str] = ()
    may_end_in_totals: bool = False


class TableFile(Protocol):
    """A file whose headers are known, and whose rows can be read."""

    @property
    def headers(self) -> tuple[str, ...]:
        """The names of its columns, in their order; a name may occur twice."""

    @property
    def timezone(self) -> str | None:
        """The time zone of times that name none, where the file says it."""

    def read(self, wanted: Sequence[str]) -> Table:
        """The rows, with these columns. Raises Refused, OSError and PolarsError."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise ComputeError where Polars panics, as it does for some damaged files: a panic is no Exception in Python."""
    try:
        yield
    except pl.exceptions.PanicException as panic:
        raise pl.exceptions.ComputeError("its content is damaged") from panic


def require_text(path: Path, name: str) -> None:
    """Raise Refused, saying what it is, for a file that is not text in UTF-8 by its first bytes."""
    with path.open("rb") as file:
        sample = file.read(_SAMPLE)
    for pattern, what in _SIGNATURES.items():
        if re.match(pattern, sample):
            fix = _FIXES.get(what, "in Looker choose CSV, or JSON – Simple; else export it as CSV, JSON or Parquet")
            raise Refused(f"{name} is {what}, expected text in UTF-8", fix=fix)
    if (place := sample.find(b"\0")) >= 0:
        fault = f"{name} has a NUL byte at position {place:,}, expected text in UTF-8"
        raise Refused(fault, fix="export it again; it is a binary file, or damaged")


def require_headers(headers: Sequence[str], name: str, at_most: int = MAX_COLUMNS) -> None:
    """Raise Refused for too many columns, and for names that no text has."""
    if len(headers) > at_most:
        fix = "export the columns of the manifest only"
        raise Refused(f"{name} has {len(headers):,} columns, expected at most {at_most:,}", fix=fix)
    if invalid := [header for header in headers if re.search("[\0\ud800-\udfff]", header)]:
        what = invalid_bytes(invalid[0]) or "a NUL or half of a surrogate pair is in it"
        raise Refused(f"{name}: invalid column name {invalid[0]!r}: {what}", fix="save it as UTF-8")


def invalid_bytes(text: str) -> str:
    """What to say of a text that was read with `surrogateescape` and has bytes that are not UTF-8; else nothing."""
    escaped = re.search("[\udc80-\udcff]+", text)
    if escaped is None:
        return ""
    data = escaped[0].encode("utf-8", "surrogateescape")
    guess = data.decode("cp1252", "replace")
    return f"byte {data[0]:#04x} is not UTF-8" + (f" ({guess!r} in Windows-1252)" if guess.isprintable() else "")
