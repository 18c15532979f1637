"""Training what a change made stale: which models, with what data, and where it goes."""

from pathlib import Path

import pytest
import yaml

from registry.core.check_names import CheckName
from registry.core.names import parse_id
from registry.core.values import Finding, Outcome, Verdict
from registry.integrations.git_trees import WorkTree
from registry.model import train
from support import repositories
from support.repositories import Run

MODEL = parse_id("models/pets")
TRAIN = """
from pathlib import Path
images = len(list(Path("../../datasets/pets/prepared").rglob("*.jpg")))
Path("model.onnx").write_text(f"learned from {images}")
Path("predictions.parquet").write_text("predicted")
Path("metrics.json").write_text(f'{{"accuracy": 0.{images}}}\\n')
"""


@pytest.fixture
def stale(merged_model: Path) -> Path:
    """`merged_model` on a branch with new code of the model; its data lies in staging alone."""
    repositories.git_in(merged_model, "switch", "--quiet", "--create", "change")
    (merged_model / "models/pets/train.py").write_text(TRAIN)
    repositories.commit(merged_model, "other code")
    (merged_model / ".dvc/cache").rename(merged_model.parent / "aside")
    for name in ("datasets/pets/prepared", "datasets/pets/raw"):
        (merged_model / name).rename(merged_model.parent / name.replace("/", "-"))
    (merged_model / "models/pets/model.onnx").unlink()
    return merged_model


def test_what_is_stale_is_trained_and_what_came_out_is_in_staging(stale: Path, run_registry: Run) -> None:
    done = run_registry(stale, "train", "--base", "main", "--results", "build/results")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "models/pets: changed since the training: train.py"
    assert "$ dvc repro models/pets/dvc.yaml" in done.err
    assert (stale / "models/pets/metrics.json").read_text() == '{"accuracy": 0.5}\n'
    assert (
        repositories.place(repositories.staging(stale), repositories.md5(b"learned from 5")).read_bytes()
        == b"learned from 5"
    )
    handed = repositories.snapshot(stale / "build/results")
    assert handed.keys() == {"models/pets/dvc.lock", "models/pets/metrics.json"}
    assert run_registry(stale, "train").out == "nothing to train\n"


def test_what_would_be_trained_is_only_shown(stale: Path, run_registry: Run) -> None:
    done = run_registry(stale, "train", "--dry-run")
    assert (done.code, done.out) == (0, "models/pets: changed since the training: train.py\n")
    assert not (stale / "models/pets/model.onnx").exists()


def test_only_the_models_that_are_named_are_trained(stale: Path, run_registry: Run) -> None:
    assert run_registry(stale, "train", "models/other", "--dry-run").out == "nothing to train\n"


def test_an_unchanged_model_is_not_trained(merged_model: Path, run_registry: Run) -> None:
    assert run_registry(merged_model, "train", "--base", "main").out == "nothing to train\n"


def test_a_training_that_fails_is_one_line_and_hands_nothing_over(stale: Path, run_registry: Run) -> None:
    (stale / "models/pets/train.py").write_text("raise SystemExit(3)\n")
    done = run_registry(stale, "train", "--results", "build/results")
    assert done.code == 1
    assert "`dvc repro models/pets/dvc.yaml` exited" in done.err
    assert not (stale / "build/results").exists()


def test_a_model_of_a_dataset_without_images_waits(built_model: Path) -> None:
    (built_model / "datasets/pets/prepared.dvc").unlink()
    why = Finding(CheckName.TRAINING, MODEL, Verdict.OK, "not trained yet")
    plan = train.plan(WorkTree(built_model), [Outcome(CheckName.TRAINING, MODEL, (why,))])
    assert plan.models == ()
    assert str(plan) == "models/pets: datasets/pets is not built yet\nnothing to train"


def test_a_dataset_without_test_images_is_told_before_a_training(built_model: Path) -> None:
    path = built_model / "datasets/pets/prepared.dvc"
    pointer = yaml.safe_load(path.read_text())
    pointer["meta"]["build"]["counts"].pop("test", None)
    path.write_text(yaml.safe_dump(pointer, sort_keys=False))
    why = Finding(CheckName.TRAINING, MODEL, Verdict.WRONG, "not trained yet")
    plan = train.plan(WorkTree(built_model), [Outcome(CheckName.TRAINING, MODEL, (why,))])
    assert str(plan) == "models/pets: datasets/pets has no test image to measure on\nnothing to train"


def test_the_check_lets_pass_what_a_later_job_trains(stale: Path, run_registry: Run) -> None:
    assert run_registry(stale, "check", "--base", "main", "--fix").code == 1
    done = run_registry(stale, "check", "--base", "main", "--untrained")
    assert done.code == 0
    assert "needs an owner: changed since the training: train.py" in done.out
