"""One gate against metrics, and against the base model."""

import pytest

from registry.core.model_values import Gate
from registry.model import gates, paired_comparison
from registry.model.changes import GateState

PASSED, FAILED, UNKNOWN = GateState.PASSED, GateState.FAILED, GateState.NOT_EVALUATED

METRICS = {
    "accuracy": 0.9,
    "loss": float("nan"),
    "per_class.cat.recall": 0.8,
    "per_class.cat.f1": 0.7,
    "slices.camera.XT-3.accuracy": 0.6,
}
SLICE = ("camera", "XT-3")


@pytest.mark.parametrize(
    ("gate", "state", "message"),
    [
        (Gate("accuracy", min=0.9), PASSED, "accuracy is 0.9, expected at least 0.9"),
        (Gate("accuracy", min=0.8, max=0.9), PASSED, "accuracy is 0.9, expected at least 0.8 and at most 0.9"),
        (Gate("accuracy", min=0.91), FAILED, "accuracy is 0.9, expected at least 0.91"),
        (Gate("accuracy", max=0.5), FAILED, "accuracy is 0.9, expected at most 0.5"),
        (Gate("loss", max=0.5), FAILED, "loss is nan, expected a finite number"),
        (Gate("ece", max=0.5), FAILED, "ece is not in metrics.json, which has accuracy, loss"),
        (Gate("recall", min=0.85, label="cat"), FAILED, "per_class.cat.recall is 0.8, expected at least 0.85"),
        (Gate("f1", min=0.7, label="cat"), PASSED, "per_class.cat.f1 is 0.7, expected at least 0.7"),
        (Gate("accuracy", min=0.7, slice=SLICE), FAILED, "accuracy where camera is XT-3 is 0.6, expected at least 0.7"),
        (Gate("accuracy", min=0.7, slice=("camera", "X")), UNKNOWN, "accuracy where camera is X was not measured"),
    ],
)
def test_bounds(gate: Gate, state: GateState, message: str) -> None:
    found = gates.evaluate_bounds(gate, METRICS)
    assert (found.gate, found.state) == (gate, state)
    assert found.message.startswith(message)


def test_a_gate_without_bounds_or_without_base_has_nothing_to_say() -> None:
    assert gates.evaluate_bounds(Gate("accuracy", no_worse_than="base"), METRICS) is None
    assert gates.evaluate_against_base(Gate("accuracy", min=0.1), None) is None


@pytest.mark.parametrize(
    ("broken", "fixed", "margin", "state", "words"),
    [
        (0, 0, None, PASSED, "not significantly worse than the base"),
        (40, 0, None, FAILED, "significantly worse than the base"),
        (12, 10, None, PASSED, "not significantly worse than the base"),
        (12, 10, 0.05, PASSED, "proven to be at most 0.05 below the base"),
        (12, 10, 0.005, FAILED, "not proven to be at most 0.005 below the base"),
        (10, 200, 0.001, PASSED, "proven to be at most 0.001 below the base"),
    ],
)
def test_no_worse_than_base(broken: int, fixed: int, margin: float | None, state: GateState, words: str) -> None:
    gate = Gate("accuracy", no_worse_than="base", margin=margin)
    found = gates.evaluate_against_base(gate, paired_comparison.compare(700, broken, fixed, 100))
    assert (found.state, found.message.split(": ")[1]) == (state, words)


def test_a_smaller_test_set_proves_less() -> None:
    kept, margin = (Gate("accuracy", no_worse_than="base", margin=margin) for margin in (None, 0.05))
    small, large = paired_comparison.compare(20, 3, 0, 3), paired_comparison.compare(2000, 300, 0, 300)
    assert [gates.evaluate_against_base(kept, one).state for one in (small, large)] == [PASSED, FAILED]
    small, large = paired_comparison.compare(20, 0, 0, 3), paired_comparison.compare(2000, 0, 0, 300)
    assert [gates.evaluate_against_base(margin, one).state for one in (small, large)] == [FAILED, PASSED]


def test_confidence_is_the_gates_own() -> None:
    strict, lenient = (Gate("accuracy", no_worse_than="base", confidence=one) for one in (0.999, 0.6))
    wide, narrow = (paired_comparison.compare(90, 9, 2, 0, gate.confidence) for gate in (strict, lenient))
    assert gates.evaluate_against_base(strict, wide).state is PASSED
    assert gates.evaluate_against_base(lenient, narrow).state is FAILED
    assert gates.evaluate_against_base(strict, wide).message.count(", 99.9% CI ") == 1


JUDGED = {"accuracy": 0.9}


@pytest.mark.parametrize(
    ("gate", "reported", "state", "message"),
    [
        (
            Gate("ms", max=20),
            {"models/pets/latency.json": {"ms": 12}},
            PASSED,
            "ms is 12, expected at most 20 (reported by the training in models/pets/latency.json, not measured)",
        ),
        (
            Gate("ms", max=10),
            {"a.json": {"ms": 12}},
            FAILED,
            "ms is 12, expected at most 10 (reported by the training in a.json, not measured)",
        ),
        (
            Gate("ms", max=10),
            {"a.json": {"ms": "fast"}},
            FAILED,
            "ms is fast, expected a finite number (reported by the training in a.json, not measured)",
        ),
        (
            Gate("ms", max=20),
            {"a.json": {"ms": 12}, "b.json": {"ms": 99}},
            FAILED,
            "ms is in several files: a.json, b.json",
        ),
        (Gate("accuracy", min=0.95), {"a.json": {"accuracy": 0.99}}, FAILED, "accuracy is 0.9, expected at least 0.95"),
        (
            Gate("recall", min=0.95, label="cat"),
            {"a.json": {"per_class.cat.recall": 0.99}},
            FAILED,
            "per_class.cat.recall is not in metrics.json, which has accuracy",
        ),
        (
            Gate("per_class.cat.f1", min=0.95),
            {"a.json": {"per_class.cat.f1": 0.99}},
            FAILED,
            "per_class.cat.f1 is not in metrics.json, which has accuracy",
        ),
        (
            Gate("accuracy", min=0.5, slice=("camera", "A")),
            {"a.json": {"slices.camera.A.accuracy": 0.99}},
            UNKNOWN,
            "accuracy where camera is A was not measured",
        ),
    ],
)
def test_metrics_that_the_training_reports(
    gate: Gate, reported: dict[str, dict[str, object]], state: GateState, message: str
) -> None:
    """The judge's own are never taken from elsewhere."""
    found = gates.evaluate_bounds(gate, JUDGED, reported)
    assert (found.state, found.message) == (state, message)


def test_what_cannot_be_compared_is_not_judged() -> None:
    found = gates.evaluate_against_base(Gate("accuracy", no_worse_than="base"), None, "it is the first version")
    assert found.state is UNKNOWN
    assert found.message == "accuracy was not compared with the base: it is the first version"


@pytest.mark.parametrize(
    ("gate", "part"),
    [
        (Gate("accuracy"), None),
        (Gate("recall", label="Great Dane"), ("label", "Great Dane")),
        (Gate("per_class.Great Dane.recall"), None),
        (Gate("accuracy", slice=SLICE), SLICE),
    ],
)
def test_the_part_of_the_images(gate: Gate, part: tuple[str, str] | None) -> None:
    assert gates.subset(gate) == part


@pytest.mark.parametrize(
    ("bounds", "base", "state"),
    [
        (PASSED, PASSED, PASSED),
        (PASSED, UNKNOWN, UNKNOWN),
        (UNKNOWN, FAILED, FAILED),
        (FAILED, UNKNOWN, FAILED),
        (FAILED, PASSED, FAILED),
    ],
)
def test_the_worst_of_a_gates_rules_counts(bounds: GateState, base: GateState, state: GateState) -> None:
    gate = Gate("accuracy", min=0.5, no_worse_than="base")
    one = gates.GateResult(gate, bounds, "bounds")
    assert gates.combine([one, gates.GateResult(gate, base, "base")]) == gates.GateResult(gate, state, "bounds; base")
    assert gates.combine([None, one]) == one
