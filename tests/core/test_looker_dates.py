import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.core import looker_dates
from registry.core.looker_dates import Movement
from registry.core.values import Column

FIXED, MOVES = Movement(), Movement(leave=True, enter=True)
SHRINKS, GROWS = Movement(leave=True), Movement(enter=True)

# --- the grammar ------------------------------------------------------------------------------------------------------

units = st.sampled_from(["second", "minute", "hour", "day", "week", "month", "quarter", "year", "fiscal quarter"])
durations = st.builds(lambda count, unit: f"{count} {unit}{'s' * (count > 1)}", st.integers(1, 999), units)
relative = (
    st.sampled_from(["now", "today", "yesterday", "tomorrow", "Monday"])
    | st.builds(lambda word, unit: f"{word} {unit}", st.sampled_from(["this", "last", "next"]), units)
    | durations.map(lambda duration: f"{duration} ago")
    | durations.map(lambda duration: f"{duration} from now")
    | durations.map(lambda duration: f"last {duration}")
)
absolute = (
    st.dates().map(lambda day: f"{day:%Y-%m-%d}".zfill(10))
    | st.dates().map(lambda day: f"{day:%Y/%m/%d}".zfill(10))
    | st.datetimes().map(lambda time: f"{time:%Y-%m-%d %H:%M:%S}".zfill(19))
    | st.sampled_from(["2024", "2024-05", "2024/5", "FY2024", "FY2024-Q1", "2024-Q3"])
)
moments = st.tuples(relative, st.just(True)) | st.tuples(absolute, st.just(False))
alternatives = (
    moments.map(lambda moment: (moment[0], Movement(moment[1], moment[1])))
    | durations.map(lambda duration: (duration, MOVES))
    | moments.map(lambda moment: (f"before {moment[0]}", Movement(enter=moment[1])))
    | moments.map(lambda moment: (f"after {moment[0]}", Movement(leave=moment[1])))
    | st.builds(lambda one, other: (f"{one[0]} to {other[0]}", Movement(one[1], other[1])), moments, moments)
    | st.builds(lambda one, length: (f"{one[0]} for {length}", Movement(one[1], one[1])), moments, durations)
    | st.builds(lambda one, unit: (f"{one[0]} to {unit}", Movement(one[1], enter=True)), moments, units)
    | st.sampled_from(["NULL", "NOT NULL", "any time"]).map(lambda text: (text, FIXED))
)


@given(alternatives)
def test_the_start_and_the_end_of_a_period_say_how_it_moves(alternative: tuple[str, Movement]) -> None:
    text, expected = alternative
    assert looker_dates.movement(text) == expected
    assert looker_dates.movement(f"  {text.upper()} ") == expected
    assert looker_dates.movement(f"not {text}") == Movement(expected.enter, expected.leave)


@given(st.lists(alternatives, min_size=1, max_size=3))
def test_alternatives_move_as_any_of_them(some: list[tuple[str, Movement]]) -> None:
    found = looker_dates.movement(", ".join(text for text, _ in some))
    assert found == Movement(any(one.leave for _, one in some), any(one.enter for _, one in some))


@given(st.text())
def test_any_text_is_a_filter_of_dates_or_none(text: str) -> None:
    assert isinstance(looker_dates.movement(text), Movement | None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 days", MOVES),
        ("last month", MOVES),
        ("last 3 months", MOVES),
        ("today", MOVES),
        ("this quarter to date", MOVES),
        ("this year to second", MOVES),
        ("3 months ago for 2 days", MOVES),
        ("2 months ago for 2 months", MOVES),
        ("3 complete days", MOVES),
        ("1 fiscal quarter ago", MOVES),
        ("before 2 weeks ago", GROWS),
        ("before today", GROWS),
        ("2024-01-01 to yesterday", GROWS),
        ("2024/01/01 to now", GROWS),
        ("not 7 days", MOVES),
        ("not after 2 weeks ago", GROWS),
        ("after 2 weeks ago", SHRINKS),
        ("last month to 2027-12-31", SHRINKS),
        ("after 2025-01-01", FIXED),
        ("before 2018-01-01 12:00:00", FIXED),
        ("2018-05-18 12:00:00 to 2018-05-18 14:00:00", FIXED),
        ("2018-01-01 12:00 for 3 days", FIXED),
        ("2024", FIXED),
        ("2024/05", FIXED),
        ("FY2018-Q1", FIXED),
        ("2024-05-01, 2024-06-01", FIXED),
        ("2024-05-01, last month", MOVES),
        ("NOT NULL", FIXED),
        ("", FIXED),
        ("cat,dog", None),
        ("7 dogs", None),
        ("last cat", None),
        ("today's cat", None),
        ("before the flood", None),
        ("cat, 7 days", None),
        (">=500", None),
        ("[0, 20]", None),
        ("%last month%", None),
        ("2024-05-01 for ever", None),
    ],
)
def test_filters_as_people_write_them(text: str, expected: Movement | None) -> None:
    assert looker_dates.movement(text) == expected


# --- which fields -----------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("label", "images.label", "string", nullable=False),
    Column("captured_at", "images.shot", "datetime", nullable=True),
    Column("rank", "images.rank", "integer", nullable=True),
    Column("month", "images.captured_month", "string", nullable=True),
)


@pytest.mark.parametrize(
    ("field", "text", "is_found"),
    [
        ("images.shot", "today", True),
        ("images.captured_date", "today", True),
        ("images.captured_month", "last month", True),
        ("images.created_raw", "7 days", True),
        ("reviews.checked", "7 days", True),
        ("images.label", "today", False),
        ("images.label", "7 days", False),
        ("images.rank", "2024", False),
        ("reviews.state", "today", False),
        ("images.shot", "after 2025-01-01", False),
    ],
)
def test_a_text_is_a_date_where_its_field_is_one(field: str, text: str, *, is_found: bool) -> None:
    found = looker_dates.find_relative({field: text}, None, COLUMNS)
    assert [one.field for one in found] == [field] * is_found


def test_looker_s_own_types_decide_where_they_are_known() -> None:
    filters = {"reviews.state": "today", "reviews.checked": "7 days", "images.captured_date": "today"}
    types = {"reviews.state": "date_date", "reviews.checked": "string", "images.captured_date": "yesno"}
    found = looker_dates.find_relative(filters, None, COLUMNS, types)
    assert [one.field for one in found] == ["reviews.state"]


@pytest.mark.parametrize(
    ("expression", "is_found"),
    [
        ("${images.shot} > add_days(-7, now())", True),
        ("${images.shot} > trunc_days( NOW ( ))", True),
        ("matches_filter(${images.shot}, `7 days`)", True),
        ("matches_filter(${images.shot}, `after 2024-01-01`)", False),
        ("matches_filter(${images.label}, `today`)", False),
        ('${images.label} = "now()"', False),
        ("${images.known()} > 3", False),
        ("${images.shot} > date(2024, 1, 1)", False),
    ],
)
def test_an_expression_moves_with_now(expression: str, *, is_found: bool) -> None:
    assert bool(looker_dates.find_relative({}, expression, COLUMNS)) == is_found


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("7 days", "with each refresh images leave the dataset (a major version) and others enter it"),
        ("before 7 days ago", "with each refresh images enter the dataset, and none leaves it by this filter"),
        ("after 7 days ago", "with each refresh images leave the dataset (a major version)"),
    ],
)
def test_a_filter_is_described_by_what_it_does_to_the_dataset(text: str, effect: str) -> None:
    [found] = looker_dates.find_relative({"images.shot": text}, None, COLUMNS)
    assert str(found) == f'the filter "{text}" of images.shot is relative to the time of the query: {effect}'
