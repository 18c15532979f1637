"""Evaluates one gate of a model's manifest: against its bounds, and against the base model.

`no_worse_than: base` is evaluated on the test images that both versions share, by the confidence interval of the
difference (new minus base) in what the model's task compares, such as accuracy:

- without a `margin` it fails when the whole interval lies below zero: the new model is significantly worse. A small
  test set proves little, and lets much pass.
- with a `margin` it fails when the interval reaches below -margin: the new model is not proven to be at most that much
  worse (a non-inferiority test). A small test set proves little, and lets little pass.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from registry.core.model_values import Gate
from registry.core.wording import join, plural
from registry.model.changes import GateResult, GateState, PairedComparison

LABEL = "label"  # the column whose values are the classes
PER_CLASS = "per_class"  # in metrics.json: the metrics of each class, by its name


class Subset(NamedTuple):
    """The images that have `value` in a metadata column (`label`: a class)."""

    column: str
    value: str


def subset(gate: Gate) -> Subset | None:
    """The images that a gate is about: those of a class or a slice; None: all images."""
    if gate.label is not None:
        return Subset(LABEL, gate.label)
    return Subset(*gate.slice) if gate.slice else None


def metric_key(gate: Gate) -> str:
    """The key of `metrics.json` to read: `accuracy`, `per_class.cat.recall`, `slices.camera.XT-3.accuracy`."""
    if gate.label is not None:
        return f"{PER_CLASS}.{gate.label}.{gate.metric}"
    return f"slices.{gate.slice[0]}.{gate.slice[1]}.{gate.metric}" if gate.slice else gate.metric


def describe(gate: Gate) -> str:
    """The measured quantity in words: `accuracy`, `per_class.cat.recall`, `accuracy where camera is XT-3`."""
    return f"{gate.metric} where {gate.slice[0]} is {gate.slice[1]}" if gate.slice else metric_key(gate)


def describe_rule(gate: Gate) -> str:
    """The whole gate in words: `accuracy at least 0.85 and no worse than base (95% CI)`."""
    parts = [f"at least {gate.min:g}"] if gate.min is not None else []
    parts += [f"at most {gate.max:g}"] if gate.max is not None else []
    if gate.no_worse_than:
        limit = f"at most {gate.margin:g} below" if gate.margin is not None else "no worse than"
        parts.append(f"{limit} {gate.no_worse_than} ({confidence_interval(gate.confidence)})")
    return f"{describe(gate)} {join(parts)}"


def confidence_interval(confidence: float) -> str:
    """`95% CI`."""
    return f"{100 * confidence:g}% CI"


def evaluate_bounds(
    gate: Gate, metrics: Mapping[str, object], reported: Mapping[str, Mapping[str, object]] | None = None
) -> GateResult | None:
    """`min` and `max` against the numbers of `metrics.json`; None where the gate has neither.

    A metric that is not the judge's is looked up in those that the training `reported` (path → metrics), and the result
    says so. A number that is missing or not finite fails the gate; a slice that was not measured leaves it not
    evaluated.
    """
    if gate.min is None and gate.max is None:
        return None
    key, what = metric_key(gate), describe(gate)
    if key not in metrics:
        if gate.slice:
            return GateResult(gate, GateState.NOT_EVALUATED, f"{what} was not measured")
        if found := _reported(gate, key, reported or {}):
            return _reported_result(gate, key, found)
        present = _some(sorted(metrics)) or "no numbers"
        return GateResult(gate, GateState.FAILED, f"{what} is not in metrics.json, which has {present}")
    return _against_bounds(gate, what, metrics[key])


def _reported(gate: Gate, key: str, reported: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """The value by the file that reports it; nothing where only the judge may say it: on a class or a slice."""
    if gate.label is not None or key.startswith(f"{PER_CLASS}."):
        return {}
    return {path: values[key] for path, values in reported.items() if key in values}


def _reported_result(gate: Gate, what: str, found: Mapping[str, object]) -> GateResult:
    if len(found) > 1:
        return GateResult(gate, GateState.FAILED, f"{what} is in several files: {', '.join(found)}")
    (path, value), *_ = found.items()
    result = _against_bounds(gate, what, value)
    return replace(result, message=f"{result.message} (reported by the training in {path}, not measured)")


def _against_bounds(gate: Gate, what: str, value: object) -> GateResult:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return GateResult(gate, GateState.FAILED, f"{what} is {value}, expected a finite number")
    bounds = (("at least", gate.min), ("at most", gate.max))
    expected = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    passed = (gate.min is None or value >= gate.min) and (gate.max is None or value <= gate.max)
    return GateResult(gate, _state(passed), f"{what} is {value:g}, expected {expected}")


def _state(passed: bool) -> GateState:
    return GateState.PASSED if passed else GateState.FAILED


def _some(names: list[str], shown: int = 8) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def evaluate_against_base(gate: Gate, found: PairedComparison | None, missing: str = "") -> GateResult | None:
    """`no_worse_than: base` on the shared images of its subset; None where the gate has no such rule.

    The comparison is at the gate's confidence. Without a comparison it is not evaluated, for the reason `missing`.
    """
    if gate.no_worse_than is None:
        return None
    if found is None:
        reason = missing or "the two versions share no test image of it"
        return GateResult(gate, GateState.NOT_EVALUATED, f"{describe(gate)} was not compared with the base: {reason}")
    passed = not found.is_worse if gate.margin is None else found.largest_loss <= gate.margin
    numbers = f"{found.new:.4f} vs. {found.base:.4f} on {plural(found.images, 'shared test image')}"
    interval = f"{confidence_interval(found.confidence)} {found.low:+.4f} to {found.high:+.4f}"
    difference = f"difference {found.difference:+.4f}, {interval}"
    message = f"{describe(gate)} is {numbers} ({difference}): {_conclusion(gate, passed)}"
    return GateResult(gate, _state(passed), message)


def _conclusion(gate: Gate, passed: bool) -> str:
    if gate.margin is None:
        return "not significantly worse than the base" if passed else "significantly worse than the base"
    return f"{'' if passed else 'not '}proven to be at most {gate.margin:g} below the base"


def combine(results: Iterable[GateResult | None]) -> GateResult:
    """One result of a gate's rules: failed if one failed, else not evaluated if one was not. Needs at least one."""
    present = [result for result in results if result]
    order = (GateState.FAILED, GateState.NOT_EVALUATED, GateState.PASSED)
    state = min((result.state for result in present), key=order.index)
    return GateResult(present[0].gate, state, "; ".join(result.message for result in present))
