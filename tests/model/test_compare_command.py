"""Gates against the base, and `registry compare` and `registry check` on models."""

import json
from pathlib import Path

from registry.model.changes import GateState
from support import repositories
from support.repositories import Run
from support.threshold_models import (
    BRIGHT_CATS,
    CATS,
    DOGS,
    FOLDER,
    compare,
    lock,
    lose,
    put_data,
    put_model,
    red,
)

# --- gates ------------------------------------------------------------------------------------------------------------

GATES = [
    ({"metric": "accuracy", "no_worse_than": "base"}, GateState.FAILED),
    ({"metric": "recall", "class": "dog", "no_worse_than": "base"}, GateState.PASSED),
    ({"metric": "recall", "class": "cat", "no_worse_than": "base"}, GateState.FAILED),
    ({"metric": "accuracy", "slice": {"camera": "A"}, "min": 0.6}, GateState.FAILED),
    ({"metric": "accuracy", "slice": {"camera": "A"}, "min": 0.4}, GateState.PASSED),
    ({"metric": "accuracy", "slice": {"camera": "Z"}, "min": 0.4}, GateState.NOT_EVALUATED),
    ({"metric": "accuracy", "slice": {"place": "Z"}, "no_worse_than": "base"}, GateState.NOT_EVALUATED),
    ({"metric": "recall", "class": "fox", "no_worse_than": "base"}, GateState.NOT_EVALUATED),
    ({"metric": "accuracy", "no_worse_than": "base", "margin": 0.9}, GateState.PASSED),
    ({"metric": "accuracy", "min": 0.9, "no_worse_than": "base", "margin": 0.9}, GateState.FAILED),
]


def test_gates_by_class_and_slice(base: Path) -> None:
    put_model(base, 5, gates=[gate for gate, _ in GATES])  # all cats are dogs
    change = compare(base)
    assert [gate.state for gate in change.gates] == [state for _, state in GATES]
    lines = (base / FOLDER / "model.yaml").read_text().splitlines()
    assert all(lines[gate.line - 1].startswith("- metric") for gate in change.gates)


def test_a_metric_that_only_the_training_reports_fails_a_gate(base: Path) -> None:
    put_model(base, 75, gates=[{"metric": "latency", "max": 9}])
    (gate,) = compare(base).gates
    assert gate.state is GateState.FAILED
    assert gate.message.startswith("latency is not in metrics.json, which has accuracy, ece, images, loss")


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_command_pulls_measures_and_evaluates_gates(base: Path, run_registry: Run) -> None:
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 75, version="1.1.0", gates=[{"metric": "accuracy", "min": 0.9}])
    repositories.stage(base)
    lose(base, red(150))
    done = run_registry(base, "compare", "--base", "HEAD")
    assert done.code == 1
    assert "models/pets: measure the base model on 24 test images\n" in done.err
    lines = done.out.splitlines()
    assert lines[0] == "models/pets 1.0.0 → 1.1.0"
    assert "  measured on 24 of 24 test images" in lines
    assert lines[-1].startswith("  gate failed: accuracy is 0.708333, expected at least 0.9")
    again = run_registry(base, "compare", FOLDER, "--base", "HEAD", "--format", "json")
    assert "measure" not in again.err
    (change,) = json.loads(again.out)
    assert (change["comparison"]["broken"], change["gates"][0]["state"]) == (3, "failed")


def test_the_command_where_no_model_changed(base: Path, run_registry: Run) -> None:
    done = run_registry(base, "compare", "--base", "HEAD")
    assert (done.code, done.out.startswith("no model changed since ")) == (0, True)


def test_check_recomputes_and_opens(base: Path, run_registry: Run) -> None:
    put_model(base, 105, model=b"weights", version="1.0.1")
    values = json.loads((base / FOLDER / "metrics.json").read_text())
    (base / FOLDER / "metrics.json").write_text(json.dumps(values | {"accuracy": 0.5}))
    lock(base, 105)
    done = run_registry(base, "check", "--base", "HEAD")
    assert done.code == 1
    assert "models/pets/model.onnx is not a valid model file: it is not an ONNX file" in done.out
    assert "metrics.json has accuracy 0.5, expected 1.0 from predictions.parquet" in done.out
