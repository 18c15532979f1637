"""Two models judged on the same images: how far apart they are, and what chance alone could make of it."""

import math
from bisect import bisect
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from random import Random

from registry.model.changes import Paired

RESAMPLES = 2_000
SEED = 1
CONFIDENCE = 0.95


def compare(both: int, broke: int, fixed: int, neither: int, confidence: float = CONFIDENCE) -> Paired | None:
    """The two models on images of which `both` have right so many, only the base, only the new, and neither model.

    None where there is no image.
    """
    images = both + broke + fixed + neither
    if not images:
        return None
    low, high = interval(images, broke, fixed, confidence)
    base, new = (both + broke) / images, (both + fixed) / images
    p_value = mcnemar(broke, fixed)
    return Paired(images, base, new, (fixed - broke) / images, low, high, confidence, broke, fixed, p_value)


def with_confidence(paired: Paired, confidence: float) -> Paired:
    """The same images with another interval."""
    both = round(paired.base * paired.images) - paired.broke
    neither = paired.images - both - paired.broke - paired.fixed
    return compare(both, paired.broke, paired.fixed, neither, confidence)


@cache  # of a thousand classes many have the same three numbers
def interval(images: int, broke: int, fixed: int, confidence: float) -> tuple[float, float]:
    """The bootstrap interval of the difference in accuracy (new minus base): percentiles over 2,000 seeded resamples.

    An image counts as -1, 0 or +1, so a resample is three numbers, however many images there are: each image stands in
    it Poisson(1) times (Hanley and MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson
    frequencies"). The population has one more image of each kind that differs, as in the adjusted interval of Bonett
    and Price (2012): where no answer differs the plain bootstrap is certain, of three images as of three million.
    """
    random = Random(SEED)  # noqa: S311 - a simulation, not a secret
    lost, won, same = (_poisson(mean, random) for mean in (broke + 1, fixed + 1, images - broke - fixed))
    draws = sorted(_share(lost(), won(), same()) for _ in range(RESAMPLES))
    tail = round(RESAMPLES * (1 - confidence) / 2)
    return draws[tail], draws[-1 - tail]


def _share(lost: int, won: int, same: int) -> float:
    return (won - lost) / max(lost + won + same, 1)


def _poisson(mean: float, random: Random) -> Callable[[], int]:
    """Draws from a Poisson distribution, by its table; what lies ten deviations off is left out."""
    if not mean:
        return lambda: 0
    reach = 10 * math.sqrt(mean) + 10
    first = max(0, int(mean - reach))
    logs = (count * math.log(mean) - mean - math.lgamma(count + 1) for count in range(first, int(mean + reach)))
    table = list(accumulate(map(math.exp, logs)))
    return lambda: first + bisect(table, random.random() * table[-1], hi=len(table) - 1)


def mcnemar(broke: int, fixed: int) -> float:
    """McNemar's exact test, two-sided: how likely chance alone divides the images that differ at least as unevenly.

    Under chance each of them is broken or fixed as a coin falls, so it is twice a tail of Binomial(broke + fixed, 1/2).
    """
    total, fewer = broke + fixed, min(broke, fixed)
    logs = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(math.exp(log - total * math.log(2)) for log in logs))
