"""What keeps the rows of an exported table from being a selection, each kind of problem once, with its first rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import polars as pl

from registry.core.values import Column, DatasetManifest
from registry.core.wording import join, plural
from registry.dataset import column_types
from registry.dataset.export_files import ROW, RowFault, Table
from registry.errors import SHOWN


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a table is read: the header of each column that was found, and the time zone of times that name none.

    `is_raw` says that no value was formatted for people.
    """

    manifest: DatasetManifest
    table: Table
    headers: Mapping[str, str]
    timezone: str | None
    is_raw: bool = False


def find_damaged(table: Table, headers: tuple[str, ...], found: Mapping[str, str], manifest: DatasetManifest) -> str:
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


def drop_totals(frame: pl.DataFrame, reading: Reading) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows without a last one that has numbers alone, neither UUID nor label: Looker's totals; and a line on it."""
    if frame.height < 2 or not reading.table.may_end_in_totals or not {"uuid", "label"} <= reading.headers.keys():
        return frame, ()
    last = frame.row(-1, named=True)
    kinds = {column.name: column.type for column in reading.manifest.columns if column.name in reading.headers}
    names = [name for name, kind in kinds.items() if kind not in {"integer", "number"}]
    if any(last[name] is not None or last[f"{name}?"] for name in names):
        return frame, ()
    return frame[:-1], (f"row {last[ROW]:,} has neither uuid nor label: Looker's totals, which were left out",)


def find_escaped(frame: pl.DataFrame, manifest: DatasetManifest) -> Iterator[str]:
    """A line for each column with texts that a download with formatted values may have escaped."""
    for column in manifest.columns:
        if column.type == "string":
            found = frame.filter(column_types.is_escaped(pl.col(column.name)))
            if found.height:
                row, text = found.select(ROW, column.name).row(0)
                yield (
                    f"warning: {column.name}: {plural(found.height, 'text')} with HTML, as formatted values have it; "
                    f"taken as they stand, first in row {row:,}: {_shown(text)}"
                )


def find_problems(frame: pl.DataFrame, reading: Reading) -> Iterator[str]:
    """Each kind of problem, with its number and the first ten."""
    if frame.is_empty():
        yield "the table has no rows"
        return
    for column in reading.manifest.columns:
        if header := reading.headers.get(column.name):
            yield from _check_values(frame, header, column, reading)
    if "uuid" in reading.headers:
        yield from _check_duplicates(frame, reading.manifest.columns)
    if "label" in reading.headers:
        yield from _check_labels(frame, reading.manifest.classes)


def _check_values(frame: pl.DataFrame, header: str, column: Column, reading: Reading) -> Iterator[str]:
    table = reading.table
    if fault := table.column_faults.get(header):
        yield f"{column.name}: the column has {fault}, expected {column_types.EXPECTED[column.type]}"
        return
    is_invalid, is_null = pl.col(f"{column.name}?"), pl.col(column.name).is_null()
    no_text = table.cell_faults.get(header, {})
    without_zone = _without_zone(frame, column, reading)
    invalid = sorted({*frame.filter(is_invalid)[ROW], *no_text} - {*without_zone})
    if invalid:
        yield _listed(
            f"{column.name}: {_count(len(invalid), 'value')} not {column_types.EXPECTED[column.type]}",
            _first_rows(table, header, invalid),
            len(invalid),
        )
    if without_zone:
        yield _listed(
            f"{column.name}: {_count(len(without_zone), 'time')} without an offset, in an unknown time zone; say which "
            "with --timezone, or in source.export.timezone",
            _first_rows(table, header, without_zone),
            len(without_zone),
        )
    empty = () if column.nullable else frame.filter(is_null & ~is_invalid & ~pl.col(ROW).is_in([*no_text]))[ROW]
    if len(empty):
        yield _listed(
            f"{column.name}: {_count(len(empty), 'row')} without a value",
            [f"row {row:,}" for row in empty[:SHOWN]],
            len(empty),
        )
    if column.type == "number" and not reading.is_raw and header not in table.plain:
        yield from _check_grouping(table, header, column)
    if column.type == "string" and column.name != "label" and column.null_values is None:
        yield from _check_markers(frame, column.name)


def _first_rows(table: Table, header: str, rows: Sequence[int]) -> list[str]:
    """The text of the first of these rows, or what is there that is no text."""
    no_text = table.cell_faults.get(header, {})
    first = table.rows.filter(pl.col(ROW).is_in(rows[:SHOWN])).select(ROW, header).sort(ROW).collect()
    return [f"row {row:,}: {no_text.get(row) or _shown(text)}" for row, text in first.rows()]


def _without_zone(frame: pl.DataFrame, column: Column, reading: Reading) -> list[int]:
    """The rows with a time that names no zone, where none is known."""
    if column.type != "datetime" or column.timezone or reading.timezone is not None:
        return []
    return frame.filter(f"{column.name}@")[ROW].sort().to_list()


def _check_grouping(table: Table, header: str, column: Column) -> Iterator[str]:
    """Numbers all of which may be whole ones with a point between their thousands: 1.920 and 4.032, beside 800."""
    texts = table.rows.select(ROW, value=pl.col(header).str.strip_chars()).filter(pl.col("value").str.contains(r"\."))
    pointed = texts.collect()
    if pointed.is_empty() or not pointed.select(column_types.is_grouped(pl.col("value")).all()).item():
        return
    heading = (
        f"{column.name}: {plural(pointed.height, 'number')} may be decimals, or have a point between thousands; "
        "download the values unformatted, or as JSON"
    )
    yield _listed(heading, _first_rows(table, header, pointed[ROW].to_list()), pointed.height)


def _check_markers(frame: pl.DataFrame, name: str) -> Iterator[str]:
    """Texts that other programs write for a missing value, unless the manifest says which of them are."""
    groups = _group(frame.filter(column_types.is_marker(pl.col(name))), name)
    if groups:
        heading = (
            f"{name}: {plural(len(groups), 'text')} may stand for a missing value; "
            f"set columns.{name}.null_values to those that do, or to []"
        )
        yield _listed(heading, groups[:SHOWN], len(groups))


def _check_duplicates(frame: pl.DataFrame, columns: Sequence[Column]) -> Iterator[str]:
    """UUIDs in several rows, and the columns in which those rows differ: the fields that a join repeats them for."""
    repeated = frame.filter(pl.col("uuid").is_not_null() & pl.col("uuid").is_duplicated())
    groups = repeated.group_by("uuid").agg(ROW).sort(pl.col(ROW).list.first())
    if len(groups):
        shown = [f"{uuid}: rows {', '.join(map(str, rows[:SHOWN]))}" for uuid, rows in groups.head(SHOWN).rows()]
        heading = f"uuid: {plural(len(groups), 'duplicate UUID')}{_describe_repeated(repeated, columns)}"
        yield _listed(heading, shown, len(groups))


def _describe_repeated(repeated: pl.DataFrame, columns: Sequence[Column]) -> str:
    others = [column for column in columns if column.name in repeated.columns and column.name != "uuid"]
    varying = (
        repeated.group_by("uuid").agg(pl.col([column.name for column in others]).n_unique() > 1) if others else None
    )
    differing = [one for one in others if varying is not None and varying[one.name].any()]
    if not differing:
        return ""
    base = next(_view(column) for column in columns if column.name == "uuid")
    joined = list(dict.fromkeys(view for column in differing if (view := _view(column)) not in {"", base}))
    cause = f", because the join of {join(joined)} repeats rows" if joined else ""
    names = [
        column.name if column.source == column.name else f"{column.name} ({column.source})" for column in differing
    ]
    return f", whose rows differ in {join(names)}{cause}"


def _view(column: Column) -> str:
    """The Looker view of a column's field; empty for a header of a file."""
    view, dot, _ = column.source.partition(".")
    return view if dot else ""


def _check_labels(frame: pl.DataFrame, classes: tuple[str, ...]) -> Iterator[str]:
    unknown = frame.filter(pl.col("label").is_not_null() & ~pl.col("label").is_in(list(classes)))
    if groups := _group(unknown, "label"):
        heading = f"label: {_count(len(groups), 'label')} not in classes"
        yield _listed(heading, groups[:SHOWN], len(groups))


def _group(frame: pl.DataFrame, name: str) -> list[str]:
    """Each value of a column, with its rows; values that look alike, such as `é` in its two forms, also in ASCII."""
    groups = frame.group_by(name).agg(pl.len(), pl.col(ROW).min()).sort(ROW).rows()
    forms = Counter(normalize("NFKC", value) for value, _, _ in groups if isinstance(value, str))
    alike = {value for value, _, _ in groups if isinstance(value, str) and forms[normalize("NFKC", value)] > 1}
    return [
        f"{_shown(value)}{f' (in ASCII: {value!a})' if value in alike else ''}: {plural(count, 'row')}, "
        f"first in row {row:,}"
        for value, count, row in groups
    ]


def _count(number: int, noun: str) -> str:
    return f"{plural(number, noun)} {'is' if number == 1 else 'are'}"


def _listed(heading: str, shown: Sequence[str], total: int) -> str:
    rest = [f"… and {total - len(shown):,} more"] if total > len(shown) else []
    return "\n      ".join([heading, *shown, *rest])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
