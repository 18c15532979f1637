"""Judging one gate of a model's manifest: against its bounds, and against the base model.

`no_worse_than: base` is judged on the test images that both versions have, by the interval of the difference in
accuracy (new minus base) at the gate's `confidence`:

- without a `margin` it is broken when the whole interval lies below zero: the new model is proven worse. A small test
  set proves little, and lets much pass.
- with a `margin` it is broken when the interval reaches below -margin: the new model is not proven to be at most that
  much worse. A small test set proves little, and lets little pass.
"""

import math
from collections.abc import Iterable, Mapping

from registry.core.values import Gate
from registry.model import paired_comparison
from registry.model.changes import GateResult, Paired

LABEL = "label"  # the column whose values are the classes


def part(gate: Gate) -> tuple[str, str] | None:
    """The column and its value that a gate is about: a class, a slice; None: all images."""
    if gate.label is not None:
        return LABEL, gate.label
    return gate.slice or _class_in_name(gate)


def _class_in_name(gate: Gate) -> tuple[str, str] | None:
    start, end = "per_class.", ".recall"
    is_recall = gate.metric.startswith(start) and gate.metric.endswith(end)
    return (LABEL, gate.metric[len(start) : -len(end)]) if is_recall else None


def key(gate: Gate) -> str:
    """Where `metrics.json` has the number: accuracy, per_class.cat.recall, slices.camera.XT-3.accuracy.

    Of the images of one class accuracy is recall.
    """
    if gate.label is not None:
        return f"per_class.{gate.label}.{'recall' if gate.metric == 'accuracy' else gate.metric}"
    return f"slices.{gate.slice[0]}.{gate.slice[1]}.{gate.metric}" if gate.slice else gate.metric


def name(gate: Gate) -> str:
    """What the gate looks at, in words."""
    return f"{gate.metric} where {gate.slice[0]} is {gate.slice[1]}" if gate.slice else key(gate)


def by_bounds(gate: Gate, metrics: Mapping[str, object]) -> GateResult | None:
    """`min` and `max` against the numbers of `metrics.json`; None where the gate has neither.

    What is missing or not a number keeps no bound; a slice that nobody has measured cannot be judged.
    """
    if gate.min is None and gate.max is None:
        return None
    value, what = metrics.get(key(gate)), name(gate)
    if key(gate) not in metrics:
        if gate.slice:
            return GateResult(gate, None, f"{what} was not measured")
        return GateResult(
            gate, False, f"{what} is not in metrics.json, which has {_some(sorted(metrics)) or 'no numbers'}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return GateResult(gate, False, f"{what} is {value}, which is not a number")
    if gate.min is not None and not value >= gate.min:
        return GateResult(gate, False, f"{what} is {value:g}, below the gate's min of {gate.min:g}")
    if gate.max is not None and not value <= gate.max:
        return GateResult(gate, False, f"{what} is {value:g}, above the gate's max of {gate.max:g}")
    bounds = " and ".join(
        f"{word} {bound:g}" for word, bound in (("min", gate.min), ("max", gate.max)) if bound is not None
    )
    return GateResult(gate, True, f"{what} is {value:g}, within {bounds}")


def _some(names: list[str], shown: int = 8) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def by_base(gate: Gate, found: Paired | None, why_not: str = "") -> GateResult | None:
    """`no_worse_than: base` on the images of its part; None where the gate has none.

    Without images to compare on it cannot be judged, for the reason `why_not`.
    """
    if gate.no_worse_than is None:
        return None
    if found is None:
        reason = why_not or "no test image of it is common to both versions"
        return GateResult(gate, None, f"{name(gate)} was not compared with the base: {reason}")
    found = found if found.confidence == gate.confidence else paired_comparison.with_confidence(found, gate.confidence)
    held, words = _against(gate, found)
    return GateResult(gate, held, f"{name(gate)} is {words}: {_numbers(found)}")


def _against(gate: Gate, found: Paired) -> tuple[bool, str]:
    if gate.margin is None:
        held = not found.high < 0
        return held, "not proven worse than the base's" if held else "worse than the base's"
    held = found.low >= -gate.margin
    return held, f"{'' if held else 'not '}proven to be at most {gate.margin:g} below the base's"


def _numbers(found: Paired) -> str:
    images = f"{found.images:,} common image{'s' * (found.images != 1)}"
    difference = f"a difference of {found.low:+.4f} to {found.high:+.4f} ({found.confidence:.4g} sure)"
    return f"{found.new:.4f} against {found.base:.4f} on {images}, {difference}"


def together(results: Iterable[GateResult | None]) -> GateResult:
    """One result of a gate's rules: broken if one is, else not judged if one is not."""
    there = [result for result in results if result]
    states = {result.held for result in there}
    held = False if False in states else None if None in states else True
    return GateResult(there[0].gate, held, "; ".join(result.message for result in there))
