"""Phrases that every part of a report shares: versions, shares, and how two models compare."""

from registry.core.values import Bump
from registry.core.wording import plural
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange, PairedComparison
from registry.model.gates import confidence_interval


def percent(share: float) -> str:
    """`91.2%` of a share from 0 to 1."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign: `+1.4`."""
    return signed(f"{100 * difference:+.1f}")


def signed(text: str) -> str:
    """A formatted number with a typographic minus; zero has no sign."""
    return "0.0" if text in ("-0.0", "+0.0") else text.replace("-", "−")


def bump(step: Bump) -> str:
    """`major`, `minor`, `patch`, `none`."""
    return step.name.lower()


def title(change: DatasetChange | ModelChange) -> str:
    """The artifact and its versions: `datasets/pets 1.0.0 → 1.1.0`."""
    if change.old is None:
        return f"{change.id} {change.new} (new)"
    if change.new is None:
        return f"{change.id} {change.old} (removed)"
    return f"{change.id} {change.old} → {change.new}" if change.old != change.new else f"{change.id} {change.new}"


def comparison(found: PairedComparison) -> str:
    """Both values, how certain their difference is, and the conclusion: the headline of a model."""
    images = plural(found.images, "shared test image")
    low, high = delta(found, found.low), delta(found, found.high)
    statistics = f"{confidence_interval(found.confidence)} {low} to {high}{' pp' * found.is_share}"
    statistics += f", McNemar {p_value(found.p_value)}" if found.p_value is not None else ""
    values = f"{value(found, found.new)} vs. {value(found, found.base)}"
    return f"{found.metric} {values} on {images} ({statistics}): {conclusion(found)}"


def value(found: PairedComparison, number: float) -> str:
    """A value of the compared metric: a share in percent, another one to four digits."""
    return percent(number) if found.is_share else f"{number:.4g}"


def delta(found: PairedComparison, number: float) -> str:
    """A difference in the compared metric: of shares in percentage points."""
    return points(number) if found.is_share else signed(f"{number:+.4g}")


def p_value(probability: float) -> str:
    """A p-value to two significant digits: `p = 0.48`, `p = 0.021`, `p < 0.001`."""
    if probability < 0.001:
        return "p < 0.001"
    return f"p = {probability:.2f}" if probability >= 0.0995 else f"p = {probability:.3f}"


def conclusion(found: PairedComparison) -> str:
    """What the confidence interval shows."""
    if found.is_better:
        return "significantly better"
    return "significantly worse" if found.is_worse else "no significant difference"
