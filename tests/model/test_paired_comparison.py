"""The statistics of two models on the same images, against closed forms and against simulation."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.model import paired_comparison

COUNTS = st.integers(0, 300)


@pytest.mark.parametrize("broke", [0, 1, 3, 10, 25])
@pytest.mark.parametrize("fixed", [0, 1, 2, 9, 40])
def test_mcnemar_is_twice_the_tail_of_a_fair_coin(broke: int, fixed: int) -> None:
    total = broke + fixed
    tail = sum(math.comb(total, k) for k in range(min(broke, fixed) + 1)) / 2**total
    assert paired_comparison.mcnemar(broke, fixed) == pytest.approx(min(1, 2 * tail), rel=1e-9)


def test_mcnemar_of_a_published_table() -> None:
    # 10 discordant pairs, 1 against 9: 2 * (1 + 10) / 1024
    assert paired_comparison.mcnemar(1, 9) == pytest.approx(22 / 1024)


def test_mcnemar_of_very_many_images_nears_the_chi_square() -> None:
    z = (51_000 - 50_000 - 1) / math.sqrt(101_000)
    assert paired_comparison.mcnemar(50_000, 51_000) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_the_interval_of_many_images_is_the_normal_one() -> None:
    images, broke, fixed = 100_000, 1200, 1500
    low, high = paired_comparison.interval(images, broke, fixed, 0.95)
    difference = (fixed - broke) / images
    reach = 1.96 * math.sqrt((broke + fixed) / images - difference**2) / math.sqrt(images)
    assert low == pytest.approx(difference - reach, abs=reach / 10)
    assert high == pytest.approx(difference + reach, abs=reach / 10)


@pytest.mark.parametrize(("images", "broken", "fixed"), [(40, 0.1, 0.05), (200, 0.05, 0.1)])
def test_the_interval_covers_the_truth_as_often_as_it_says(images: int, broken: float, fixed: float) -> None:
    random, covered = Random(5), 0
    for _ in range(300):
        draws = [random.random() for _ in range(images)]
        lost, won = sum(one < broken for one in draws), sum(broken <= one < broken + fixed for one in draws)
        low, high = paired_comparison.interval(images, lost, won, 0.95)
        covered += low <= fixed - broken <= high
    assert 0.92 <= covered / 300 <= 0.99


def test_no_difference_on_few_images_proves_nothing() -> None:
    few, many = (paired_comparison.compare(images, 0, 0, 0) for images in (5, 5000))
    assert (few.difference, few.p_value) == (0, 1)
    assert few.low < -0.3 < 0.3 < few.high
    assert -0.002 < many.low <= 0 <= many.high < 0.002


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.floats(0.55, 0.99))
def test_a_comparison_adds_up(both: int, broke: int, fixed: int, neither: int, confidence: float) -> None:
    found = paired_comparison.compare(both, broke, fixed, neither, confidence)
    if not both + broke + fixed + neither:
        assert found is None
        return
    assert found.new - found.base == pytest.approx(found.difference)
    assert -1 <= found.low <= found.high <= 1
    assert 0 <= found.p_value <= 1
    assert found == paired_comparison.compare(both, broke, fixed, neither, confidence)


def test_no_image_is_no_comparison() -> None:
    assert paired_comparison.compare(0, 0, 0, 0) is None
