"""Exported tables, validated against a manifest's columns; and `selection.parquet`, the file of a selection.

Every cell is read as text first, so that CSV, JSON and Parquet of the same rows give the same selection;
`column_types` defines which value a text stands for.
"""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl

from registry.core.values import Column, DatasetManifest
from registry.core.wording import join
from registry.dataset import (
    column_types,
    delimited_files,
    export_archives,
    export_headers,
    json_files,
    parquet_files,
    parquet_footer,
)
from registry.dataset.export_files import ROW, Table, TableFile, panics_as_errors
from registry.dataset.export_headers import Match
from registry.dataset.export_problems import Reading, drop_totals, find_damaged, find_escaped, find_problems
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused

ROWS_PER_GROUP = 131_072
TIMEZONE_OPTION = "--timezone"
ZONES = "use a name of the IANA time zone database, such as Europe/Berlin or UTC"


@dataclass(frozen=True, slots=True)
class Zone:
    """The time zone of times that name none, and who says so; without a name, such times are refused."""

    name: str | None = None
    said_by: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ExportedRows:
    """The rows of a file, sorted by uuid, and lines on how they were read that a person should know."""

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()


def read(path: Path, manifest: DatasetManifest, *, zone: Zone, name: str = "", is_raw: bool = False) -> ExportedRows:
    """The rows of a CSV, tab-separated, Parquet or JSON file as the manifest's columns, in their order, sorted by uuid.

    The file may be compressed (`export_archives.unpack`). `name` is what messages call the file; `is_raw` says that no
    value was formatted for people, as in what an API returns. `export_headers.match` says which column is which.
    Raises NotFound and Refused for a file that cannot be read, InvalidData with every kind of problem in its rows.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused(f"{name or path} is not a file", fix="give the path of an exported table")
        with export_archives.unpack(path, name or str(path), _READERS) as file:
            return _read(file.path, manifest, zone, file.name, is_raw=is_raw)
    except FileNotFoundError as error:
        raise NotFound(f"{name or path} does not exist", fix="give the path of an exported table") from error
    except OSError as error:
        raise _unreadable(name or str(path), error) from error


def _read(path: Path, manifest: DatasetManifest, zone: Zone, name: str, *, is_raw: bool) -> ExportedRows:
    file = _open(path, name)
    timezone = _find_zone(file, zone, name, manifest)
    _require_column_zones(manifest)
    found = export_headers.match(file.headers, manifest.columns) if file.headers else Match({}, ())
    problems = [*found.problems]
    try:
        with panics_as_errors():
            table = file.read(tuple(dict.fromkeys(found.headers.values())))
            if damaged := find_damaged(table, file.headers, found.headers, manifest):
                raise InvalidData(
                    f"{name} is damaged; nothing was written",
                    [damaged, *problems],
                    fix="save it as UTF-8 (in Excel: CSV UTF-8)"
                    if "is not UTF-8" in damaged
                    else "export it again; if nothing but the last line break is missing, add it",
                )
            frame = _typed(table, found.headers, manifest.columns, timezone)
            reading = Reading(manifest, table, found.headers, timezone, is_raw=is_raw)
            frame, notes = (frame, ()) if is_raw else drop_totals(frame, reading)
            problems += find_problems(frame, reading)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(name, error) from error
    if problems:
        raise InvalidData(
            f"{name} does not match {manifest.id}/dataset.yaml; nothing was written",
            problems,
            fix="correct the rows at their source, or columns and classes in the manifest; then select again",
        )
    if not is_raw:
        notes = (*notes, *_describe_zone(frame, timezone, zone), *find_escaped(frame, manifest))
    return ExportedRows(frame.select(column.name for column in manifest.columns).sort("uuid"), notes)


def _find_zone(file: TableFile, zone: Zone, name: str, manifest: DatasetManifest) -> str | None:
    """The time zone, or the one that the file itself names. Raises Refused and InvalidDocument."""
    if file.timezone and zone.name and file.timezone != zone.name and zone.said_by != TIMEZONE_OPTION:
        raise Refused(
            f"{name} says that its times are in {file.timezone}, expected {zone.name} ({zone.said_by})",
            fix=f"say which is right: {TIMEZONE_OPTION} {file.timezone}",
        )
    timezone = zone.name or file.timezone
    if timezone is None or _is_known(timezone):
        return timezone
    if zone.name and zone.said_by != TIMEZONE_OPTION:
        raise InvalidDocument(f"{manifest.id}/dataset.yaml", f"source: unknown time zone {timezone!r}", fix=ZONES)
    where = TIMEZONE_OPTION if zone.name else name
    raise Refused(f"{where}: unknown time zone {timezone!r}", fix=ZONES)


def _require_column_zones(manifest: DatasetManifest) -> None:
    for column in manifest.columns:
        if column.timezone is not None and not _is_known(column.timezone):
            fault = f"columns.{column.name}: unknown time zone {column.timezone!r}"
            raise InvalidDocument(f"{manifest.id}/dataset.yaml", fault, fix=ZONES)


def _is_known(timezone: str) -> bool:
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(timezone)
    except pl.exceptions.PolarsError:
        return False
    return True


def _describe_zone(frame: pl.DataFrame, timezone: str | None, zone: Zone) -> tuple[str, ...]:
    """A line that names the time zone of times that name none, where there are any."""
    local = [name for name in frame.columns if name.endswith("@") and frame[name].any()]
    if not local:
        return ()
    names = join([name.removesuffix("@") for name in local])
    return (f"{names}: times without an offset were read in {timezone} ({zone.said_by or 'as the file says'})",)


# --- files ------------------------------------------------------------------------------------------------------------

_READERS: Mapping[str, Callable[[Path, str], TableFile]] = {
    **dict.fromkeys(delimited_files.SEPARATORS, delimited_files.open_file),
    **dict.fromkeys((".json", ".ndjson", ".jsonl"), json_files.open_file),
    ".parquet": parquet_files.open_file,
}
# What else Looker's downloads and spreadsheets are.
_NO_TABLES: Mapping[str, str] = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb"), "an Excel workbook"),
    **dict.fromkeys((".ods", ".numbers", ".gsheet"), "a spreadsheet"),
    **dict.fromkeys((".html", ".htm", ".mht"), "a web page"),
    **dict.fromkeys((".pdf", ".png", ".jpg", ".jpeg"), "a picture of a table"),
    ".md": "a Markdown document",
    ".sql": "a query",
}

SUFFIXES = (*_READERS, *(f"{suffix}.gz" for suffix in _READERS), ".zip")  # of the files that `read` takes


def _open(path: Path, name: str) -> TableFile:
    """The reader of a file. Raises Refused."""
    suffix = path.suffix.lower()
    if suffix in _NO_TABLES:
        raise Refused(f"{name} is {_NO_TABLES[suffix]}, expected a table", fix="in Looker choose CSV, or JSON – Simple")
    if suffix not in _READERS:
        raise Refused(f"{name}: unsupported file type", fix=f"export it as {join(list(_READERS), 'or')}")
    try:
        return _READERS[suffix](path, name)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> Refused:
    fault = (error.strerror if isinstance(error, OSError) else "") or str(error).split("\n", 1)[0]
    return Refused(f"{name} cannot be read: {fault}", fix="export it again; the file must be complete")


# --- columns ----------------------------------------------------------------------------------------------------------


def _typed(table: Table, found: Mapping[str, str], columns: tuple[Column, ...], timezone: str | None) -> pl.DataFrame:
    """The found columns, typed (an invalid value is null), and for each one `NAME?`: whether its value is invalid.

    For times also `NAME@`: whether the value is one without a zone, unless the column has one.
    """
    there = [column for column in columns if column.name in found]
    texts = [
        column_types.text(found[column.name], column.type, column.null_values or ()).alias(f"{column.name}?")
        for column in there
    ]
    values = [
        column_types.typed(pl.col(f"{column.name}?"), column.type, column.timezone or timezone).alias(column.name)
        for column in there
    ]
    invalid = [
        (pl.col(column.name).is_null() & pl.col(f"{column.name}?").is_not_null()).alias(f"{column.name}?")
        for column in there
    ]
    local = [
        column_types.is_local(pl.col(f"{column.name}?")).fill_null(value=False).alias(f"{column.name}@")
        for column in there
        if column.type == "datetime" and column.timezone is None
    ]
    # In three steps, because Polars' streaming engine would parse a value again for its flag.
    return (
        table.rows.select(ROW, *texts).with_columns(*values, *local).with_columns(invalid).collect(engine="streaming")
    )


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
