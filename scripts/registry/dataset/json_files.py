"""Rows from a JSON array of objects, or from one object per line, in bounded memory.

Numbers stay text, exactly as in the file, because a string column keeps that text. ijson 3.6 with its C backend takes
half the time (150,000 rows: 0.2 s instead of 0.4 s), but normalises numbers (`1e400` becomes `1E+400`, `-0` becomes
`0`) and has no limit for one row. Polars' JSON reader takes four times the memory.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from registry.core import progress
from registry.dataset.export_files import ROW, RowFault, Table, invalid_bytes, require_headers, require_text
from registry.errors import Refused

BATCH = 50_000  # rows
CHUNK = 1 << 20  # characters
MAX_ROW = 16 << 20  # characters that one row may take

_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_AGAIN = "export it again, as a complete list of objects, or as one object per line"


class _Repeated(dict[str, Any]):
    """An object with the duplicate key `key`."""

    key = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    repeated, names = _Repeated(row), [name for name, _ in pairs]
    repeated.key = next(name for name in names if names.count(name) > 1)
    return repeated


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object)


@dataclass(frozen=True, slots=True, eq=False)
class JsonFile:
    """The rows of a JSON file, with every key of any row as a column, in the order of first appearance."""

    headers: tuple[str, ...]
    table: Table

    def read(self, _wanted: Sequence[str]) -> Table:
        """See `TableFile.read`."""
        return self.table


@dataclass(slots=True)
class _Faults:
    rows: list[RowFault] = field(default_factory=list)
    cells: dict[str, dict[int, str]] = field(default_factory=dict)


def open_file(path: Path, name: str) -> JsonFile:
    """Read all rows. Raises Refused where the text is not JSON rows, and OSError where the file cannot be read."""
    require_text(path, name)
    faults, frames, number = _Faults(), [], 1
    with _open(path) as file, progress.counter("reading", "row") as advance:
        rows = _rows(_Text(file), name)
        while batch := list(islice(rows, BATCH)):
            frames.append(_frame(batch, number, faults, name))
            number += len(batch)
            advance(len(batch))
    frame = pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema={ROW: pl.Int64})
    return JsonFile(tuple(frame.columns[1:]), Table(frame.lazy(), tuple(faults.rows), faults.cells))


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape")


# --- values -----------------------------------------------------------------------------------------------------------


def _frame(batch: list[Any], first: int, faults: _Faults, name: str) -> pl.DataFrame:
    """Rows as text columns; what is no object or no text is added to the faults."""
    rows = []
    for number, row in enumerate(batch, first):
        if isinstance(row, _Repeated):
            faults.rows.append(RowFault(number, f"duplicate key {row.key!r}"))
        elif isinstance(row, dict):
            rows.append((number, row))
        else:
            faults.rows.append(RowFault(number, f"{_describe(row)}, expected an object"))
    keys = tuple(dict.fromkeys(key for _, row in rows for key in row))
    require_headers(keys, name)
    numbers = [number for number, _ in rows]
    columns = [_column(key, [row.get(key) for _, row in rows], numbers, faults) for key in keys]
    return pl.DataFrame([pl.Series(ROW, numbers, pl.Int64), *columns])


def _column(key: str, values: list[Any], numbers: list[int], faults: _Faults) -> pl.Series:
    if set(map(type, values)) <= {str, type(None)}:
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


# --- text -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Text:
    """A text that is read in chunks: what is at hand of it, and the place that has been reached there."""

    file: TextIO
    text: str = ""
    offset: int = 0

    def skip(self) -> str:
        """Go to the next character that is not white space, and return it; nothing at the end."""
        while True:
            self.offset = _SPACE.match(self.text, self.offset).end()  # type: ignore[union-attr]  # it always matches
            if self.offset < len(self.text):
                return self.text[self.offset]
            self.text, self.offset = self.file.read(CHUNK), 0
            if not self.text:
                return ""

    def decode(self) -> Any:
        """The JSON value that begins here. Raises ValueError and RecursionError."""
        while True:
            try:
                value, self.offset = _DECODER.raw_decode(self.text, self.offset)
            except ValueError:  # invalid, or cut off at the end of the chunk
                more = self.file.read(CHUNK) if len(self.text) - self.offset < MAX_ROW else ""
                if not more:
                    raise
                self.text, self.offset = self.text[self.offset :] + more, 0
            else:
                return value


def _rows(text: _Text, name: str) -> Iterator[Any]:
    """The items of the list, or the values of the lines, whatever they are."""
    number, is_list = 0, text.skip() == "["
    text.offset += is_list
    try:
        more = text.skip() not in {"]", ""}
        while more:
            value = text.decode()
            number += 1
            if number == 1 and isinstance(value, dict) and {"data", "fields"} <= value.keys() and not is_list:
                raise Refused(f"{name} is in Looker's form json_detail", fix="download it as plain JSON, or as CSV")
            yield value
            more = _has_next(text, is_list=is_list)
        _require_end(text, is_list=is_list)
    except RecursionError as error:
        raise Refused(f"{name} is nested too deeply after row {number:,}", fix=_AGAIN) from error
    except ValueError as error:
        there = error.doc[error.pos : error.pos + 1] if isinstance(error, json.JSONDecodeError) else ""
        fault = invalid_bytes(there) or "invalid or truncated JSON"
        raise Refused(f"{name}: {fault} after row {number:,}", fix=_AGAIN) from error


def _has_next(text: _Text, *, is_list: bool) -> bool:
    """Go to the next value, if there is one."""
    character = text.skip()
    if not is_list:
        return character != ""
    if character != ",":
        return False
    text.offset += 1
    text.skip()
    return True


def _require_end(text: _Text, *, is_list: bool) -> None:
    """Raise ValueError unless the list is closed, and nothing follows."""
    if is_list and text.skip() != "]":
        raise ValueError("the list is not closed")
    text.offset += is_list
    if text.skip():
        raise ValueError("text after the end")
