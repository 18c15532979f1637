import math
import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset import distribution
from registry.dataset.changes import Concentration

START = datetime(2024, 1, 1, tzinfo=UTC)


def photos(number: int = 2000) -> pl.DataFrame:
    """Every fifth from an XT-3, the others from forty cameras; names that never repeat; one column of each type."""
    dice = random.Random(1)
    return pl.DataFrame(
        {
            "uuid": [f"u{row}" for row in range(number)],
            "label": [dice.choice(["cat", "dog"]) for _ in range(number)],
            "camera": ["XT-3" if row % 5 == 0 else None if row % 41 == 1 else f"c{row % 40}" for row in range(number)],
            "note": [f"note {row}" for row in range(number)],
            "exposure": [dice.lognormvariate(0, 2) for _ in range(number)],
            "iso": [dice.choice([100, 200, 1600]) for _ in range(number)],
            "flash": [dice.random() < 0.2 for _ in range(number)],
            "captured_at": [START + timedelta(hours=dice.random() * 24 * 400) for _ in range(number)],
        }
    )


def told(rows: pl.DataFrame, changed: pl.DataFrame) -> list[tuple[str, str]]:
    items, _ = distribution.as_values(rows, rows)
    return [
        (found.column, found.value) for found in distribution.find_concentrations("removed", items, changed["uuid"])
    ]


def test_a_camera_that_goes_is_named_with_its_numbers() -> None:
    rows = photos()
    gone = pl.concat([rows.filter(pl.col("camera") == "XT-3").head(94), rows.filter(pl.col("camera") == "c1").head(6)])
    items, _ = distribution.as_values(rows, rows)
    found = distribution.find_concentrations("removed", items, gone["uuid"])
    assert found[0] == Concentration("removed", "camera", "XT-3", 94, 0.94, pytest.approx(0.94 / 0.2))
    assert (
        distribution.describe(found[0])
        == "94% of the removed images have camera=XT-3, 4.7 times its share of all images"
    )


@pytest.mark.parametrize(
    ("column", "chosen", "value"),
    [
        ("captured_at", pl.col("captured_at").dt.strftime("%Y-%m") == "2024-03", "2024-03"),
        ("iso", pl.col("iso") == 1600, "1600"),
        ("flash", pl.col("flash"), "true"),
        ("camera", pl.col("camera").is_null(), "(none)"),
    ],
)
def test_every_type_of_column_is_looked_at(column: str, chosen: pl.Expr, value: str) -> None:
    rows = photos()
    assert told(rows, rows.filter(chosen))[0] == (column, value)


def test_numbers_are_told_in_bins() -> None:
    rows = photos()
    edge = rows["exposure"].sort()[-200]
    column, value = told(rows, rows.filter(pl.col("exposure") >= edge))[0]
    assert (column, value.split(" ", 1)[1]) == ("exposure", "or more")
    assert float(value.split()[0]) == pytest.approx(edge, rel=0.05)


def test_what_is_removed_at_random_is_not_concentrated() -> None:
    rows = photos()
    assert [told(rows, rows.sample(300, seed=seed)) for seed in range(30)].count([]) >= 29


def test_no_sentence_for_a_handful_nor_where_all_changed() -> None:
    rows = photos()
    assert told(rows, rows.filter(pl.col("camera") == "XT-3").head(4)) == []
    assert told(rows, rows) == []
    assert told(rows, rows.clear()) == []


def test_at_most_three_sentences_two_of_them_about_one_column() -> None:
    rows = photos()
    gone = rows.filter(pl.col("camera").is_in(["c1", "c2", "c3"]), pl.col("iso") == 100, pl.col("flash"))
    columns = [column for column, _ in told(rows, gone)]
    assert len(columns) == 3
    assert max(map(columns.count, columns)) <= 2


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 60), st.integers(0, 60))
def test_g_is_zero_where_nothing_is_told_and_else_positive(a: int, b: int, c: int, d: int) -> None:
    value = distribution._g(a, a + b, a + c, a + b + c + d)
    assert value >= -1e-9
    assert (abs(value) < 1e-9) == (a * d == b * c)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Concentration("added", "label", "cat", 9, 1.0, 2.04), "100% of the added images have label=cat, 2.0 times"),
        (Concentration("added", "label", "cat", 999, 0.999, 2.0), "over 99% of the added images have label=cat"),
        (
            Concentration("added", "label", "emu", 9, 0.9, math.inf),
            "90% of the added images have label=emu, a new value",
        ),
    ],
)
def test_the_sentence(found: Concentration, words: str) -> None:
    assert distribution.describe(found).startswith(words)


def test_a_shift_has_the_shares_before_and_after() -> None:
    before = photos()
    after = before.filter((pl.col("iso") != 1600) | (pl.int_range(pl.len()) % 2 == 0))
    moved = distribution.find_shifts(*distribution.as_values(before, after)).shifts
    assert (moved[0].column, moved[0].table["value"].to_list()) == ("iso", ["100", "200", "1600"])
    shares = [before["iso"].value_counts(normalize=True), after["iso"].value_counts(normalize=True)]
    lost = [table.filter(pl.col("iso") == 1600)["proportion"][0] for table in shares]
    assert moved[0].table.row(2)[1:] == pytest.approx(tuple(lost))
    assert moved[0].distance == pytest.approx(lost[0] - lost[1])


def test_a_long_table_ends_with_the_others_and_names_are_left_out() -> None:
    before = photos()
    after = before.filter(pl.col("camera").fill_null("") != "XT-3")
    found = distribution.find_shifts(*distribution.as_values(before, after))
    moved = {shift.column: shift.table for shift in found.shifts}
    assert "note" not in moved
    assert moved["camera"].height == 8
    assert moved["camera"]["value"][0] == "XT-3"
    assert moved["camera"]["value"][-1] == "others"
    assert moved["camera"]["before"].sum() == pytest.approx(1)
    assert moved["camera"]["after"].sum() == pytest.approx(1)


def test_what_did_not_move_is_no_shift() -> None:
    rows = photos()
    assert distribution.find_shifts(*distribution.as_values(rows, rows)).shifts == ()
    assert distribution.find_shifts(*distribution.as_values(rows.clear(), rows)) == ((), ())


def test_columns_of_another_type_or_only_in_one_version() -> None:
    rows = photos()
    other = rows.with_columns(pl.col("iso").cast(pl.String)).drop("flash")
    old, new = distribution.as_values(rows, other)
    assert old.columns == new.columns == [name for name in rows.columns if name != "flash"]
    assert old["iso"].equals(new["iso"])


def test_a_column_without_any_value() -> None:
    rows = photos().with_columns(exposure=pl.lit(None, pl.Float64), captured_at=pl.lit(None, pl.Datetime("us", "UTC")))
    old, _ = distribution.as_values(rows, rows)
    assert old.select(pl.col("exposure", "captured_at").n_unique()).row(0) == (1, 1)
