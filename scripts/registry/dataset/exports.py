"""Exported tables, validated against a manifest's columns; and `selection.parquet`, the file of a selection.

Every cell is read as text first, so that CSV, JSON and Parquet of the same rows give the same selection;
`column_types` defines which value a text stands for.
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl

from registry.core.values import Column, DatasetManifest
from registry.core.wording import join, plural
from registry.dataset import column_types, delimited_files, json_files, parquet_files, parquet_footer
from registry.dataset.export_files import ROW, RowFault, Table, TableFile, panics_as_errors
from registry.errors import SHOWN, InvalidData, InvalidDocument, NotFound, Refused

ROWS_PER_GROUP = 131_072


def read(path: Path, manifest: DatasetManifest, *, timezone: str = "UTC", name: str = "") -> pl.DataFrame:
    """The rows of a CSV, tab-separated, Parquet or JSON file as the manifest's columns, in their order, sorted by uuid.

    `timezone` applies to times without one; `name` is what messages call the file. A column's header is its `from`, or
    else its own name, or else either of them with other punctuation (Looker writes `images.uuid` as `Images UUID`).
    Raises NotFound and Refused for a file that cannot be read, InvalidData with every kind of problem in its rows.
    """
    _require_timezone(timezone, manifest)
    file, name = _open(path, name or str(path)), name or str(path)
    found, problems = _match_columns(file.headers, manifest.columns) if file.headers else ({}, [])
    try:
        with panics_as_errors():
            table = file.read(tuple(dict.fromkeys(found.values())))
            if damaged := _find_damaged(table, file.headers, found, manifest):
                raise InvalidData(
                    f"{name} is damaged; nothing was written",
                    [damaged, *problems],
                    fix="save it as UTF-8 (in Excel: CSV UTF-8)"
                    if "is not UTF-8" in damaged
                    else "export it again; if nothing but the last line break is missing, add it",
                )
            frame = _typed(table, found, manifest.columns, timezone)
            problems += _find_problems(table, frame, found, manifest)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(name, error) from error
    if problems:
        raise InvalidData(
            f"{name} does not match {manifest.id}/dataset.yaml; nothing was written",
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

_READERS: Mapping[str, Callable[[Path, str], TableFile]] = {
    **dict.fromkeys(delimited_files.SEPARATORS, delimited_files.open_file),
    **dict.fromkeys((".json", ".ndjson", ".jsonl"), json_files.open_file),
    ".parquet": parquet_files.open_file,
}


def _open(path: Path, name: str) -> TableFile:
    """The reader of a file. Raises NotFound and Refused."""
    open_file = _READERS.get(path.suffix.lower())
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused(f"{name} is not a file", fix="give the path of an exported table")
        if open_file is None:
            raise Refused(f"{name}: unsupported file type", fix=f"export it as {join(list(_READERS), 'or')}")
        return open_file(path, name)
    except FileNotFoundError as error:
        raise NotFound(f"{name} does not exist", fix="give the path of an exported table") from error
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> Refused:
    fault = (error.strerror if isinstance(error, OSError) else "") or str(error).split("\n", 1)[0]
    return Refused(f"{name} cannot be read: {fault}", fix="export it again; the file must be complete")


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
    for form in (str, _words):
        for name in (column.source, column.name):
            if matching := [header for header in headers if form(header) == form(name)]:
                return matching
    return []


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", text.casefold()))


def _typed(table: Table, found: Mapping[str, str], columns: tuple[Column, ...], timezone: str) -> pl.DataFrame:
    """The found columns, typed (an invalid value is null), and for each one `NAME?`: whether its value is invalid."""
    there = [column for column in columns if column.name in found]
    texts = [
        column_types.text(found[column.name], column.type, column.null_values or ()).alias(f"{column.name}?")
        for column in there
    ]
    values = [
        column_types.typed(pl.col(f"{column.name}?"), column.type, timezone).alias(column.name) for column in there
    ]
    invalid = [
        (pl.col(column.name).is_null() & pl.col(f"{column.name}?").is_not_null()).alias(f"{column.name}?")
        for column in there
    ]
    # In three steps, because Polars' streaming engine would parse a value again for its flag.
    return table.rows.select(ROW, *texts).with_columns(values).with_columns(invalid).collect(engine="streaming")


# --- validation -------------------------------------------------------------------------------------------------------


def _find_damaged(table: Table, headers: tuple[str, ...], found: Mapping[str, str], manifest: DatasetManifest) -> str:
    """The rows that cannot be read as rows. Where there are some, the others' values are not to be trusted."""
    faults = [*table.row_faults]
    if table.unterminated and (faults or _may_be_cut_off(table, headers, found, manifest)):
        faults = [fault for fault in faults if fault.row != table.unterminated]
        faults.append(RowFault(table.unterminated, "no line break at its end; the file may have been cut off there"))
    shown = [f"row {fault.row:,}: {fault.fault}" for fault in faults]
    return _listed(f"{_count(len(shown), 'row')} damaged", shown[:SHOWN], len(shown)) if shown else ""


def _may_be_cut_off(
    table: Table, headers: tuple[str, ...], found: Mapping[str, str], manifest: DatasetManifest
) -> bool:
    """Whether the value at the end of the file could be the beginning of another valid value."""
    last = table.rows.select(pl.exclude(ROW).last()).collect().to_dicts()[0]
    for column in manifest.columns:
        if found.get(column.name) == headers[-1]:
            value = last[headers[-1]]
            if column.name == "label":
                return any(label != value and label.startswith(value) for label in manifest.classes)
            return not value or column.type in {"string", "integer", "number", "datetime"}
    return False


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
    if fault := table.column_faults.get(header):
        yield f"{column.name}: the column has {fault}, expected {column_types.EXPECTED[column.type]}"
        return
    is_invalid, is_null = pl.col(f"{column.name}?"), pl.col(column.name).is_null()
    no_text = table.cell_faults.get(header, {})
    invalid = sorted({*frame.filter(is_invalid)[ROW], *no_text})
    if invalid:
        first = table.rows.filter(pl.col(ROW).is_in(invalid[:SHOWN])).select(ROW, header).sort(ROW).collect()
        shown = [f"row {row:,}: {no_text.get(row) or _shown(text)}" for row, text in first.rows()]
        yield _listed(
            f"{column.name}: {_count(len(invalid), 'value')} not {column_types.EXPECTED[column.type]}",
            shown,
            len(invalid),
        )
    empty = () if column.nullable else frame.filter(is_null & ~is_invalid & ~pl.col(ROW).is_in([*no_text]))[ROW]
    if len(empty):
        yield _listed(
            f"{column.name}: {_count(len(empty), 'row')} without a value",
            [f"row {row:,}" for row in empty[:SHOWN]],
            len(empty),
        )
    if column.type == "string" and column.name != "label" and column.null_values is None:
        yield from _check_markers(frame, column.name)


def _check_markers(frame: pl.DataFrame, name: str) -> Iterator[str]:
    """Texts that other programs write for a missing value, unless the manifest says which of them are."""
    groups = _group(frame.filter(column_types.is_marker(pl.col(name))), name)
    if groups:
        heading = (
            f"{name}: {plural(len(groups), 'text')} may stand for a missing value; "
            f"set columns.{name}.null_values to those that do, or to []"
        )
        yield _listed(heading, groups[:SHOWN], len(groups))


def _check_duplicates(frame: pl.DataFrame) -> Iterator[str]:
    repeated = frame.filter(pl.col("uuid").is_not_null() & pl.col("uuid").is_duplicated())
    groups = repeated.group_by("uuid").agg(ROW).sort(pl.col(ROW).list.first())
    if len(groups):
        shown = [f"{uuid}: rows {', '.join(map(str, rows[:SHOWN]))}" for uuid, rows in groups.head(SHOWN).rows()]
        yield _listed(f"uuid: {plural(len(groups), 'duplicate UUID')}", shown, len(groups))


def _check_labels(frame: pl.DataFrame, classes: tuple[str, ...]) -> Iterator[str]:
    unknown = frame.filter(pl.col("label").is_not_null() & ~pl.col("label").is_in(list(classes)))
    if groups := _group(unknown, "label"):
        heading = f"label: {_count(len(groups), 'label')} not in classes"
        yield _listed(heading, groups[:SHOWN], len(groups))


def _group(frame: pl.DataFrame, name: str) -> list[str]:
    """Each value of a column, with its rows."""
    groups = frame.group_by(name).agg(pl.len(), pl.col(ROW).min()).sort(ROW)
    return [f"{_shown(value)}: {plural(count, 'row')}, first in row {row:,}" for value, count, row in groups.rows()]


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


def read_selection(data: bytes, name: str, *, rows: int = parquet_footer.MAX_ROWS) -> pl.DataFrame:
    """The rows of a `selection.parquet`. Raises Refused where it is damaged, or has more than `rows`."""
    try:
        return parquet_files.read_table(data, name, at_most=rows)
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
