"""The statistics of two models on the same images: a confidence interval of their difference, and McNemar's test."""

import math
from bisect import bisect
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from random import Random
from typing import NamedTuple

from registry.model.changes import PairedComparison

RESAMPLES = 2_000
SEED = 1
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A confidence interval of a difference in accuracy (new minus base, -1 to 1)."""

    low: float
    high: float


def compare(
    both: int, broken: int, fixed: int, neither: int, confidence: float = CONFIDENCE
) -> PairedComparison | None:
    """Compare two models by the number of images that both, only the base, only the new, or neither model has right.

    None where there is no image.
    """
    if not both + broken + fixed + neither:
        return None
    return _compare(both, broken, fixed, neither, confidence)


def _compare(both: int, broken: int, fixed: int, neither: int, confidence: float) -> PairedComparison:
    images = both + broken + fixed + neither
    low, high = interval(images, broken, fixed, confidence)
    return PairedComparison(
        images=images,
        base=(both + broken) / images,
        new=(both + fixed) / images,
        difference=(fixed - broken) / images,
        low=low,
        high=high,
        confidence=confidence,
        broken=broken,
        fixed=fixed,
        p_value=mcnemar(broken, fixed),
        metric="accuracy",
        is_share=True,
        higher_is_better=True,
    )


@cache  # many of a thousand classes have the same three counts
def interval(images: int, broken: int, fixed: int, confidence: float) -> Interval:
    """The bootstrap interval of the difference in accuracy (new minus base): percentiles over 2,000 seeded resamples.

    An image counts as -1, 0 or +1, so a resample is three numbers, however many images there are: each image is drawn
    Poisson(1) times (Hanley and MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson
    frequencies"). The population has one more image of each kind that differs, as in the adjusted interval of Bonett
    and Price (2012): where no prediction differs the plain bootstrap has zero width, for three images as for three
    million.
    """
    random = Random(SEED)  # noqa: S311 - a simulation, not a secret
    lost, won, same = (_poisson(mean, random) for mean in (broken + 1, fixed + 1, images - broken - fixed))
    draws = sorted(_share(lost(), won(), same()) for _ in range(RESAMPLES))
    tail = round(RESAMPLES * (1 - confidence) / 2)
    return Interval(draws[tail], draws[-1 - tail])


def _share(lost: int, won: int, same: int) -> float:
    return (won - lost) / max(lost + won + same, 1)


def _poisson(mean: float, random: Random) -> Callable[[], int]:
    """Draws from a Poisson distribution by table; values more than ten standard deviations away are left out."""
    if not mean:
        return lambda: 0
    reach = 10 * math.sqrt(mean) + 10
    first = max(0, int(mean - reach))
    logs = (count * math.log(mean) - mean - math.lgamma(count + 1) for count in range(first, int(mean + reach)))
    table = list(accumulate(map(math.exp, logs)))
    return lambda: first + bisect(table, random.random() * table[-1], hi=len(table) - 1)


def mcnemar(broken: int, fixed: int) -> float:
    """McNemar's exact test, two-sided: the p-value of the null hypothesis that both models err equally often.

    Under it each image that differs is broken or fixed with probability 1/2, so the p-value is twice a tail of
    Binomial(broken + fixed, 1/2).
    """
    total, fewer = broken + fixed, min(broken, fixed)
    logs = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(math.exp(log - total * math.log(2)) for log in logs))
