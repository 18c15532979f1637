"""Which differences of two versions are more than chance: against known values, and over many random changes."""

from random import Random

import pytest
from polars import DataFrame

from registry.dataset import distribution, shift_significance


@pytest.mark.parametrize(
    ("statistic", "freedom", "tail"),
    [(3.841, 1, 0.05), (11.070, 5, 0.05), (79.082, 60, 0.05), (88.379, 60, 0.01), (6.635, 1, 0.01), (22.458, 6, 0.001)],
)
def test_the_tail_has_the_values_of_the_printed_tables(statistic: float, freedom: int, tail: float) -> None:
    assert shift_significance.chi_squared_tail(statistic, freedom) == pytest.approx(tail, rel=0.15)


def test_two_samples_of_one_distribution_differ_by_chance_only() -> None:
    assert shift_significance.homogeneity([50, 50], [500, 500]) > 0.9
    assert shift_significance.homogeneity([70, 30], [500, 500]) < 0.001
    assert shift_significance.homogeneity([], []) == 1
    assert shift_significance.homogeneity([0, 0], [3, 4]) == 1


def test_values_too_rare_to_be_tested_alone_are_tested_as_one() -> None:
    rare = [1] * 80
    assert shift_significance.homogeneity([60, *rare], [1000, *[0] * 80]) < 1e-9
    assert shift_significance.homogeneity([2, 1], [30, 30]) == 1


def rows(random: Random, start: int, stop: int, cameras: int = 60) -> DataFrame:
    values = [(f"camera-{random.randrange(cameras)}", random.choice(["day", "night"])) for _ in range(start, stop)]
    table = [(f"id-{place}", *each) for place, each in enumerate(values, start)]
    return DataFrame(table, schema=["uuid", "camera", "light"], orient="row")


def test_a_column_of_many_values_that_only_grew_is_no_shift() -> None:
    """A dataset that doubles: the shares of sixty cameras differ visibly, and by no more than chance."""
    told = 0
    for seed in range(200):
        images = rows(Random(seed), 0, 1_400)
        found = distribution.find_shifts(*distribution.as_values(images[:700], images[6:]))
        told += bool(found.shifts)
        assert set(found.stable) == {"camera", "light"} - {shift.column for shift in found.shifts}
    assert told <= 8  # 1% is 2; 8 or more of 200 would be as likely as 1 in 1,000


def test_a_new_camera_among_the_added_images_is_a_shift() -> None:
    images, random = rows(Random(1), 0, 1_000), Random(2)
    added = [(f"new-{place}", "camera-new", random.choice(["day", "night"])) for place in range(100)]
    after = images.vstack(DataFrame(added, schema=images.columns, orient="row"))
    (shift,), stable = distribution.find_shifts(*distribution.as_values(images, after))
    assert (shift.column, stable) == ("camera", ("light",))
    assert shift.table["value"][0] == "camera-new"
    assert shift.table.height == distribution.SHOWN_VALUES
    assert shift.table["value"][-1] == "others"


def test_a_column_that_was_edited_in_place_is_a_shift() -> None:
    images = rows(Random(3), 0, 600, cameras=3)
    edited = images.with_columns(camera=images["camera"].replace({"camera-0": "camera-1"}))
    (shift,), _ = distribution.find_shifts(*distribution.as_values(images, edited))
    assert shift.column == "camera"


def test_values_that_change_places_are_no_shift() -> None:
    images = rows(Random(4), 0, 600, cameras=3)
    turned = images.with_columns(camera=images["camera"].reverse())
    assert distribution.find_shifts(*distribution.as_values(images, turned)).shifts == ()
