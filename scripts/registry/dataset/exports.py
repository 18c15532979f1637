"""Exported tables, validated against a manifest's columns; and `selection.parquet`, the file of a selection.

Every cell is read as text first, so that CSV, JSON and Parquet of the same rows give the same selection;
`column_types` defines which value a text stands for.
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl

from registry.core.values import Column, DatasetManifest
from registry.core.wording import join, plural
from registry.dataset import column_types, json_stream
from registry.errors import SHOWN, InvalidData, InvalidDocument, NotFound, Refused

ROW = "\0row"  # the column of row numbers; no file has a column of this name
ROWS_PER_GROUP = 131_072


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as text columns, and `ROW`, counted as a spreadsheet (from 2) or a list (from 1) does."""

    name: str
    rows: pl.LazyFrame
    headers: tuple[str, ...]


def read(path: Path, manifest: DatasetManifest, *, timezone: str = "UTC", name: str = "") -> pl.DataFrame:
    """The rows of a CSV, Parquet or JSON file as the manifest's columns, in their order, sorted by uuid.

    `timezone` applies to times without one; `name` is what messages call the file. A column's header is its `from`, or
    else its own name, or else either of them with other punctuation (Looker writes `images.uuid` as `Images UUID`).
    Raises NotFound and Refused for a file that cannot be read, InvalidData with every kind of problem in its rows.
    """
    _require_timezone(timezone, manifest)
    table = open_table(path, name or str(path))
    found, problems = _match_columns(table.headers, manifest.columns) if table.headers else ({}, [])
    frame = _typed(table, found, manifest.columns, timezone)
    problems += _find_problems(table, frame, found, manifest)
    if problems:
        raise InvalidData(
            f"{table.name} does not match {manifest.id}/dataset.yaml; nothing was written",
            problems,
            fix="correct the rows at their source, or columns and classes in the manifest; then select again",
        )
    return frame.select(column.name for column in manifest.columns).sort("uuid")


def _require_timezone(timezone: str, manifest: DatasetManifest) -> None:
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(timezone)
    except pl.exceptions.PolarsError as error:
        raise InvalidDocument(
            f"{manifest.id}/dataset.yaml",
            f"source: unknown time zone {timezone!r}",
            fix="use a name of the IANA time zone database, such as Europe/Berlin or UTC",
        ) from error


# --- files ------------------------------------------------------------------------------------------------------------


def open_table(path: Path, name: str) -> Table:
    """A file's rows, read lazily where its format allows it. Raises NotFound and Refused."""
    reader = _READERS.get(path.suffix.lower())
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused(f"{name} is not a file", fix="give the path of an exported table")
        if reader is None:
            raise Refused(f"{name}: unsupported file type", fix=f"export it as {join(list(_READERS), 'or')}")
        path.open("rb").close()
        rows = reader(path)
        return Table(name, rows, tuple(header for header in rows.collect_schema().names() if header != ROW))
    except FileNotFoundError as error:
        raise NotFound(f"{name} does not exist", fix="give the path of an exported table") from error
    except (OSError, pl.exceptions.PolarsError, json_stream.NotRows) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> Refused:
    fault = (error.strerror if isinstance(error, OSError) else "") or str(error).split("\n", 1)[0]
    return Refused(f"{name} cannot be read: {fault}", fix="export it again; CSV and JSON must be complete and in UTF-8")


def _read_csv(path: Path) -> pl.LazyFrame:
    rows = pl.scan_csv(path, infer_schema=False, row_index_name=ROW, row_index_offset=2)
    return rows.filter(~pl.all_horizontal(pl.exclude(ROW).fill_null("") == ""))  # spreadsheets export empty lines


def _read_json(path: Path) -> pl.LazyFrame:
    return json_stream.read(path).lazy().with_row_index(ROW, offset=1)


def _read_parquet(path: Path) -> pl.LazyFrame:
    rows = pl.scan_parquet(path)
    texts = [column_types.as_text(header, dtype) for header, dtype in rows.collect_schema().items()]
    return rows.select(texts).with_row_index(ROW, offset=1)


_READERS: Mapping[str, Callable[[Path], pl.LazyFrame]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".json": _read_json,
    ".ndjson": _read_json,
    ".jsonl": _read_json,
}


# --- columns ----------------------------------------------------------------------------------------------------------


def _match_columns(headers: tuple[str, ...], columns: tuple[Column, ...]) -> tuple[dict[str, str], list[str]]:
    """Column name → its header, and a problem for each column that has none or several."""
    matches = {column: _matching_headers(headers, column) for column in columns}
    found = {column.name: names[0] for column, names in matches.items() if len(names) == 1}
    problems = [
        f"{column.name} matches several columns: {_quoted(names)}" for column, names in matches.items() if names[1:]
    ]
    if missing := [column for column, names in matches.items() if not names]:
        wanted = [" or ".join(dict.fromkeys((column.source, column.name))) for column in missing]
        heading = f"{_count(len(missing), 'column')} missing; found {_quoted(headers)}"
        problems.append(_listed(heading, wanted[:SHOWN], len(missing)))
    return found, problems


def _matching_headers(headers: tuple[str, ...], column: Column) -> list[str]:
    # Polars numbers the second of two equal headers; both count, so that they are ambiguous.
    plain = {header: re.sub(r"_duplicated_[0-9]+$", "", header) for header in headers}
    for form in (str, _words):
        for name in (column.source, column.name):
            if matching := [header for header, text in plain.items() if form(text) == form(name)]:
                return matching
    return []


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", text.casefold()))


def _typed(table: Table, found: Mapping[str, str], columns: tuple[Column, ...], timezone: str) -> pl.DataFrame:
    """The found columns, typed (an invalid value is null), and for each one `NAME?`: whether its value is invalid."""
    values = []
    for column in columns:
        if column.name in found:
            text = column_types.text(found[column.name], column.type)
            value = column_types.typed(text, column.type, timezone)
            values += [value.alias(column.name), (value.is_null() & text.is_not_null()).alias(f"{column.name}?")]
    try:
        return table.rows.select(ROW, *values).collect(engine="streaming")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(table.name, error) from error


# --- validation -------------------------------------------------------------------------------------------------------


def _find_problems(
    table: Table, frame: pl.DataFrame, found: Mapping[str, str], manifest: DatasetManifest
) -> Iterator[str]:
    """Each kind of problem, with its number and the first ten."""
    if frame.is_empty():
        yield "the table has no rows"
        return
    for column in manifest.columns:
        if header := found.get(column.name):
            yield from _check_values(table, frame, header, column)
    if "uuid" in found:
        yield from _check_duplicates(frame)
    if "label" in found:
        yield from _check_labels(frame, manifest.classes)


def _check_values(table: Table, frame: pl.DataFrame, header: str, column: Column) -> Iterator[str]:
    is_invalid, is_null = pl.col(f"{column.name}?"), pl.col(column.name).is_null()
    invalid = frame.filter(is_invalid)[ROW].to_list()
    if invalid:
        first = table.rows.filter(pl.col(ROW).is_in(invalid[:SHOWN])).select(ROW, header).collect()
        shown = [f"row {row:,}: {_shown(text)}" for row, text in first.sort(ROW).rows()]
        yield _listed(
            f"{column.name}: {_count(len(invalid), 'value')} not {column_types.EXPECTED[column.type]}",
            shown,
            len(invalid),
        )
    empty = () if column.nullable else frame.filter(is_null & ~is_invalid)[ROW].to_list()
    if empty:
        shown = [f"row {row:,}" for row in empty[:SHOWN]]
        yield _listed(f"{column.name}: {_count(len(empty), 'row')} without a value", shown, len(empty))


def _check_duplicates(frame: pl.DataFrame) -> Iterator[str]:
    repeated = frame.filter(pl.col("uuid").is_not_null() & pl.col("uuid").is_duplicated())
    groups = repeated.group_by("uuid").agg(ROW).sort(pl.col(ROW).list.first())
    if len(groups):
        shown = [f"{uuid}: rows {', '.join(map(str, rows[:SHOWN]))}" for uuid, rows in groups.head(SHOWN).rows()]
        yield _listed(f"uuid: {plural(len(groups), 'duplicate UUID')}", shown, len(groups))


def _check_labels(frame: pl.DataFrame, classes: tuple[str, ...]) -> Iterator[str]:
    unknown = frame.filter(pl.col("label").is_not_null() & ~pl.col("label").is_in(list(classes)))
    groups = unknown.group_by("label").agg(pl.len(), pl.col(ROW).min()).sort(ROW)
    if len(groups):
        shown = [
            f"{_shown(label)}: {plural(count, 'row')}, first in row {row:,}"
            for label, count, row in groups.head(SHOWN).rows()
        ]
        yield _listed(f"label: {_count(len(groups), 'label')} not in classes", shown, len(groups))


def _count(number: int, noun: str) -> str:
    return f"{plural(number, noun)} {'is' if number == 1 else 'are'}"


def _listed(heading: str, shown: Sequence[str], total: int) -> str:
    rest = [f"… and {total - len(shown):,} more"] if total > len(shown) else []
    return "\n      ".join([heading, *shown, *rest])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(map(_shown, texts[:50])) + (", …" if len(texts) > 50 else "")


# --- selection.parquet ------------------------------------------------------------------------------------------------


def write_selection(rows: pl.DataFrame) -> bytes:
    """Parquet of rows that are sorted by uuid: the same rows and the same Polars release give the same bytes.

    Row groups have a fixed size and no statistics. The bytes contain the Polars release, so they change with it;
    whether two selections have the same rows is decided by `rows_hash`.
    """
    out = BytesIO()
    rows.write_parquet(out, compression="zstd", compression_level=3, statistics=False, row_group_size=ROWS_PER_GROUP)
    return out.getvalue()


def read_selection(data: bytes, name: str) -> pl.DataFrame:
    """The rows of a `selection.parquet`. Raises Refused where it is damaged."""
    try:
        return pl.read_parquet(BytesIO(data))
    except pl.exceptions.PolarsError as error:
        raise Refused(f"{name} is not a valid Parquet file", fix="registry pull, or registry select") from error


def rows_hash(rows: pl.DataFrame) -> str:
    """The SHA-256 of the rows as CSV: values as quoted texts, missing values as empty cells, lines end with `\\n`.

    Times are `2024-01-31T12:00:00.000000Z`, numbers the shortest text that parses as the same number.
    """
    texts = [column_types.as_text(name, dtype) for name, dtype in rows.schema.items()]
    digest = sha256()
    for index, part in enumerate(rows.iter_slices(ROWS_PER_GROUP)):
        digest.update(part.select(texts).write_csv(include_header=not index, quote_style="non_numeric").encode())
    return digest.hexdigest()
