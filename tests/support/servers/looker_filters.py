"""Looker's filter expressions and its expression language as conditions of SQLite.

Grammar: https://cloud.google.com/looker/docs/filter-expressions and
https://cloud.google.com/looker/docs/creating-looker-expressions, as far as selections use it. What is outside raises
Unsupported, so that a test cannot pass on a filter that was ignored.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

_NUMBER = r"-?\d+(?:\.\d+)?"
_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_STAMP = re.compile(r"(\d{4})(?:[-/](\d\d?)(?:[-/](\d\d?)(?:[ T](\d\d?):(\d\d)(?::(\d\d))?)?)?)?")


class Unsupported(Exception):
    """This stand-in does not know such a filter."""


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def condition(kind: str, sql: str, text: str, now: datetime) -> str:
    """The condition that a filter sets on an expression of SQL, by the field's type; `1` for any value."""
    if not text.strip():
        return "1"
    if kind.startswith("date"):
        return _date(sql, text.strip().lower(), now)
    if kind == "yesno":
        return f"COALESCE({sql}, 0) = {int(text.strip().lower() in {'yes', 'true'})}"
    return _string(sql, text) if kind in {"string", "tier", "zipcode"} else _number(sql, text.strip())


# --- strings ----------------------------------------------------------------------------------------------------------


def _string(sql: str, text: str) -> str:
    terms = [_string_term(sql, *term) for term in _split_string(text)]
    included = [one for is_excluded, one in terms if not is_excluded]
    excluded = [f"NOT ({one})" for is_excluded, one in terms if is_excluded]
    either = [" OR ".join(f"({one})" for one in included)] if included else []
    return " AND ".join(f"({one})" for one in [*either, *excluded])


def _split_string(text: str) -> Iterator[tuple[str, bool]]:
    """Terms, and whether each is in quotes, so that it has no special signs; `^` takes a sign as it is."""
    for found in re.finditer(r'\s*(?:"((?:[^"^]|\^.)*)"|((?:[^,^]|\^.)*))\s*(?:,|$)', text):
        if found[0]:
            yield (found[1], True) if found[1] is not None else (found[2].strip(), False)


def _string_term(sql: str, term: str, is_quoted: bool) -> tuple[bool, str]:
    is_excluded = not is_quoted and term.startswith("-")
    term = term[1:] if is_excluded else term
    if not is_quoted and term.upper() in {"NULL", "EMPTY"}:
        empty = f" OR {sql} = ''" if term.upper() == "EMPTY" else ""
        return is_excluded, f"{sql} IS NULL{empty}"
    signs = re.findall(r"\^.|.", term, re.DOTALL)
    if is_quoted or ("%" not in signs and "_" not in signs):
        return is_excluded, f"{sql} IS {quoted(''.join(sign[-1] for sign in signs))}"
    glob = "".join({"%": "*", "_": "?"}.get(sign, re.sub(r"[*?\[]", r"[\g<0>]", sign[-1])) for sign in signs)
    return is_excluded, f"COALESCE({sql} GLOB {quoted(glob)}, 0)"


# --- numbers ----------------------------------------------------------------------------------------------------------


def _number(sql: str, text: str) -> str:
    parts = re.split(r"\s*,\s*(?![^\[(]*[\])])|\s+OR\s+", text, flags=re.IGNORECASE)
    terms = [_number_term(sql, part.strip()) for part in parts]
    included = [term for is_excluded, term in terms if not is_excluded]
    excluded = [term for is_excluded, term in terms if is_excluded]
    either = [" OR ".join(f"({one})" for one in included)] if included else []
    return " AND ".join(f"({one})" for one in [*either, *excluded])


def _number_term(sql: str, term: str) -> tuple[bool, str]:
    if found := re.fullmatch(r"(?:NOT|!=|<>)\s*(.+)", term, re.IGNORECASE):
        inner = _number_term(sql, found[1])[1]
        return True, f"NOT ({inner})" if found[1].upper() == "NULL" else f"NOT ({inner}) OR {sql} IS NULL"
    if term.upper() == "NULL":
        return False, f"{sql} IS NULL"
    if found := re.fullmatch(rf"([\[(])\s*({_NUMBER}|-?inf)?\s*,\s*({_NUMBER}|inf)?\s*([\])])", term, re.IGNORECASE):
        lower = f"{sql} {'>=' if found[1] == '[' else '>'} {found[2]}" if _is_number(found[2]) else "1"
        upper = f"{sql} {'<=' if found[4] == ']' else '<'} {found[3]}" if _is_number(found[3]) else "1"
        return False, f"{lower} AND {upper}"
    if found := re.fullmatch(rf"({_NUMBER})\s+TO\s+({_NUMBER})", term, re.IGNORECASE):
        return False, f"{sql} BETWEEN {found[1]} AND {found[2]}"
    if re.search(r"\s+AND\s+", term, re.IGNORECASE):
        both = [_number_term(sql, one) for one in re.split(r"\s+AND\s+", term, flags=re.IGNORECASE)]
        return False, " AND ".join(f"({one})" for _, one in both)
    if found := re.fullmatch(rf"(>=|<=|>|<|=)?\s*({_NUMBER})", term):
        return False, f"{sql} {found[1] or '='} {found[2]}"
    raise Unsupported(f"number filter {term!r}")


def _is_number(text: str | None) -> bool:
    return bool(text) and re.fullmatch(_NUMBER, text or "") is not None


# --- dates ------------------------------------------------------------------------------------------------------------


def _date(sql: str, text: str, now: datetime) -> str:
    terms = [term.strip() for term in re.split(r",|\s+or\s+", text)]
    return " OR ".join(f"({_date_term(sql, term, now)})" for term in terms)


def _date_term(sql: str, term: str, now: datetime) -> str:
    if term in {"null", "not null"}:
        return f"{sql} IS {'' if term == 'null' else 'NOT '}NULL"
    if term in {"any time", "any value"}:
        return "1"
    if found := re.fullmatch(r"(before|after)\s+(.+)", term):
        start = _range(found[2], now)[0]
        return f"{sql} {'<' if found[1] == 'before' else '>='} {_bound(start)}"
    if found := re.fullmatch(r"(.+?)\s+to\s+(?!date)(.+)", term):
        start, end = _range(found[1], now)[0], _range(found[2], now)[0]
    else:
        start, end = _range(term, now)
    return f"{sql} >= {_bound(start)} AND {sql} < {_bound(end)}"


def _bound(when: datetime) -> str:
    """Times are texts, and a date alone is less than any time of its day."""
    text = f"{when:%Y-%m-%d %H:%M:%S}"
    return quoted(text.removesuffix(" 00:00:00"))


def _range(text: str, now: datetime) -> tuple[datetime, datetime]:
    """The first moment of a period, and the first after it."""
    if found := _STAMP.fullmatch(text):
        return _absolute([int(part) if part else None for part in found.groups()])
    today = _floor(now, "day")
    if text in {"today", "yesterday"}:
        start = today - timedelta(days=text == "yesterday")
        return start, start + timedelta(days=1)
    if text == "now":
        return now, now
    units = "|".join(_UNITS)
    if found := re.fullmatch(rf"(this|last|next)\s+({units})(\s+to date)?", text):
        start = _shift(_floor(now, found[2]), {"this": 0, "last": -1, "next": 1}[found[1]], found[2])
        return start, now if found[3] else _shift(start, 1, found[2])
    if found := re.fullmatch(rf"(?:last\s+)?(\d+)\s+({units})s?(\s+ago)?", text):
        count, unit = int(found[1]), found[2]
        if found[3]:
            start = _shift(_floor(now, unit), -count, unit)
            return start, _shift(start, 1, unit)
        return _shift(_floor(now, unit), 1 - count, unit), _shift(_floor(now, unit), 1, unit)
    if text in {f"{unit}s"[:-1] for unit in _UNITS}:
        return _floor(now, text), _shift(_floor(now, text), 1, text)
    raise Unsupported(f"date filter {text!r}")


def _absolute(parts: list[int | None]) -> tuple[datetime, datetime]:
    given = [part for part in parts if part is not None]
    start = datetime(*[*given, 1, 1][: max(3, len(given))])  # type: ignore[arg-type] # at least year, month, day
    unit = {1: "year", 2: "month", 3: "day", 5: "minute", 6: "second"}[len(given)]
    return start, _shift(start, 1, unit)


def _floor(when: datetime, unit: str) -> datetime:
    names = {"second": 0, "minute": 1, "hour": 2, "day": 3, "week": 3, "month": 4, "quarter": 4, "year": 5}
    floors: list[dict[str, int]] = [
        {"microsecond": 0},
        {"second": 0},
        {"minute": 0},
        {"hour": 0},
        {"day": 1},
        {"month": 1},
    ]
    for change in floors[: names[unit] + 1]:
        when = when.replace(**change)  # type: ignore[arg-type] # names of whole numbers
    if unit == "week":
        when -= timedelta(days=when.weekday())
    return when.replace(month=when.month - (when.month - 1) % 3) if unit == "quarter" else when


def _shift(when: datetime, count: int, unit: str) -> datetime:
    if unit in {"month", "quarter", "year"}:
        months = when.year * 12 + when.month - 1 + count * {"month": 1, "quarter": 3, "year": 12}[unit]
        return when.replace(year=months // 12, month=months % 12 + 1)
    return when + count * timedelta(**{f"{unit}s": 1})


# --- Looker expressions -----------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:(?P<field>\$\{[\w.]+\})|(?P<text>"(?:[^"\\]|\\.)*")|(?P<filter>`[^`]*`)|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<word>[A-Za-z_]+)|(?P<sign><=|>=|<>|!=|[-+*/=<>(),]))"""
)
_WORDS = {"and": "AND", "or": "OR", "not": "NOT", "yes": "1", "no": "0", "null": "NULL"}
_FUNCTIONS = {
    "is_null": "is_null", "if": "if_else", "coalesce": "coalesce", "lower": "lower", "upper": "upper",
    "length": "length", "concat": "concat_all", "contains": "contains", "starts_with": "starts_with",
    "ends_with": "ends_with", "round": "round", "abs": "abs", "floor": "floor_of", "mod": "mod_of",
}  # fmt: skip


def expression(text: str, field: Callable[[str], str], filtered: Callable[[str, str], str]) -> str:
    """A Looker expression as SQL; `field` gives a field's SQL, `filtered` that of `matches_filter`.

    Raises ValueError for what is no expression.
    """
    parts, position = [], 0
    matches = re.compile(r"\s*matches_filter\(\s*\$\{([\w.]+)\}\s*,\s*`([^`]*)`\s*\)")
    text = text.strip()
    while position < len(text):
        if found := matches.match(text, position):
            parts.append(f"({filtered(found[1], found[2])})")
        elif (found := _TOKEN.match(text, position)) and found.lastgroup:
            parts.append(_token(found.lastgroup, found[found.lastgroup], field))
        else:
            raise ValueError(f"unexpected {text[position:]!r}")
        position = found.end()
    return " ".join(parts)


def _token(kind: str, text: str, field: Callable[[str], str]) -> str:
    if kind == "field":
        return field(text[2:-1])
    if kind == "text":
        return quoted(re.sub(r"\\(.)", r"\1", text[1:-1]))
    if kind == "word":
        word = _WORDS.get(text.lower()) or _FUNCTIONS.get(text)
        if word is None:
            raise ValueError(f"unknown word {text!r}")
        return word
    return text
