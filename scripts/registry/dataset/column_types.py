"""The value that a cell's text stands for, by the column's type; null where it stands for none.

Space around a value is dropped, and a text of nothing but spaces is a missing value; a string keeps its spaces.

| type     | accepted text                                                | value                            |
|----------|--------------------------------------------------------------|----------------------------------|
| uuid     | 32 hex digits, also 8-4-4-4-12, in braces, after `urn:uuid:` | 8-4-4-4-12, in lower case        |
| string   | any text without NUL that is no null marker (`is_marker`)    | the text                         |
| integer  | `-12`, `12.0`; no leading zeros, no separators (`12.000`)    | 64 bits                          |
| number   | `-1.5`, `2e-3`; no NaN, no infinities, no separators         | 64-bit float                     |
| boolean  | true, false, yes, no in any case                             | boolean                          |
| date     | `2024-01-31`                                                 | date                             |
| datetime | `2024-01-31 12:00[:00[.123456]]`, with `T`, `Z` or `+01:00`  | UTC, truncated to microseconds   |
"""

from collections.abc import Callable, Collection, Mapping

import polars as pl

from registry.core import item_paths

EXPECTED: Mapping[str, str] = {
    "uuid": "a UUID (8-4-4-4-12 hex digits)",
    "string": "a text without NUL characters",
    "integer": "an integer (digits without separators or leading zeros)",
    "number": "a number (decimal point, no thousands separators)",
    "boolean": "true, false, yes or no",
    "date": "a date (2024-01-31)",
    "datetime": "a date and time (2024-01-31T12:00:00Z; a local time that is skipped or repeated needs an offset)",
}

_UUID = f"^{item_paths.UUID}$"
_BARE_UUID = r"^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$"
# What databases, pandas, R, Excel and Looker write for a value that is missing, and texts of invisible characters.
_MARKER = (
    r"^(?i:[(\[{<]?null[)\]}>]?|nil|none|<?na>?|n/a|n\.a\.?|nat|nan|[-+]nan|[-+]?1\.#(ind|qnan)|undefined|\(blank\)"
    r"|#n/?a|#n/a n/a|#null!|#ref!|#value!|#name\?|#num!|#div/0!|\\n|∅|[-–—]{1,3}|\?|\.{1,2}|[\p{Z}\p{C}]+)$"
)
# Not 12.000, which is twelve thousand in half of the world; nor are 1.920 and 4.032 decimals with certainty.
_INTEGER = r"^[+-]?(0(\.0+)?|[1-9][0-9]*(\.0{1,2}|\.0{4,})?|[1-9][0-9]{3,}\.000)$"
_GROUPED = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CLOCK = (
    r"^(?<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?<hour>[0-9]{2}:[0-9]{2})(?<second>:[0-5][0-9])?(?<part>\.[0-9]{1,9})?"
)
_DATETIME, _LOCAL = rf"{_CLOCK} ?(?<zone>Z|UTC|[+-][0-9]{{2}}:?[0-9]{{2}})?$", rf"{_CLOCK} ?$"
_ESCAPED = r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{2,4}|#x[0-9A-Fa-f]{2,4});|<(?:a|b|br|div|font|i|img|p|span)[ />]"


def text(header: str, kind: str, null_values: Collection[str] = ()) -> pl.Expr:
    """The text of a column of type `kind`; null where the value is missing, or one of `null_values`."""
    raw, stripped = pl.col(header), pl.col(header).str.strip_chars()
    present = stripped != ""
    if null_values:
        present &= ~stripped.is_in([value.strip() for value in null_values])
    return pl.when(present).then(raw if kind == "string" else stripped)


def is_marker(value: pl.Expr) -> pl.Expr:
    """Whether a text is one that other programs write for a missing value (`NULL`, `N/A`, `∅`, `-`)."""
    return value.str.strip_chars().str.contains(_MARKER)


def is_local(value: pl.Expr) -> pl.Expr:
    """Whether a text is a date and time without a time zone."""
    return value.str.contains(_LOCAL)


def is_grouped(value: pl.Expr) -> pl.Expr:
    """Whether a number may have a point between its thousands (`1.920`)."""
    return value.str.contains(_GROUPED)


def is_escaped(value: pl.Expr) -> pl.Expr:
    """Whether a text has HTML in it (`Fuji &amp; Co`), as downloads with formatted values may have."""
    return value.str.contains(_ESCAPED)


def typed(value: pl.Expr, kind: str, timezone: str | None) -> pl.Expr:
    """A text as a value of type `kind`, null where it is invalid.

    `timezone` applies to times without one; if it is None, they are invalid.
    """
    return _datetime(value, timezone) if kind == "datetime" else _TYPES[kind](value)


def dtype(kind: str) -> pl.DataType:
    """The Polars type of a column of type `kind`."""
    texts = pl.DataFrame(schema={"x": pl.String})
    return texts.select(typed(pl.col("x"), kind, "UTC").alias("x")).schema["x"]


def as_text(header: str, dtype: pl.DataType) -> pl.Expr:
    """A column of any Polars type that is not nested or binary, as texts that `typed` parses as the same values."""
    value = pl.col(header)
    if isinstance(dtype, pl.Datetime):
        value = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
        return value.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.6f{'Z' if dtype.time_zone else ''}")
    return value.cast(pl.String)


def _string(value: pl.Expr) -> pl.Expr:
    return pl.when(~value.str.contains("\0", literal=True)).then(value)


def _uuid(value: pl.Expr) -> pl.Expr:
    usual = value.str.to_lowercase().map_batches(_with_hyphens, return_dtype=pl.String, is_elementwise=True)
    return _matching(usual, _UUID)


def _with_hyphens(texts: pl.Series) -> pl.Series:
    """UUIDs of any form as 8-4-4-4-12. One pass tells that nothing is to be done, which is usual."""
    if texts.str.contains(_UUID).all():
        return texts
    bare = texts.str.strip_prefix("urn:uuid:").str.replace(r"^\{(.*)\}$", "$1")
    return bare.str.replace(_BARE_UUID, "$1-$2-$3-$4-$5")


def _integer(value: pl.Expr) -> pl.Expr:
    return _matching(value, _INTEGER).str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)


def _number(value: pl.Expr) -> pl.Expr:
    number = _matching(value, _NUMBER).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _boolean(value: pl.Expr) -> pl.Expr:
    return value.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)


def _date(value: pl.Expr) -> pl.Expr:
    return _matching(value, _DATE).str.to_date("%Y-%m-%d", strict=False)


_TYPES: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "uuid": _uuid,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}


def _datetime(value: pl.Expr, timezone: str | None) -> pl.Expr:
    parts = value.str.extract_groups(_DATETIME)
    day, hour, second, part, zone = (parts.struct.field(name) for name in ("day", "hour", "second", "part", "zone"))
    clock = pl.concat_str(day, pl.lit(" "), hour, second.fill_null(":00"), part.fill_null("").str.head(7))
    moment = clock.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    # A local time that is skipped or repeated when clocks change is ambiguous.
    stated = (moment - _utc_offset(zone)).dt.replace_time_zone("UTC")
    if timezone is None:
        return pl.when(zone.is_not_null()).then(stated)
    local = moment.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    return pl.when(zone.is_null()).then(local).otherwise(stated)


def _utc_offset(zone: pl.Expr) -> pl.Expr:
    """The UTC offset of a zone (`Z`, `UTC`, `+01:00`, `-0530`)."""
    digits = zone.str.replace(":", "")
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    hours, minutes = (digits.str.slice(start, 2).cast(pl.Int64, strict=False).fill_null(0) for start in (1, 3))
    return pl.duration(minutes=sign * (hours * 60 + minutes))


def _matching(value: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(value.str.contains(pattern)).then(value)
