"""Numbers and names in words, the same in every part of a report."""

from registry.core.values import Bump, Counts
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange, PairedComparison

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def many(number: int, noun: str) -> str:
    """`1 image`, `1,200 images`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def percent(share: float) -> str:
    """`91.2%` of a share from 0 to 1."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign: `+1.4`."""
    return signed(f"{100 * difference:+.1f}")


def signed(text: str) -> str:
    """A number with a true minus; nothing is not negative."""
    return "0.0" if text in ("-0.0", "+0.0") else text.replace("-", "−")


def size(number: int) -> str:
    """`1.2 MB`."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else many(number, "byte")


def total(counts: Counts) -> int:
    """All items."""
    return sum(sum(classes.values()) for classes in counts.values())


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def bump(step: Bump) -> str:
    """`major`, `minor`, `patch`, `none`."""
    return step.name.lower()


def title(change: DatasetChange | ModelChange) -> str:
    """The artifact and how its version moves."""
    if change.old is None:
        return f"{change.id} {change.new} (new)"
    if change.new is None:
        return f"{change.id} {change.old} (removed)"
    return f"{change.id} {change.old} → {change.new}" if change.old != change.new else f"{change.id} {change.new}"


def comparison(paired: PairedComparison) -> str:
    """How two models compare, and how sure that is."""
    sure = f"{100 * paired.confidence:g}% interval {points(paired.low)} to {points(paired.high)} points"
    right = (
        f"{percent(paired.new)} right instead of {percent(paired.base)} on {many(paired.images, 'common test image')}"
    )
    return f"{right} ({sure}, {probability(paired.p_value)})"


def probability(p_value: float) -> str:
    """A p-value, no more exact than anybody needs: `p = 0.021`, `p < 0.001`."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def judgement(paired: PairedComparison) -> str:
    """What the interval shows."""
    if paired.low > 0:
        return "is better"
    return "is worse" if paired.high < 0 else "cannot be told from the base"
