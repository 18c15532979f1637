"""Gates that a comparison evaluates, and `registry evaluate`."""

import json
from pathlib import Path

from registry.model.changes import GateState, MetricChange
from support import repositories
from support.repositories import Run
from support.threshold_models import (
    BRIGHT_CATS,
    CATS,
    DOGS,
    FOLDER,
    compare,
    put_data,
    put_model,
    red,
)

# --- gates ------------------------------------------------------------------------------------------------------------

GATES = [
    ({"metric": "accuracy", "no_worse_than": "base"}, GateState.FAILED),
    ({"metric": "accuracy", "class": "dog", "no_worse_than": "base"}, GateState.PASSED),
    ({"metric": "recall", "class": "cat", "no_worse_than": "base"}, GateState.FAILED),
    ({"metric": "accuracy", "slice": {"camera": "A"}, "min": 0.6}, GateState.FAILED),
    ({"metric": "accuracy", "slice": {"camera": "A"}, "min": 0.4}, GateState.PASSED),
    ({"metric": "accuracy", "slice": {"camera": "Z"}, "min": 0.4}, GateState.NOT_EVALUATED),
    ({"metric": "accuracy", "slice": {"place": "Z"}, "no_worse_than": "base"}, GateState.NOT_EVALUATED),
    ({"metric": "accuracy", "class": "fox", "no_worse_than": "base"}, GateState.NOT_EVALUATED),
    ({"metric": "accuracy", "no_worse_than": "base", "margin": 0.9}, GateState.PASSED),
    ({"metric": "accuracy", "min": 0.9, "no_worse_than": "base", "margin": 0.9}, GateState.FAILED),
]


def test_gates_by_class_and_slice(base: Path) -> None:
    put_model(base, 5, gates=[gate for gate, _ in GATES])  # all cats are dogs
    change = compare(base)
    assert [gate.state for gate in change.gates] == [state for _, state in GATES]
    lines = (base / FOLDER / "model.yaml").read_text().splitlines()
    assert all(lines[gate.line - 1].startswith("- metric") for gate in change.gates)


def test_a_metric_that_is_not_a_number_fails_a_gate(base: Path) -> None:
    put_model(base, 75, gates=[{"metric": "accuracy", "min": 0.1}, {"metric": "accuracy", "no_worse_than": "base"}])
    (base / FOLDER / "metrics.json").write_text('{"accuracy": NaN}')
    change = compare(base)
    assert [gate.state for gate in change.gates] == [GateState.FAILED, GateState.PASSED]  # predictions exist
    assert change.gates[0].message == "accuracy is not in metrics.json, which has no numbers"
    assert change.metrics[0] == MetricChange("accuracy", 1, None, None)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_pulls_runs_and_evaluates_gates(base: Path, run_registry: Run) -> None:
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 75, version="1.1.0", gates=[{"metric": "accuracy", "min": 0.9}])
    repositories.stage(base)
    repositories.place(base / ".dvc/cache", repositories.md5(red(150))).unlink()
    done = run_registry(base, "evaluate", "--base", "HEAD")
    assert done.code == 1
    assert "models/pets: run the base model on the new test set\n$ python evaluate.py --data ../../data" in done.err
    lines = done.out.splitlines()
    assert lines[0] == "models/pets 1.0.0 → 1.1.0"
    assert "  base model on the new test set: accuracy 0.8333 (24 images)" in lines
    assert lines[-1].startswith("  gate failed: accuracy is 0.708333, expected at least 0.9")
    again = run_registry(base, "evaluate", FOLDER, "--base", "HEAD", "--format", "json")
    assert "$ python" not in again.err
    (change,) = json.loads(again.out)
    assert (change["comparison"]["broken"], change["gates"][0]["state"]) == (3, "failed")


def test_the_command_where_no_model_changed(base: Path, run_registry: Run) -> None:
    done = run_registry(base, "evaluate", "--base", "HEAD")
    assert (done.code, done.out.startswith("no model changed since ")) == (0, True)
