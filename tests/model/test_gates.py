"""One gate against metrics, and against the base model."""

import pytest

from registry.core.values import Gate
from registry.model import gates, paired_comparison

METRICS = {
    "accuracy": 0.9,
    "loss": float("nan"),
    "per_class.cat.recall": 0.8,
    "per_class.cat.f1": 0.7,
    "slices.camera.XT-3.accuracy": 0.6,
}
SLICE = ("camera", "XT-3")


@pytest.mark.parametrize(
    ("gate", "held", "message"),
    [
        (Gate("accuracy", min=0.9), True, "accuracy is 0.9, within min 0.9"),
        (Gate("accuracy", min=0.8, max=0.9), True, "accuracy is 0.9, within min 0.8 and max 0.9"),
        (Gate("accuracy", min=0.91), False, "accuracy is 0.9, below the gate's min of 0.91"),
        (Gate("accuracy", max=0.5), False, "accuracy is 0.9, above the gate's max of 0.5"),
        (Gate("loss", max=0.5), False, "loss is nan, which is not a number"),
        (Gate("ece", max=0.5), False, "ece is not in metrics.json, which has accuracy, loss"),
        (Gate("accuracy", min=0.85, label="cat"), False, "per_class.cat.recall is 0.8, below the gate's min of 0.85"),
        (Gate("f1", min=0.7, label="cat"), True, "per_class.cat.f1 is 0.7, within min 0.7"),
        (Gate("accuracy", min=0.7, slice=SLICE), False, "accuracy where camera is XT-3 is 0.6, below the gate's"),
        (Gate("accuracy", min=0.7, slice=("camera", "X")), None, "accuracy where camera is X was not measured"),
    ],
)
def test_bounds(gate: Gate, held: bool | None, message: str) -> None:
    found = gates.by_bounds(gate, METRICS)
    assert (found.gate, found.held) == (gate, held)
    assert found.message.startswith(message)


def test_a_gate_without_bounds_or_without_base_has_nothing_to_say() -> None:
    assert gates.by_bounds(Gate("accuracy", no_worse_than="base"), METRICS) is None
    assert gates.by_base(Gate("accuracy", min=0.1), None) is None


@pytest.mark.parametrize(
    ("broke", "fixed", "margin", "held", "words"),
    [
        (0, 0, None, True, "not proven worse than the base's"),
        (40, 0, None, False, "worse than the base's"),
        (12, 10, None, True, "not proven worse than the base's"),
        (12, 10, 0.05, True, "proven to be at most 0.05 below the base's"),
        (12, 10, 0.005, False, "not proven to be at most 0.005 below the base's"),
        (10, 200, 0.001, True, "proven to be at most 0.001 below the base's"),
    ],
)
def test_no_worse_than_base(broke: int, fixed: int, margin: float | None, held: bool, words: str) -> None:
    gate = Gate("accuracy", no_worse_than="base", margin=margin)
    found = gates.by_base(gate, paired_comparison.compare(700, broke, fixed, 100))
    assert (found.held, found.message.split(":")[0]) == (held, f"accuracy is {words}")


def test_a_smaller_test_set_proves_less() -> None:
    kept, margin = (Gate("accuracy", no_worse_than="base", margin=margin) for margin in (None, 0.05))
    small, large = paired_comparison.compare(20, 3, 0, 3), paired_comparison.compare(2000, 300, 0, 300)
    assert [gates.by_base(kept, one).held for one in (small, large)] == [True, False]
    small, large = paired_comparison.compare(20, 0, 0, 3), paired_comparison.compare(2000, 0, 0, 300)
    assert [gates.by_base(margin, one).held for one in (small, large)] == [False, True]


def test_confidence_is_the_gates_own() -> None:
    found = paired_comparison.compare(90, 9, 2, 0)
    sure, bold = (Gate("accuracy", no_worse_than="base", confidence=one) for one in (0.999, 0.6))
    assert (gates.by_base(sure, found).held, gates.by_base(bold, found).held) == (True, False)
    assert gates.by_base(sure, found).message.endswith("(0.999 sure)")


def test_what_cannot_be_compared_is_not_judged() -> None:
    found = gates.by_base(Gate("accuracy", no_worse_than="base"), None, "it is the first version")
    assert found.held is None
    assert found.message == "accuracy was not compared with the base: it is the first version"


@pytest.mark.parametrize(
    ("gate", "part"),
    [
        (Gate("accuracy"), None),
        (Gate("recall", label="Great Dane"), ("label", "Great Dane")),
        (Gate("per_class.Great Dane.recall"), ("label", "Great Dane")),
        (Gate("per_class.Great Dane.f1"), None),
        (Gate("accuracy", slice=SLICE), SLICE),
    ],
)
def test_the_part_of_the_images(gate: Gate, part: tuple[str, str] | None) -> None:
    assert gates.part(gate) == part


@pytest.mark.parametrize(
    ("bounds", "base", "held"),
    [(True, True, True), (True, None, None), (None, False, False), (False, None, False), (False, True, False)],
)
def test_the_worst_of_a_gates_rules_counts(bounds: bool | None, base: bool | None, held: bool | None) -> None:
    gate = Gate("accuracy", min=0.5, no_worse_than="base")
    one = gates.GateResult(gate, bounds, "bounds")
    assert gates.together([one, gates.GateResult(gate, base, "base")]) == gates.GateResult(gate, held, "bounds; base")
    assert gates.together([None, one]) == one
