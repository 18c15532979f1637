"""Tables of rows: reading exports under a manifest's column contract, and a selection in its one form.

A cell is first a text, whatever file it came from, so that CSV, JSON and Parquet of the same rows give the same
selection; `cells` says what a text means.
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
from registry.dataset import column_types, json_stream
from registry.errors import SHOWN, InvalidData, InvalidDocument, NotFound, Refused

ROW = "\0row"  # the column of row numbers, under a name that no file has
ROWS_PER_GROUP = 131_072


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they came: every column a text, and `ROW` as a spreadsheet (from 2) or a list (from 1) counts them."""

    name: str
    rows: pl.LazyFrame
    heads: tuple[str, ...]


def read(path: Path, manifest: DatasetManifest, *, timezone: str = "UTC", name: str = "") -> pl.DataFrame:
    """The rows of a CSV, Parquet or JSON file as the manifest's columns, in their order, sorted by uuid.

    `timezone` is that of times which name none; `name` is what messages call the file. A column's head is its `from`,
    or else its own name, or else either of them with other punctuation (Looker writes `images.uuid` as `Images UUID`).
    Raises NotFound and Refused for a file that cannot be read, InvalidData with every kind of fault that its rows have.
    """
    _require_timezone(timezone, manifest)
    table = open_table(path, name or str(path))
    found, problems = _match(table.heads, manifest.columns) if table.heads else ({}, [])
    frame = _typed(table, found, manifest.columns, timezone)
    problems += _judge(table, frame, found, manifest)
    if problems:
        raise InvalidData(
            f"{table.name} does not hold what {manifest.id}/dataset.yaml asks for; nothing was written",
            problems,
            fix="correct the rows where they come from, or columns and classes in the manifest; then try again",
        )
    return frame.select(column.name for column in manifest.columns).sort("uuid")


def _require_timezone(timezone: str, manifest: DatasetManifest) -> None:
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(timezone)
    except pl.exceptions.PolarsError as error:
        raise InvalidDocument(
            f"{manifest.id}/dataset.yaml",
            f"source: {timezone!r} is not a time zone",
            fix="write its name in the time zone database, such as Europe/Berlin or UTC",
        ) from error


# --- files ------------------------------------------------------------------------------------------------------------


def open_table(path: Path, name: str) -> Table:
    """A file's rows, not read yet where its form allows. Raises NotFound and Refused."""
    reader = _READERS.get(path.suffix.lower())
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused(f"{name} is not a file", fix="give the path of one exported table")
        if reader is None:
            raise Refused(f"{name} is no kind of table known here", fix=f"export it as one of {', '.join(_READERS)}")
        path.open("rb").close()
        rows = reader(path)
        return Table(name, rows, tuple(head for head in rows.collect_schema().names() if head != ROW))
    except FileNotFoundError as error:
        raise NotFound(f"{name} does not exist", fix="give the path of an exported table") from error
    except (OSError, pl.exceptions.PolarsError, json_stream.NotRows) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> Refused:
    fault = (error.strerror if isinstance(error, OSError) else "") or str(error).split("\n", 1)[0]
    return Refused(f"{name} cannot be read: {fault}", fix="export it again, whole, CSV and JSON in UTF-8")


def _read_csv(path: Path) -> pl.LazyFrame:
    rows = pl.scan_csv(path, infer_schema=False, row_index_name=ROW, row_index_offset=2)
    return rows.filter(~pl.all_horizontal(pl.exclude(ROW).fill_null("") == ""))  # spreadsheets leave empty lines


def _read_json(path: Path) -> pl.LazyFrame:
    return json_stream.read(path).lazy().with_row_index(ROW, offset=1)


def _read_parquet(path: Path) -> pl.LazyFrame:
    rows = pl.scan_parquet(path)
    texts = [column_types.as_text(head, dtype) for head, dtype in rows.collect_schema().items()]
    return rows.select(texts).with_row_index(ROW, offset=1)


_READERS: Mapping[str, Callable[[Path], pl.LazyFrame]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".json": _read_json,
    ".ndjson": _read_json,
    ".jsonl": _read_json,
}


# --- columns ----------------------------------------------------------------------------------------------------------


def _match(heads: tuple[str, ...], columns: tuple[Column, ...]) -> tuple[dict[str, str], list[str]]:
    """Column name → its head, and a problem for each column that has none or several."""
    fits = {column: _fitting(heads, column) for column in columns}
    found = {column.name: fitting[0] for column, fitting in fits.items() if len(fitting) == 1}
    problems = [f"{column.name} could be any of {_quoted(several)}" for column, several in fits.items() if several[1:]]
    if missing := [column for column, fitting in fits.items() if not fitting]:
        wanted = [" or ".join(dict.fromkeys((column.source, column.name))) for column in missing]
        heading = f"{_count(len(missing), 'column')} missing; there are {_quoted(heads)}"
        problems.append(_listed(heading, wanted[:SHOWN], len(missing)))
    return found, problems


def _fitting(heads: tuple[str, ...], column: Column) -> list[str]:
    # Polars numbers the second of two equal heads; which of them is meant, nobody can say.
    plain = {head: re.sub(r"_duplicated_[0-9]+$", "", head) for head in heads}
    for form in (str, _words):
        for name in (column.source, column.name):
            if fits := [head for head, text in plain.items() if form(text) == form(name)]:
                return fits
    return []


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", text.casefold()))


def _typed(table: Table, found: Mapping[str, str], columns: tuple[Column, ...], timezone: str) -> pl.DataFrame:
    """The found columns, typed (a wrong value is null), and beside each one `NAME?`: whether its value is wrong."""
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


# --- judging ----------------------------------------------------------------------------------------------------------


def _judge(table: Table, frame: pl.DataFrame, found: Mapping[str, str], manifest: DatasetManifest) -> Iterator[str]:
    """Each kind of problem: what it is, how often, and the first ten."""
    if frame.is_empty():
        yield "there are no rows"
        return
    for column in manifest.columns:
        if head := found.get(column.name):
            yield from _judge_values(table, frame, head, column)
    if "uuid" in found:
        yield from _judge_repeats(frame)
    if "label" in found:
        yield from _judge_classes(frame, manifest.classes)


def _judge_values(table: Table, frame: pl.DataFrame, head: str, column: Column) -> Iterator[str]:
    is_wrong, is_null = pl.col(f"{column.name}?"), pl.col(column.name).is_null()
    wrong = frame.filter(is_wrong)[ROW].to_list()
    if wrong:
        first = table.rows.filter(pl.col(ROW).is_in(wrong[:SHOWN])).select(ROW, head).collect()
        shown = [f"row {row:,}: {_shown(text)}" for row, text in first.sort(ROW).rows()]
        yield _listed(
            f"{column.name}: {_count(len(wrong), 'value')} not {column_types.EXPECTED[column.type]}", shown, len(wrong)
        )
    empty = () if column.nullable else frame.filter(is_null & ~is_wrong)[ROW].to_list()
    if empty:
        shown = [f"row {row:,}" for row in empty[:SHOWN]]
        yield _listed(f"{column.name}: {_count(len(empty), 'row')} without a value", shown, len(empty))


def _judge_repeats(frame: pl.DataFrame) -> Iterator[str]:
    repeated = frame.filter(pl.col("uuid").is_not_null() & pl.col("uuid").is_duplicated())
    groups = repeated.group_by("uuid").agg(ROW).sort(pl.col(ROW).list.first())
    if len(groups):
        shown = [f"{uuid}: rows {', '.join(map(str, rows[:SHOWN]))}" for uuid, rows in groups.head(SHOWN).rows()]
        yield _listed(f"uuid: {_count(len(groups), 'UUID')} there more than once", shown, len(groups))


def _judge_classes(frame: pl.DataFrame, classes: tuple[str, ...]) -> Iterator[str]:
    strange = frame.filter(pl.col("label").is_not_null() & ~pl.col("label").is_in(list(classes)))
    groups = strange.group_by("label").agg(pl.len(), pl.col(ROW).min()).sort(ROW)
    if len(groups):
        shown = [f"{_shown(label)}: {count:,} × from row {row:,} on" for label, count, row in groups.head(SHOWN).rows()]
        yield _listed(f"label: {_count(len(groups), 'label')} not among the manifest's classes", shown, len(groups))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{' is' if number == 1 else 's are'}"


def _listed(head: str, shown: Sequence[str], total: int) -> str:
    rest = [f"… and {total - len(shown):,} more"] if total > len(shown) else []
    return "\n      ".join([head, *shown, *rest])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(map(_shown, texts[:50])) + (", …" if len(texts) > 50 else "")


# --- a selection's own form -------------------------------------------------------------------------------------------


def write_selection(rows: pl.DataFrame) -> bytes:
    """Parquet of rows that are sorted by uuid: the same rows and the same Polars release give the same bytes.

    Row groups are of a fixed size and hold no statistics. The bytes name Polars' release, so they change with it: what
    says whether two selections hold the same rows is `rows_hash`.
    """
    out = BytesIO()
    rows.write_parquet(out, compression="zstd", compression_level=3, statistics=False, row_group_size=ROWS_PER_GROUP)
    return out.getvalue()


def read_selection(data: bytes, name: str) -> pl.DataFrame:
    """The rows of a `selection.parquet`. Raises Refused when it is none."""
    try:
        return pl.read_parquet(BytesIO(data))
    except pl.exceptions.PolarsError as error:
        raise Refused(f"{name} is not a selection", fix="run `dvc checkout`, or `registry select` again") from error


def rows_hash(rows: pl.DataFrame) -> str:
    """The SHA-256 of the rows as CSV: every value a quoted text, no value an empty cell, `\\n` at the end of lines.

    Times are `2024-01-31T12:00:00.000000Z`, numbers the shortest text that reads back as the same number.
    """
    texts = [column_types.as_text(name, dtype) for name, dtype in rows.schema.items()]
    digest = sha256()
    for index, part in enumerate(rows.iter_slices(ROWS_PER_GROUP)):
        digest.update(part.select(texts).write_csv(include_header=not index, quote_style="non_numeric").encode())
    return digest.hexdigest()
