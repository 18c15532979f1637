"""Looker's filters of dates: whether the images that one admits change with the day of the query, and how.

The grammar is that of Looker's filter expressions for dates and times (https://cloud.google.com/looker/docs/filter-expressions):
`7 days`, `last month`, `this year to second`, `3 months ago for 2 days`, `before 2 weeks ago`, `after 2025-01-01`,
`2024/05 to yesterday`, `not today`, several of them joined by commas. A filter whose start is relative to now loses
images as time goes by; one whose end is relative gains them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.core.values import Column

_UNIT = r"(?:fiscal )?(?:millisecond|second|minute|hour|day|week|month|quarter|year)s?"
_COUNT = r"(?:[0-9]+|an?|one)"
_DURATION = rf"{_COUNT} (?:complete )?{_UNIT}"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_RELATIVE = re.compile(
    rf"now|today|yesterday|tomorrow|midnight|{_DAY}|(?:this|last|next|previous|current) (?:{_UNIT}|{_DURATION}|{_DAY})"
    rf"|{_DURATION}(?: ago| from now)?"
)
_DATE = r"[0-9]{4}(?:[-/][0-9]{1,2}(?:[-/][0-9]{1,2})?)?"
_TIME = r"[0-9]{1,2}(?::[0-9]{2}){0,2}(?:\.[0-9]+)?(?: ?[ap]m)?(?: ?(?:z|utc|[+-][0-9]{2}:?[0-9]{2}))?"
_ABSOLUTE = re.compile(
    rf"{_DATE}(?:[ t]{_TIME})?|(?:fy)?[0-9]{{4}}(?:[- ]?q[1-4])|fy[0-9]{{4}}|[0-9]{{4}}-w[0-9]{{1,2}}"
)
_TO_NOW = re.compile(rf"date|now|{_UNIT}")  # the end of `this quarter to second`
_ANY = {"", "any time", "any value", "null", "not null", "-null"}

# The timeframes of LookML's dimension groups, which end the names of their fields.
_TIMEFRAME = re.compile(
    r"(?:^|.*[._])(?:date|datetime|time|timestamp|raw|day|week|month|quarter|year|hour|minute|second|millisecond)[0-9]*"
)
_DATE_TYPES = {"date", "datetime"}
_QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')
_MATCHES = re.compile(r"matches_filter\s*\(\s*\$\{([^}]*)\}\s*,\s*`([^`]*)`")


@dataclass(frozen=True, slots=True)
class Movement:
    """What happens to the images of a filter as time goes by: some leave it, some enter it."""

    leave: bool = False
    enter: bool = False

    def __or__(self, other: "Movement") -> "Movement":
        return Movement(self.leave or other.leave, self.enter or other.enter)

    def __bool__(self) -> bool:
        return self.leave or self.enter


@dataclass(frozen=True, slots=True)
class RelativeFilter:
    """A filter that moves with the day of the query; `field` is empty for a filter expression."""

    field: str
    text: str
    movement: Movement

    @property
    def remark(self) -> str:
        """A line for people: a warning where images leave."""
        return f"{'warning' if self.movement.leave else 'note'}: {self}"

    def __str__(self) -> str:
        what = f'the filter "{self.text}" of {self.field}' if self.field else "the filter expression, which uses now(),"
        return f"{what} is relative to the time of the query: {_EFFECTS[self.movement.leave, self.movement.enter]}"


_EFFECTS = {
    (True, True): "with each refresh images leave the dataset (a major version) and others enter it",
    (True, False): "with each refresh images leave the dataset (a major version)",
    (False, True): "with each refresh images enter the dataset, and none leaves it by this filter",
}


def movement(text: str) -> Movement | None:
    """What a filter of dates does as time goes by; None for a text that is no filter of dates."""
    parts = [_alternative(" ".join(part.split()).lower()) for part in text.split(",")]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    leave = any(part.leave for part in known)
    return Movement(leave, any(part.enter for part in known))


def find_relative(
    filters: Mapping[str, str],
    expression: str | None,
    columns: tuple[Column, ...],
    types: Mapping[str, str] | None = None,
) -> tuple[RelativeFilter, ...]:
    """The filters that move with the day of the query.

    A text such as `today` is a filter of dates only for a field of dates: one that is a date in `types` (Looker's own
    types by field), a column of that type, or a field that is named like a timeframe.
    """
    return tuple(_find(filters, expression or "", {column.source: column.type for column in columns}, types or {}))


def _find(
    filters: Mapping[str, str], expression: str, columns: Mapping[str, str], types: Mapping[str, str]
) -> Iterator[RelativeFilter]:
    for field, text in (*filters.items(), *_MATCHES.findall(expression)):
        if (moves := movement(text)) and _may_be_date(field, text, columns, types):
            yield RelativeFilter(field, text, moves)
    if re.search(r"\bnow\s*\(", _QUOTED.sub("", expression), re.IGNORECASE):
        yield RelativeFilter("", expression, Movement(leave=True, enter=True))


def _may_be_date(field: str, text: str, columns: Mapping[str, str], types: Mapping[str, str]) -> bool:
    if field in types:
        return types[field].startswith("date") or types[field] == "time"
    if columns.get(field) in _DATE_TYPES or _TIMEFRAME.fullmatch(field.lower()):
        return True
    # Nothing tells the type: `7 days` is a date in any likely model, a single word may be a label.
    return field not in columns and " " in text.strip()


def _alternative(text: str) -> Movement | None:
    """One of the alternatives between commas."""
    if text in _ANY:
        return Movement()
    if text.startswith("not "):
        inner = _alternative(text.removeprefix("not "))
        return Movement(inner.enter, inner.leave) if inner is not None else None
    for word, end in (("before ", "enter"), ("after ", "leave")):
        if text.startswith(word):
            relative = _is_relative(text.removeprefix(word))
            return None if relative is None else Movement(**{end: relative})
    return _span(text)


def _span(text: str) -> Movement | None:
    """A period: `START to END`, `START for DURATION`, or one of its own such as `last month`."""
    start, to, end = text.partition(" to ")
    if to:
        starts, ends = _is_relative(start), True if _TO_NOW.fullmatch(end) else _is_relative(end)
        return None if starts is None or ends is None else Movement(starts, ends)
    start, for_, duration = text.partition(" for ")
    if for_ and not re.fullmatch(_DURATION, duration):
        return None
    relative = _is_relative(start)
    return None if relative is None else Movement(relative, relative)


def _is_relative(moment: str) -> bool | None:
    """Whether a moment or a period moves with now; None for a text that is neither."""
    if _RELATIVE.fullmatch(moment):
        return True
    return False if _ABSOLUTE.fullmatch(moment) else None
