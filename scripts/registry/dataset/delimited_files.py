"""Rows of CSV and tab-separated text, in bounded memory, read by Python's `csv` in its strict mode.

Polars' reader fills a row that is too short with missing values and takes a file that breaks off in a quoted value;
`csv` tells both, with a row's number. One million rows of four columns take 1.3 s more of 4 s.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import polars as pl

from registry.core import progress
from registry.core.wording import join, plural
from registry.dataset.export_files import ROW, RowFault, Table, invalid_bytes, require_headers, require_text
from registry.errors import Refused

if TYPE_CHECKING:
    import _csv

BATCH = 8_192  # rows; more take longer, because Python's garbage collector follows each of them
SEPARATORS: Mapping[str, tuple[str, ...]] = {".csv": (",",), ".tsv": ("\t",), ".txt": ("\t", ",")}  # by suffix

_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
_BREAK = re.compile(r"\r\n|\r|\n")
_FAULTS = {  # a part of `csv`'s message → what to say
    "unexpected end of data": "a quote is opened and never closed; the file may have been cut off there",
    "expected after": "text follows a closing quote; a quote inside of a value must be doubled",
    "field limit": "a value is longer than 131,072 characters; a quote may not be closed",
}


@dataclass(frozen=True, slots=True)
class DelimitedFile:
    """A text file whose separator and headers are known."""

    path: Path
    separator: str
    headers: tuple[str, ...]
    timezone: str | None = None  # no such file says it

    def read(self, wanted: Sequence[str]) -> Table:
        """See `TableFile.read`."""
        indices = [self.headers.index(header) for header in wanted]
        with _open(self.path) as file, progress.counter("reading", "row") as advance:
            rows = _Rows(csv.reader(file, delimiter=self.separator, strict=True), len(self.headers))
            frames = [pl.DataFrame(schema={ROW: pl.Int64, **dict.fromkeys(wanted, pl.String)})]
            for numbers, batch in rows.batches():
                frames.append(_frame(numbers, batch, dict(zip(wanted, indices, strict=True)), rows.faults))
                advance(len(batch))
        unterminated = rows.last if rows.last > 1 and not _ends_with_break(self.path) else None
        table = pl.concat(frames).lazy()
        return Table(table, tuple(rows.faults), unterminated=unterminated, may_end_in_totals=True)


@dataclass(slots=True)
class _Rows:
    """The rows of a reader after its header, and the faults found so far; `last` is the number of the last one."""

    reader: "_csv.Reader"
    width: int
    faults: list[RowFault] = field(default_factory=list)
    last: int = 0

    def batches(self) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
        """Whole rows with the lines on which they begin; without blank lines and rows of empty values."""
        next(self.reader, None)
        while True:
            start, batch = self.reader.line_num + 1, list[list[str]]()
            error = None
            try:
                batch.extend(islice(self.reader, BATCH))
            except csv.Error as raised:
                error = str(raised)
            if not batch and error is None:
                return
            numbers, after = self._number(batch, start)
            yield self._whole(numbers, batch)
            if error is not None:
                self.faults.append(RowFault(after, next(said for part, said in _FAULTS.items() if part in error)))
                return

    def _number(self, batch: list[list[str]], start: int) -> tuple[Sequence[int], int]:
        """The line on which each row begins, and that after the last."""
        if self.reader.line_num == start + len(batch) - 1:
            self.last = start + len(batch) - 1
            return range(start, start + len(batch)), start + len(batch)
        numbers, line = [], start
        for row in batch:
            numbers.append(line)
            line += 1 + sum(len(_BREAK.findall(cell)) for cell in row)
        self.last = numbers[-1] if numbers else start
        return numbers, line

    def _whole(self, numbers: Sequence[int], batch: list[list[str]]) -> tuple[Sequence[int], list[list[str]]]:
        if set(map(len, batch)) == {self.width} and all(map(any, batch)):
            return numbers, batch
        pairs = []
        for number, row in zip(numbers, batch, strict=True):
            if row and len(row) != self.width:
                self.faults.append(RowFault(number, f"{plural(len(row), 'value')}, expected {self.width:,}"))
            elif any(row):
                pairs.append((number, row))
        return [number for number, _ in pairs], [row for _, row in pairs]


def _frame(
    numbers: Sequence[int], batch: list[list[str]], indices: Mapping[str, int], faults: list[RowFault]
) -> pl.DataFrame:
    columns = {header: list(map(itemgetter(index), batch)) for header, index in indices.items()}
    schema = {ROW: pl.Int64, **dict.fromkeys(columns, pl.String)}
    try:
        return pl.DataFrame({ROW: numbers, **columns}, schema)
    except UnicodeEncodeError:  # bytes that are not UTF-8, by `surrogateescape`
        for header, texts in columns.items():
            faults += [
                RowFault(row, f"{header}: {fault}")
                for row, text in zip(numbers, texts, strict=True)
                if (fault := invalid_bytes(text))
            ]
        return pl.DataFrame(schema=schema)


def _open(path: Path) -> TextIO:
    return path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")


def _ends_with_break(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) in b"\r\n"


# --- separator and headers --------------------------------------------------------------------------------------------


def open_file(path: Path, name: str) -> DelimitedFile:
    """The file with its separator and headers. Raises Refused, naming what is there instead, and OSError."""
    require_text(path, name)
    expected = SEPARATORS[path.suffix.lower()]
    widths = {separator: _width(path, separator) for separator in _NAMES}
    best = max(widths, key=lambda separator: (widths[separator], separator in expected))
    separator = next((one for one in expected if widths[one] > 1), expected[0])
    if widths[separator] < 2 <= widths[best]:
        fix = "name it .tsv" if best == "\t" else "export it with commas, or with tabs as .tsv"
        found = f"{_NAMES[best]} between its values"
        raise Refused(f"{name} has {found}, expected {join([_NAMES[one] for one in expected], 'or')}", fix=fix)
    return DelimitedFile(path, separator, _headers(path, separator, name))


def _width(path: Path, separator: str) -> int:
    """The number of columns by the first two lines that are not blank; 0 where they differ."""
    with _open(path) as file:
        try:
            some = list(islice(filter(None, csv.reader(file, delimiter=separator)), 2))
        except csv.Error:
            return 0
    return len(some[0]) if some and len(some[0]) == len(some[-1]) else 0


def _headers(path: Path, separator: str, name: str) -> tuple[str, ...]:
    fix = "export it again, with the columns' names in the first line"
    with _open(path) as file:
        try:
            headers = next(csv.reader(file, delimiter=separator, strict=True), [])
        except csv.Error as error:
            fault = next(said for part, said in _FAULTS.items() if part in str(error))
            raise Refused(f"{name}: row 1: {fault}", fix=fix) from error
    if not any(headers):
        raise Refused(f"{name}: the first line is empty, expected the columns' names", fix=fix)
    if headers[0].lower().startswith("sep="):
        raise Refused(f"{name}: the first line is {headers[0]!r}, which only Excel knows", fix="delete that line")
    if [*headers] == ["looker_error"]:
        fix = "run the query in Looker until it succeeds, then export it again"
        raise Refused(f"{name} has an error of Looker's in place of rows", fix=fix)
    require_headers(headers, name)
    return tuple(headers)
