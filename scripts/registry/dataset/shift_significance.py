"""Whether a column's distribution changed by more than chance gives for these counts.

Both versions share most of their images, so the whole versions are no independent samples. What is compared is what
changed: the added images with the version before, and the removed ones with those that stayed. An image whose value was
edited counts as removed with the old value and added with the new one.
"""

import math
from collections.abc import Sequence
from itertools import compress

import polars as pl
from polars import DataFrame, col

UUID = "uuid"
LEVEL = 0.01  # of a false shift in a whole report, over all columns (Bonferroni)
MIN_EXPECTED = 5  # images of a value; rarer ones are tested as one (Cochran, Biometrics 10, 1954)


def p_value(before: DataFrame, after: DataFrame, column: str) -> float:
    """The probability that chance alone gives a difference of at least this size; 1 where there are too few images.

    Both frames have uuid and the column, without nulls. The smaller of the two tests' values, doubled.
    """
    counts = _counts(before, after, column)
    kept, removed, added = (counts[name].to_list() for name in ("kept", "removed", "added"))
    earlier = [stayed + gone for stayed, gone in zip(kept, removed, strict=True)]
    return min(1.0, 2 * min(homogeneity(added, earlier), homogeneity(removed, kept)))


def _counts(before: DataFrame, after: DataFrame, column: str) -> DataFrame:
    """Of each value: how many images keep it, lose it, and get it."""
    sides = [frame.select(UUID, col(column).cast(pl.String).alias("value")) for frame in (before, after)]
    both = sides[0].join(sides[1], on=UUID, how="full", coalesce=True, suffix="_after")
    is_same = (col("value") == col("value_after")).fill_null(value=False)
    named = {"kept": ("value", is_same), "removed": ("value", ~is_same), "added": ("value_after", ~is_same)}
    tables = [
        both.filter(chosen).group_by(pl.col(side).alias("value")).agg(pl.len().cast(pl.Int64).alias(name))
        for name, (side, chosen) in named.items()
    ]
    joined = tables[0]
    for table in tables[1:]:
        joined = joined.join(table, on="value", how="full", coalesce=True)
    return joined.drop_nulls("value").fill_null(0).sort("value")


def homogeneity(first: Sequence[int], second: Sequence[int]) -> float:
    """The p-value of the chi-squared test that two samples, counted by the same values, have one distribution."""
    one, other = sum(first), sum(second)
    if not one or not other:
        return 1.0
    pairs = _pooled(list(zip(first, second, strict=True)), min(one, other) / (one + other))
    if len(pairs) < 2:
        return 1.0
    statistic = 0.0
    for cells in pairs:
        for count, size in zip(cells, (one, other), strict=True):
            expected = sum(cells) * size / (one + other)
            statistic += (count - expected) ** 2 / expected
    return chi_squared_tail(statistic, len(pairs) - 1)


def _pooled(pairs: Sequence[tuple[int, int]], share: float) -> list[tuple[int, int]]:
    """The counts with all values as one of which fewer than MIN_EXPECTED images are expected in the smaller sample."""
    is_frequent = [sum(pair) * share >= MIN_EXPECTED for pair in pairs]
    frequent = sorted(compress(pairs, is_frequent), key=sum)
    rare = list(compress(pairs, (not one for one in is_frequent)))
    pooled = (sum(pair[0] for pair in rare), sum(pair[1] for pair in rare))
    if sum(pooled) * share < MIN_EXPECTED and frequent:
        pooled = (pooled[0] + frequent[0][0], pooled[1] + frequent[0][1])
        del frequent[0]
    return [pooled, *frequent] if sum(pooled) else frequent


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """The upper tail of the chi-squared distribution, by the cube root of Wilson and Hilferty (PNAS 17, 1931)."""
    spread = 2 / (9 * freedom)
    return math.erfc((math.cbrt(statistic / freedom) - (1 - spread)) / math.sqrt(2 * spread)) / 2
