import re
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset import column_types

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)


def mean(kind: str, text: str | None, timezone: str = "UTC") -> object:
    """What one text means as a value of a type."""
    frame = pl.DataFrame({"x": [text]}, schema={"x": pl.String})
    return frame.select(column_types.typed(column_types.text("x", kind), kind, timezone)).item()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("uuid", " 0A8C7F6E-0000-4000-8000-00000000000F ", "0a8c7f6e-0000-4000-8000-00000000000f"),
        ("uuid", "0a8c7f6e00004000800000000000000f", "0a8c7f6e-0000-4000-8000-00000000000f"),
        ("uuid", "{0A8C7F6E-0000-4000-8000-00000000000F}", "0a8c7f6e-0000-4000-8000-00000000000f"),
        ("uuid", "{0a8c7f6e00004000800000000000000f}", "0a8c7f6e-0000-4000-8000-00000000000f"),
        ("uuid", "urn:uuid:0a8c7f6e-0000-4000-8000-00000000000f", "0a8c7f6e-0000-4000-8000-00000000000f"),
        ("string", " a, b ", " a, b "),
        ("string", " \u00a0", None),
        ("integer", "-12", -12),
        ("integer", "3.0", 3),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("number", "1e-3", 0.001),
        ("number", "-.5", -0.5),
        ("boolean", "Yes", True),
        ("boolean", "FALSE", False),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("datetime", "2024-01-31T12:00:00Z", NOON),
        ("datetime", "2024-01-31 12:00", NOON),
        ("datetime", "2024-01-31 12:00:00 UTC", NOON),
        ("datetime", "2024-01-31 17:30:00+05:30", NOON),
        ("datetime", "2024-01-31T08:30:00-0330", NOON),
        ("datetime", "2024-01-31 12:00:00.123456789", NOON.replace(microsecond=123456)),
    ],
)
def test_a_text_means_a_value(kind: str, text: str, value: object) -> None:
    assert mean(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("uuid", "0a8c7f6e-00004000-8000-00000000000f"),
        ("uuid", "{0a8c7f6e-0000-4000-8000-00000000000f"),
        ("uuid", "urn:uuid:urn:uuid:0a8c7f6e-0000-4000-8000-00000000000f"),
        ("uuid", "0a8c7f6e00004000800000000000000"),
        ("string", "cam\0"),
        ("uuid", "../../../../../../../../etc/passwd"),
        ("uuid", "0a8c7f6e-0000-4000-8000-00000000000f\n0a8c7f6e-0000-4000-8000-00000000000f"),
        ("integer", "1,000"),
        ("integer", "007"),
        ("integer", "3.5"),
        ("integer", "٣"),
        ("integer", "9223372036854775808"),
        ("number", "1,5"),
        ("number", "NaN"),
        ("number", "inf"),
        ("number", "1e999"),
        ("boolean", "1"),
        ("date", "31/01/2024"),
        ("date", "2023-02-29"),
        ("date", "2024-1-5"),
        ("datetime", "2024-01-31"),
        ("datetime", "2024-01-31 24:00:00"),
        ("datetime", "2024-01-31 23:59:60"),
        ("datetime", "0000-00-00 00:00:00"),
    ],
)
def test_what_would_have_to_be_guessed_means_nothing(kind: str, text: str) -> None:
    assert mean(kind, text) is None


@pytest.mark.parametrize("kind", sorted(column_types.EXPECTED))
def test_no_text_is_no_value(kind: str) -> None:
    assert [mean(kind, text) for text in ("", None)] == [None, None]


def test_a_time_without_a_zone_is_in_the_time_zone_of_the_query() -> None:
    assert mean("datetime", "2024-01-31 13:00:00", "Europe/Berlin") == NOON
    assert mean("datetime", "2024-01-31 12:00:00Z", "Europe/Berlin") == NOON


def test_an_hour_that_clocks_skip_or_repeat_needs_its_offset() -> None:
    assert mean("datetime", "2024-03-31 02:30:00", "Europe/Berlin") is None
    assert mean("datetime", "2024-10-27 02:30:00", "Europe/Berlin") is None
    assert mean("datetime", "2024-10-27 02:30:00+01:00", "Europe/Berlin") == datetime(2024, 10, 27, 1, 30, tzinfo=UTC)


@given(st.text() | st.from_regex(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}.{0,2}"))
def test_only_a_canonical_uuid_ever_comes_out(text: str) -> None:
    value = mean("uuid", text)
    assert value is None or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.dates(date(1000, 1, 1)),
            st.datetimes(datetime(1000, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC)),
        ),
        min_size=1,
    )
)
def test_every_value_survives_as_a_text(values: list[tuple[object, ...]]) -> None:
    kinds = ("integer", "number", "boolean", "date", "datetime")
    types = (pl.Int64, pl.Float64, pl.Boolean, pl.Date, pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(values, schema=dict(zip(kinds, types, strict=True)), orient="row")
    texts = frame.select(column_types.as_text(kind, frame.schema[kind]) for kind in kinds)
    assert texts.select(
        column_types.typed(column_types.text(kind, kind), kind, "UTC").alias(kind) for kind in kinds
    ).equals(frame)
