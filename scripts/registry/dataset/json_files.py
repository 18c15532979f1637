"""Rows from a JSON array of objects, or from one object per line, in bounded memory.

Numbers stay text, exactly as in the file, because a string column keeps that text. ijson 3.6 with its C backend takes
half the time (150,000 rows: 0.2 s instead of 0.4 s), but normalises numbers (`1e400` becomes `1E+400`, `-0` becomes
`0`) and has no limit for one row. Polars' JSON reader takes four times the memory.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from registry.core import progress
from registry.dataset import json_text
from registry.dataset.export_files import ROW, RowFault, Table, invalid_bytes, require_headers, require_text
from registry.dataset.json_text import Envelope, Number, Repeated

BATCH = 50_000  # rows
ERRORS = ({"looker_error"}, {"message", "documentation_url"})  # the keys of an error in a result, and of the API's own

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, eq=False)
class JsonFile:
    """The rows of a JSON file, with every key of any row as a column, in the order of first appearance."""

    headers: tuple[str, ...]
    table: Table
    timezone: str | None

    def read(self, _wanted: Sequence[str]) -> Table:
        """See `TableFile.read`."""
        return self.table


@dataclass(slots=True)
class _Faults:
    """What is found on the way, besides the rows."""

    rows: list[RowFault] = field(default_factory=list)
    cells: dict[str, dict[int, str]] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)  # the columns with numbers that are no texts


def open_file(path: Path, name: str) -> JsonFile:
    """Read all rows. Raises Refused where the text is not JSON rows, and OSError where the file cannot be read."""
    require_text(path, name)
    faults, frames, number, envelope = _Faults(), [], 1, Envelope()
    with _open(path) as file, progress.counter("reading", "row") as advance:
        rows = json_text.rows(file, name, envelope)
        while batch := list(islice(rows, BATCH)):
            frames.append(_frame(batch, number, faults, name))
            number += len(batch)
            advance(len(batch))
    frame = pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema={ROW: pl.Int64})
    table = Table(frame.lazy(), tuple(faults.rows), faults.cells, plain=faults.plain)
    return JsonFile(tuple(frame.columns[1:]), table, envelope.timezone)


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape")


# --- values -----------------------------------------------------------------------------------------------------------


def _frame(batch: list[Any], first: int, faults: _Faults, name: str) -> pl.DataFrame:
    """Rows as text columns; what is no object or no text is added to the faults."""
    rows = []
    for number, row in enumerate(batch, first):
        if isinstance(row, Repeated):
            faults.rows.append(RowFault(number, f"duplicate key {row.key!r}"))
        elif isinstance(row, dict):
            rows.append((number, row))
        else:
            faults.rows.append(RowFault(number, f"{_describe(row)}, expected an object"))
    keys = tuple(dict.fromkeys(key for _, row in rows for key in row))
    _require_no_error(rows, keys, name)
    require_headers(keys, name)
    numbers = [number for number, _ in rows]
    columns = [_column(key, [row.get(key) for _, row in rows], numbers, faults) for key in keys]
    return pl.DataFrame([pl.Series(ROW, numbers, pl.Int64), *columns])


def _require_no_error(rows: Sequence[tuple[int, dict[str, Any]]], keys: Sequence[str], name: str) -> None:
    """Raise Refused where Looker wrote an error as a row: the database may fail after the first rows."""
    for error in ERRORS:
        if error <= {*keys}:
            said = next((row for _, row in rows if row.keys() <= error | {"errors"} and error <= row.keys()), None)
            if said is not None:
                raise json_text.looker_error(name, said.get("looker_error", said.get("message")))


def _column(key: str, values: list[Any], numbers: list[int], faults: _Faults) -> pl.Series:
    kinds = set(map(type, values))
    if Number in kinds:
        faults.plain.add(key)
    if kinds <= {str, Number, type(None)}:
        try:
            return pl.Series(key, values, pl.String)
        except UnicodeEncodeError:  # half of a surrogate pair, or bytes that are not UTF-8
            pass
    texts: list[str | None] = []
    for number, value in zip(numbers, values, strict=True):
        is_text = isinstance(value, str) and not _SURROGATE.search(value)
        if not (is_text or value is None or isinstance(value, bool)):
            faults.cells.setdefault(key, {})[number] = _describe(value)
        texts.append(value if is_text else json.dumps(value) if isinstance(value, bool) else None)
    return pl.Series(key, texts, pl.String)


def _describe(value: Any) -> str:
    """What a value is, where a row or a text is expected."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str() if _SURROGATE.search(value):
            return invalid_bytes(value) or "half of a surrogate pair"
        case bool() | None:
            return json.dumps(value)
    return "a single value"
