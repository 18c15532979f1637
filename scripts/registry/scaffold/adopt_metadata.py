"""The tables beside images, as Hugging Face's imagefolder has them: their rows by image, with columns that have types.

A table is `metadata.csv`, `.jsonl` or `.parquet`; its column `file_name` is a path from the table's folder, and the
nearest table above an image is the image's. Types follow from all values of a column: a text that every reader takes
for the same number, date or time is one; a time without a zone stays a text. In CSV, what pandas reads as a missing
value is missing (pandas 2, `read_csv`, na_values), because that is how Hugging Face reads it.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import dirname, normpath

import polars as pl
from polars import DataFrame, col

from registry.core import adoption, documents, schema
from registry.core.wording import abbreviate, join, plural
from registry.dataset import column_types, parquet_files
from registry.dataset.export_files import panics_as_errors
from registry.errors import InvalidData, InvalidDocument, RegistryError
from registry.scaffold.adopt_layout import SPLIT_NAMES

FILE_NAME, LABEL, SPLIT, UUID = "file_name", "label", "split", "uuid"
_NA = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
_NA |= {"NULL", "NaN", "None", "n/a", "nan", "null"}
_KINDS = ("integer", "number", "boolean", "date", "datetime")  # tried in this order
_TAKEN = {UUID, LABEL, adoption.FILE, adoption.MD5, adoption.BYTES, adoption.GIVEN_SPLIT}
_RESERVED = re.compile(r"split|image|label_name|(?:.*_)?file_names?")  # as in schemas/columns.schema.json
_LEADING_ZERO = r"^[+-]?0[0-9]"  # of a code, such as 007
_FIX = "correct the table in the source"

Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Metadata:
    """What tables say: `rows` has path, then the columns by their names here; `types` of those, `names` at the source.

    `labels`, `splits` and `uuids` are by path. `notes` are what a person should know.
    """

    rows: DataFrame
    types: Mapping[str, str]
    names: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    uuids: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read(tables: Sequence[str], images: Collection[str], read_file: Callable[[str], bytes]) -> Metadata:
    """What the tables say of the images. Raises InvalidData for a table that cannot be read, or contradicts itself."""
    rows, kinds, unknown, notes = dict[str, Row](), dict[str, str](), list[str](), list[str]()
    there = set(images)
    for table in sorted(tables, key=lambda path: path.count("/")):  # a nearer one replaces what one above says
        found = _read_table(read_file(table), table)
        kinds |= found.kinds
        notes += found.notes
        seen = set[str]()
        for name, row in found.rows:
            path = normpath(f"{dirname(table)}/{name}".lstrip("/"))
            if path in seen:
                raise InvalidData(f"{table}: {name} has two rows", [], fix=_FIX)
            seen.add(path)
            if path in there:
                rows[path] = row
            else:
                unknown.append(path)
    if unknown:
        notes.append(f"{plural(len(unknown), 'row')} of tables without an image: {abbreviate(unknown)}")
    return _assemble(rows, kinds, notes)


def _assemble(rows: Mapping[str, Row], kinds: Mapping[str, str], notes: list[str]) -> Metadata:
    headers = list(dict.fromkeys(header for row in rows.values() for header in row))
    texts = {header: [row.get(header) for row in rows.values()] for header in headers}
    labels = _by_path(rows, texts.pop(LABEL, None))
    splits, split_text = _splits(rows, texts.get(SPLIT))
    if splits:
        texts.pop(SPLIT)
    elif split_text:
        notes.append(f"the column split has values that name no split ({split_text}): kept as it is")
    uuids = _uuids(rows, texts.get(UUID))
    if uuids:
        texts.pop(UUID)
    names, types, columns = dict[str, str](), dict[str, str](), [pl.Series("path", list(rows), pl.String)]
    for header, values in texts.items():
        name = _name(header, names)
        series = pl.Series(name, values, pl.String)
        types[name] = kinds.get(header) or _kind(series)
        names[name] = header
        columns.append(_typed(series, types[name]))
        if name != header:
            notes.append(f"the column {header!r} is called {name} here")
    return Metadata(DataFrame(columns), types, names, labels, splits, uuids, tuple(notes))


def _by_path(rows: Mapping[str, Row], values: Sequence[str | None] | None) -> dict[str, str]:
    return {path: value for path, value in zip(rows, values, strict=True) if value} if values else {}


def _splits(rows: Mapping[str, Row], values: Sequence[str | None] | None) -> tuple[dict[str, str], str]:
    """The splits by path where every value names one; else none, and a value that does not."""
    found = _by_path(rows, values)
    odd = next((value for value in found.values() if value.lower() not in SPLIT_NAMES), "")
    return ({}, odd) if odd else ({path: SPLIT_NAMES[value.lower()] for path, value in found.items()}, "")


def _uuids(rows: Mapping[str, Row], values: Sequence[str | None] | None) -> dict[str, str]:
    """The UUIDs by path, where every row has another one."""
    found = pl.Series(UUID, list(values or ()), pl.String)
    parsed = _typed(found, UUID)
    if parsed.is_empty() or parsed.has_nulls() or parsed.n_unique() < len(parsed):
        return {}
    return dict(zip(rows, parsed.to_list(), strict=True))


def _name(header: str, taken: Collection[str]) -> str:
    """A header as the name of a column that no other one has."""
    name = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", header.lower())).strip("_")[:50] or "column"
    name = name if name[0].isalpha() else f"c_{name}"
    if name in _TAKEN or _RESERVED.fullmatch(name):
        name = f"source_{name}" if not name.endswith(("file_name", "file_names")) else f"{name}_text"
    while name in taken or not schema.is_valid(name, "column_name"):
        name = f"{name}_"
    return name


def _kind(texts: pl.Series) -> str:
    """The type that all texts of a column have; a column without any is one of texts."""
    present = texts.drop_nulls()
    if present.is_empty() or present.str.contains(_LEADING_ZERO).any():
        return "string"
    return next((kind for kind in _KINDS if not _typed(present, kind).has_nulls()), "string")


def _typed(texts: pl.Series, kind: str) -> pl.Series:
    name = texts.name
    value = col(name) if kind == "string" else column_types.text(name, kind)
    return DataFrame([texts]).select(column_types.typed(value, kind, None).alias(name))[name]


# --- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of one table, each with its file name; `kinds` are the types of columns that the format says.

    `notes` are what a person should know of how it was read.
    """

    rows: Sequence[tuple[str, Row]]
    kinds: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cells:
    """The rows of one table as its format gives them, with `file_name` among the columns."""

    rows: Sequence[Row]
    kinds: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _read_table(data: bytes, path: str) -> _Table:
    try:
        read_rows = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[path.rpartition(".")[2]]
        read = read_rows(data, path)
    except (UnicodeDecodeError, csv.Error, pl.exceptions.PolarsError) as error:
        raise InvalidData(f"{path} cannot be read: {error}", [], fix=_FIX) from error
    named = [(row.get(FILE_NAME), row) for row in read.rows]
    if any(not name for name, _ in named) or not named:
        fault = f"{path} has no column {FILE_NAME}, or rows without a value in it"
        raise InvalidData(fault, [], fix="write the path of each image there, from the folder of the table")
    rows = [(name or "", {key: row[key] for key in row if key != FILE_NAME}) for name, row in named]
    return _Table(rows, read.kinds, read.notes)


def _read_csv(data: bytes, path: str) -> _Cells:
    lines = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    rows = list[dict[str, str | None]]()
    for row in lines:
        if None in row or any(value is None for value in row.values()):
            raise InvalidData(
                f"{path}:{lines.line_num}: the row has another number of cells than the head", [], fix=_FIX
            )
        rows.append({key: None if value in _NA else value for key, value in row.items()})
    return _Cells(rows)


def _read_jsonl(data: bytes, path: str) -> _Cells:
    rows, kinds = list[dict[str, str | None]](), dict[str, str]()
    for number, line in enumerate(data.decode("utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = documents.read_json(line.encode(), path)
        except InvalidDocument as error:
            raise InvalidData(f"{path}:{number}: {error.fault}", [], fix=_FIX) from error
        if not isinstance(row, dict):
            raise InvalidData(f"{path}:{number}: not a JSON object", [], fix=_FIX)
        rows.append({key: _json_text(value) for key, value in row.items()})
        kinds |= {key: "string" for key, value in row.items() if isinstance(value, str | list | dict)}
    return _Cells(rows, {key: kind for key, kind in kinds.items() if not _is_time(rows, key)})


def _is_time(rows: Sequence[Row], key: str) -> bool:
    """Whether a column of JSON texts is one of dates or times, which JSON has no type for."""
    texts = pl.Series(key, [row.get(key) for row in rows], pl.String)
    return _kind(texts) in {"date", "datetime"}


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _read_parquet(data: bytes, path: str) -> _Cells:
    types = _parquet_types(data)
    nested = [name for name, dtype in types.items() if dtype.is_nested() or dtype == pl.Binary()]
    try:
        frame = parquet_files.read_table(data, path, wanted=lambda name: name not in nested, fix=_FIX)
    except RegistryError as error:
        raise InvalidData(error.message, [], fix=_FIX) from error
    kinds = {name: kind for name, dtype in frame.schema.items() if (kind := _parquet_kind(dtype))}
    texts = frame.select(column_types.as_text(name, frame.schema[name]) for name in frame.columns)
    notes = [f"{path}: the columns {join(nested)} are not kept: their values are nested or binary"] if nested else []
    return _Cells(list(texts.iter_rows(named=True)), kinds, tuple(notes))


@panics_as_errors()
def _parquet_types(data: bytes) -> Mapping[str, pl.DataType]:
    return pl.read_parquet_schema(io.BytesIO(data))


def _parquet_kind(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "number"
    if isinstance(dtype, pl.Datetime):
        return "datetime" if dtype.time_zone else "string"
    return {pl.Boolean(): "boolean", pl.Date(): "date"}.get(dtype, "string")


def describe(metadata: Metadata) -> Iterator[str]:
    """A line for the columns of the tables, and the notes."""
    if metadata.types:
        yield f"columns: {abbreviate([f'{name} ({kind})' for name, kind in metadata.types.items()], 10)}"
    yield from (f"note: {note}" for note in metadata.notes)
