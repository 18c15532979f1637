"""Metrics, predictions and model files that are not what the judge measures: each is wrong."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from registry.model.changes import GateState, MetricChange
from support import model_files, repositories
from support.threshold_models import FOLDER, compare, lock, metric, predict, put_model, record, uuid

# --- what is recorded and not true ------------------------------------------------------------------------------------


def test_a_typed_metric(base: Path) -> None:
    put_model(base, 75, gates=[{"metric": "accuracy", "min": 0.9}])
    text = (base / FOLDER / "metrics.json").read_text()
    (base / FOLDER / "metrics.json").write_text(text.replace('"accuracy": 0.85', '"accuracy": 0.99'))
    lock(base, 75)
    change = compare(base)
    assert change.disagreements == ("metrics.json has accuracy 0.99, expected 0.85 from predictions.parquet",)
    assert (change.gates[0].state, change.gates[0].message) == (
        GateState.FAILED,
        "accuracy is 0.85, expected at least 0.9",
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"macro_f1": 1.0}, "metrics.json has macro_f1 1.0, expected 0.8"),
        ({"loss": None}, "metrics.json has loss None, expected "),
        ({"latency": 3}, "metrics.json has latency 3, expected no such metric"),
        ({"images": 21}, "metrics.json has images 21, expected 20 from predictions.parquet"),
    ],
)
def test_any_other_number_of_its_own(base: Path, edit: dict[str, Any], message: str) -> None:
    put_model(base, 75)
    values = json.loads((base / FOLDER / "metrics.json").read_text()) | edit
    (base / FOLDER / "metrics.json").write_text(json.dumps(values))
    lock(base, 75)
    (fault,) = compare(base).disagreements
    assert fault.startswith(message)


def test_predictions_and_metrics_of_another_model(base: Path) -> None:
    """The file says "dog" above 75, the forged predictions and metrics are those of a perfect model."""
    put_model(base, 105, model=model_files.threshold(75), gates=[{"metric": "accuracy", "min": 0.9}])
    change = compare(base)
    assert change.disagreements == (
        f"predictions.parquet differs from what model.onnx gives for 20 test images, such as {uuid(1)}",
    )
    assert change.metrics[0] == MetricChange("accuracy", 1, 0.85, False)
    assert change.gates[0].state is GateState.FAILED


def test_one_image_is_enough(base: Path) -> None:
    put_model(base, 75)
    table = predict(base, 75)
    forged = table.with_columns(
        predicted=pl.when(pl.col("uuid") == uuid(9)).then(pl.lit("cat")).otherwise("predicted"),
        score_cat=pl.when(pl.col("uuid") == uuid(9)).then("score_dog").otherwise("score_cat"),
        score_dog=pl.when(pl.col("uuid") == uuid(9)).then("score_cat").otherwise("score_dog"),
    )
    record(base, model_files.threshold(75), forged, 75)
    assert compare(base).disagreements == (
        f"predictions.parquet differs from what model.onnx gives for 1 test image, such as {uuid(9)}",
    )


def test_scores_may_differ_as_far_as_hardware_does(base: Path) -> None:
    put_model(base, 75)
    near = predict(base, 75).with_columns(
        score_cat=pl.col("score_cat") * 0.999, score_dog=1 - pl.col("score_cat") * 0.999
    )
    record(base, model_files.threshold(75), near.with_columns(pl.col("score_cat", "score_dog").cast(pl.Float32)), 75)
    assert compare(base).disagreements == ()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda table: table.head(19), "has no prediction for 1 of 20 test images"),
        (lambda table: pl.concat([table, table.head(1)]), "contains 1 duplicate prediction"),
        (lambda table: table.drop("score_cat", "score_dog"), "is not a Parquet file with the columns uuid, predicted"),
        (
            lambda table: table.with_columns(predicted=pl.lit("dog")),
            "another class than the one with the highest score",
        ),
        (lambda table: table.with_columns(score_dog=pl.lit(float("nan"))), "another class than the one with"),
    ],
)
def test_predictions_that_are_none(base: Path, break_it: Any, message: str) -> None:
    put_model(base, 75)
    (base / FOLDER / "predictions.parquet").unlink()
    (base / FOLDER / "predictions.parquet").write_bytes(model_files.parquet(break_it(predict(base, 75))))
    lock(base, 75)
    change = compare(base)
    assert message in change.disagreements[0]
    assert metric(change, "accuracy") == (1, 0.85), "the judge does not need them"


def test_a_training_without_predictions(base: Path) -> None:
    put_model(base, 75)
    document = yaml.safe_load((base / FOLDER / "dvc.lock").read_text())
    document["stages"]["train"]["outs"].pop()
    repositories.write(base / FOLDER / "dvc.lock", document)
    assert compare(base).disagreements == ("the training recorded no predictions.parquet",)


@pytest.mark.parametrize("data", [b"weights", bytes(5_000)])
def test_bytes_that_are_no_model_file(base: Path, data: bytes) -> None:
    put_model(base, 75, model=data, gates=[{"metric": "accuracy", "min": 0.1}])
    change = compare(base)
    assert change.disagreements == ("model.onnx is not a valid model file: it is not an ONNX file",)
    assert (change.comparison, change.gates[0].state) == (None, GateState.NOT_EVALUATED)
    assert change.gates[0].message == "accuracy is not known: the new model could not be measured"


def test_a_training_without_a_model_file(base: Path) -> None:
    put_model(base, 75)
    document = yaml.safe_load((base / FOLDER / "dvc.lock").read_text())
    del document["stages"]["train"]["outs"][1]
    repositories.write(base / FOLDER / "dvc.lock", document)
    assert compare(base).disagreements == ("the training recorded no model.onnx",)
