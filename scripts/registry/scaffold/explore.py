"""A query of Looker as the source, the columns and the classes of a new dataset, and what of it cannot be taken."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from registry.core import documents, looker_dates
from registry.core.looker_addresses import Query
from registry.core.values import Column, Look
from registry.errors import Refused

# LookML's types of fields; those that are missing are strings.
_TYPES: Mapping[str, str] = {
    "number": "number", "yesno": "boolean", "date_date": "date", "date": "date", "date_week": "date",
    "date_time": "datetime", "date_raw": "datetime", "time": "datetime", "date_second": "datetime",
    "date_millisecond": "datetime", "date_microsecond": "datetime", "date_minute": "datetime",
    "count": "integer", "count_distinct": "integer", "sum": "number", "sum_distinct": "number", "average": "number",
    "average_distinct": "number", "median": "number", "percentile": "number", "running_total": "number",
    "date_day_of_month": "integer", "date_day_of_year": "integer", "date_hour_of_day": "integer",
    "date_year": "integer",
}  # fmt: skip
_GUESSES = {"_date": "date", "_week": "date", "_time": "datetime", "_raw": "datetime"}  # by the end of a field's name
_UUIDS = (
    r"uuid",
    r"(image|photo|picture|item|file)_?uuid",
    r".*_?(uuid|guid)",
    r"(image|photo|picture|item)_?id",
    r"id",
)
_LABELS = (
    r"label", r"(image|photo)_label", r"class|class_?name|target", r"category|species|breed",
    r".*_(label|class|category)",
)  # fmt: skip
MAX_NAME = 64  # characters of a column's name
DATABASE_ZONE = "<the time zone of the database>"
_CUSTOM = ("dimension", "measure", "table_calculation")  # kinds of fields that only a query has
_RESERVED = re.compile(r"split|image|label_name|(?:.*_)?file_names?")  # as columns.schema.json says
_CLASS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}(?<![ .])")
# What YAML reads as a text without quotes, in any version of it.
_PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|y|n)$)[A-Za-z]\w*(?:[ .-][A-Za-z]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """What a new dataset is filled with. `look` is the saved Look whose query it is; else the query is copied."""

    query: Query
    look: Look | None
    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()


def choose(
    query: Query,
    look: Look | None = None,
    *,
    types: Mapping[str, str] | None = None,
    uuid: str | None = None,
    label: str | None = None,
) -> Source:
    """The source and the columns of a query. `types` are LookML's by field, None where they are not known.

    `uuid` and `label` name the fields of the columns that every dataset has; without them they are guessed from the
    fields' names. Raises Refused where that is not clear, where a filter needs a field that only the query has, or
    where the query is not known and `uuid` or `label` is not given.
    """
    custom = frozenset(_custom_fields(query, ("table_calculation",) if look else _CUSTOM))
    filtered = {*query.filters, *re.findall(r"\$\{([^}]*)\}", query.filter_expression or "")}
    if look is None and (lost := sorted(custom & filtered)):
        message = f"a filter is on the custom field {lost[0]}, which a dataset's query cannot have"
        raise Refused(message, fix="save the query as a Look, and use the address of the Look")
    known = [name for name in query.fields if name not in custom]
    fields = list(dict.fromkeys([*(name for name in (uuid, label) if name), *known]))
    uuid = uuid or _guess("uuid", [name for name in fields if name != label], _UUIDS, types)
    label = label or _guess("label", [name for name in fields if name != uuid], _LABELS, types)
    others = [name for name in fields if name not in {uuid, label}]
    columns = (
        Column("uuid", uuid, "uuid", nullable=False),
        Column("label", label, "string", nullable=False),
        *(Column(name, field, _type(field, types), nullable=True) for name, field in _column_names(others)),
    )
    taken = replace(query, sorts=tuple(sort for sort in query.sorts if sort.split()[0] in fields))
    return Source(taken, look, columns, _listed(query.filters.get(label, "")))


def require_known(source: Source, types: Mapping[str, str]) -> None:
    """Raise Refused for a field that the explore does not have: one that was misspelt, or is gone from LookML."""
    known = {*types, *_custom_fields(source.query)}
    for column in source.columns:
        if column.source not in known:
            near = get_close_matches(column.source, known, 1)
            fix = f"did you mean {near[0]}?" if near else "open the address in Looker, and copy it again"
            raise Refused(f"explore {source.query.view} has no field {column.source}", fix=fix)


def with_zones(source: Source, unconverted: Mapping[str, str]) -> Source:
    """The source with a placeholder for the time zone of each time that Looker leaves in the database's."""
    placed = (
        replace(column, timezone=DATABASE_ZONE)
        if column.type == "datetime" and column.source in unconverted
        else column
        for column in source.columns
    )
    return replace(source, columns=tuple(placed))


def _guess(role: str, fields: Sequence[str], patterns: Iterable[str], types: Mapping[str, str] | None) -> str:
    """The one field whose name fits the first pattern that any fits, or the only text among them."""
    for pattern in patterns:
        found = [name for name in fields if re.fullmatch(pattern, _short(name))]
        if len(found) == 1:
            return found[0]
        if found:
            break
    if not fields:
        fix = "choose fields in Looker and run the query, or name them with --uuid VIEW.FIELD and --label VIEW.FIELD"
        raise Refused(f"the address names no field for the {role}", fix=fix)
    texts = [name for name in fields if _type(name, types) == "string"]
    if role == "label" and len(texts) == 1:
        return texts[0]
    shown = ", ".join(fields) or "none"
    option = f"--{role} VIEW.FIELD"
    raise Refused(
        f"the field of the {role} is not clear among those of the query: {shown}", fix=f"name it with {option}"
    )


def _short(field: str) -> str:
    return re.sub(r"\W", "_", field.rsplit(".", 1)[-1]).lower()


def _type(field: str, types: Mapping[str, str] | None) -> str:
    if types is not None and field in types:
        return _TYPES.get(types[field], "string")
    return next((kind for end, kind in _GUESSES.items() if _short(field).endswith(end)), "string")


def _column_names(fields: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A name for each field: its own, or with its view where that is taken or means something else."""
    taken = {"uuid", "label"}
    repeated = {name for name in map(_short, fields) if [*map(_short, fields)].count(name) > 1}
    for field in fields:
        name = _short(field)
        if name in taken | repeated or _RESERVED.fullmatch(name) or not name[0].isascii() or not name[0].isalpha():
            name = re.sub(r"\W", "_", field, flags=re.ASCII).lower().strip("_") or "column"
        name = re.sub(r"[^a-z0-9_]", "_", name)[: MAX_NAME - 10]
        name = name if name[0].isalpha() else f"column_{name}"
        name = f"{name}_in_looker"[:MAX_NAME] if _RESERVED.fullmatch(name) else name
        number = next(number for number in range(1, len(fields) + 3) if _numbered(name, number) not in taken)
        taken.add(_numbered(name, number))
        yield _numbered(name, number), field


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def _listed(text: str) -> tuple[str, ...]:
    """The labels that a filter lists (`cat,dog`); none where it says anything else (`%cat%`, `-dog`)."""
    labels = [label.strip() for label in next(csv.reader([text], skipinitialspace=True), [])]
    return usable_classes(labels) or ()


def usable_classes(labels: Sequence[str]) -> tuple[str, ...] | None:
    """Labels as a manifest's classes; None where one of them cannot be the name of a class."""
    distinct = tuple(dict.fromkeys(labels))
    is_usable = all(_CLASS.fullmatch(label) and label not in {"NULL", "EMPTY"} for label in distinct)
    return distinct if distinct and is_usable and len({*map(str.casefold, distinct)}) == len(distinct) else None


# --- the manifest -----------------------------------------------------------------------------------------------------


def source_text(source: Source) -> str:
    """The value of `source`, two spaces in front of each line."""
    query = source.query
    if source.look:
        # The address leads a reader to the Look; its number alone would do.
        value: dict[str, Any] = {"look": f"{source.look.origin}/looks/{source.look.id}"}
        if source.look.origin is None:
            value = {"look": int(source.look.id)}
    else:
        zone = query.timezone if _is_zone(query.timezone) else None
        parts = {
            "model": query.model, "view": query.view, "filters": dict(query.filters),
            "filter_expression": query.filter_expression, "sorts": list(query.sorts), "timezone": zone,
        }  # fmt: skip
        value = {"looker": {name: part for name, part in parts.items() if part}}
    return _indented(documents.write_yaml(value).decode())


def columns_text(columns: Sequence[Column]) -> str:
    """The value of `columns`, one line for each, two spaces in front of it."""
    lines = []
    for column in columns:
        nullable = ", nullable: true" if column.nullable else ""
        zone = f", timezone: {_scalar(column.timezone)}" if column.timezone else ""
        lines.append(f"  {column.name}: {{from: {_scalar(column.source)}, type: {column.type}{nullable}{zone}}}")
    return "\n".join(lines)


def classes_text(classes: Sequence[str]) -> str:
    """The value of `classes` on one line."""
    return f"[{', '.join(map(_scalar, classes))}]"


def _is_zone(text: str | None) -> bool:
    """Whether a text may name a time zone. `user_timezone` is that of each user; others are known to Looker."""
    return (
        text is not None
        and text != "user_timezone"
        and re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,99}", text) is not None
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip("\n").split("\n"))


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


# --- what is not taken ------------------------------------------------------------------------------------------------


def remarks(source: Source, types: Mapping[str, str] | None, measures: frozenset[str] = frozenset()) -> Iterator[str]:
    """What a reader has to know of the new manifest, line by line: what was not taken, and what was guessed."""
    query = source.query
    if not source.look:
        for name, text in query.omitted.items():
            yield from _describe_omitted(name, text, query)
        if query.timezone and not _is_zone(query.timezone):
            yield f"not taken: the time zone {query.timezone}, which is no name of one; times are read as UTC"
    for column in source.columns:
        if column.timezone == DATABASE_ZONE:
            yield f"{column.source} stays in the database's time zone, which Looker does not tell: fill in its timezone"
        if column.source in measures:
            yield f"{column.source} is a measure: Looker groups the rows by the other fields"
    guessed = [column for column in source.columns[2:] if types is None or column.source not in types]
    if guessed:
        named = ", ".join(f"{column.source} ({column.type})" for column in guessed)
        yield f"guessed by the name, as Looker was not asked: the type of {named}"
    for found in looker_dates.find_relative(query.filters, query.filter_expression, source.columns, types):
        yield found.remark


def _describe_omitted(name: str, text: str, query: Query) -> Iterator[str]:
    if name == "dynamic_fields":
        yield from _describe_custom(text)
    elif name not in _OMITTED:
        yield f"not taken: {name}={text}, which is not known here"
    elif line := _OMITTED[name](text, query):
        yield line


def _limit(text: str, query: Query) -> str:
    if text.strip().startswith("-"):
        return ""
    first = f", not the first {text} by {', '.join(query.sorts)}" if query.sorts else ""
    return f"not taken: the limit of {text} rows; a dataset takes every row{first}"


_OMITTED: Mapping[str, Callable[[str, Query], str]] = {
    "limit": _limit,
    "column_limit": lambda *_: "",
    "pivots": lambda text, _: f"not taken: the pivot by {text}, which becomes a column",
    "total": lambda *_: "not taken: totals, which are no images",
    "row_total": lambda *_: "not taken: totals of rows, which are no images",
    "subtotals": lambda *_: "not taken: subtotals, which are no images",
    "fill_fields": lambda text, _: f"not taken: rows that fill gaps of {text}, which are no images",
}


def _custom(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _custom_fields(query: Query, kinds: Sequence[str] = _CUSTOM) -> Iterator[str]:
    """The names of the fields that exist in the query only."""
    for one in _custom(query.omitted.get("dynamic_fields", "")):
        yield from (str(one[kind]) for kind in kinds if one.get(kind))


def _describe_custom(text: str) -> Iterator[str]:
    for one in _custom(text):
        name = next((str(one[kind]) for kind in _CUSTOM if one.get(kind)), "")
        what = "table calculation" if "table_calculation" in one else "custom field"
        yield f"not taken: the {what} {one.get('label') or name}; save the query as a Look to keep it"
