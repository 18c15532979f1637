"""Reproducing: the model of a tag is retrained in a worktree, on the data of the tag, and its metrics compared."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from registry.core import reproductions
from registry.core.names import parse_tag
from registry.errors import ToolFailed
from registry.integrations import git_trees, process
from registry.model import reproduce
from support import repositories
from support.repositories import Run

TAG = "models/pets@v1.0.0"
NAN = float("nan")
TRAIN = """
import json, pathlib
images = list(pathlib.Path("../../datasets/pets/prepared").rglob("*.jpg"))
pathlib.Path("model.onnx").write_bytes(b"weights of another day")
pathlib.Path("predictions.parquet").write_bytes(b"predicted")
print("learning from", len(images))
json.dump({"accuracy": 0.9, "loss": {"test": 0.5}, "images": len(images)}, open("metrics.json", "w"))
"""


def release(root: Path, script: str = TRAIN, **tolerance: float) -> None:
    """Tag `models/pets` 1.0.0 as a model that this script trains; then the main branch goes on."""
    folder = root / "models/pets"
    (folder / "train.py").write_text(script)
    (folder / "metrics.json").write_text('{"accuracy": 0.91, "loss": {"test": 0.7}, "images": 5}\n')
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    repositories.write(
        folder / "model.yaml", {**manifest, "reproduce": {"tolerance": tolerance}} if tolerance else manifest
    )
    repositories.commit(root, "a model that can be trained")
    repositories.git_in(root, "tag", "--annotate", "--message", "first", TAG)
    repositories.dataset(root, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.commit(root, "more pets")


def traces(root: Path) -> tuple[str, str, list[Path]]:
    """What a run could leave behind: worktrees, changes, files aside."""
    worktrees = repositories.git_in(root, "worktree", "list", "--porcelain")
    return worktrees, repositories.git_in(root, "status", "--short"), list((root / reproduce.FOLDER).glob("*/"))


@pytest.fixture
def bare_cache(built_model: Path) -> Path:
    """`built_model`, its data in staging alone."""
    (built_model / ".dvc/cache").rename(built_model.parent / "aside")
    return built_model


def test_what_comes_back_is_reproduced_on_the_data_of_its_tag(bare_cache: Path, run_registry: Run) -> None:
    release(bare_cache, accuracy=0.02, images=0)
    before = (
        traces(bare_cache)[:2],
        repositories.snapshot(bare_cache / "datasets"),
        repositories.snapshot(bare_cache / "models"),
    )
    done = run_registry(bare_cache, "reproduce", TAG)
    commit = repositories.git_in(bare_cache, "rev-parse", "--short=10", f"{TAG}^{{commit}}")
    assert (done.code, done.out.splitlines()) == (
        0,
        [
            f"{TAG} ({commit}): retrain on datasets/pets/prepared",
            "metric     published    reproduced    difference    tolerance    result",
            "accuracy   0.91         0.9           -0.01         0.02         ok",
            "images     5            5             +0            0            ok",
            "loss.test  0.7          0.5           -0.2          -            not compared",
            f"{TAG}: reproduced",
        ],
    )
    assert "learning from 5" in done.err
    assert traces(bare_cache) == (*before[0], [])
    assert repositories.snapshot(bare_cache / "datasets") == before[1]
    assert repositories.snapshot(bare_cache / "models") == before[2]
    assert not repositories.place(bare_cache / ".dvc/cache", repositories.md5(b"weights of another day")).exists()


def test_what_does_not_come_back_is_shown(built_model: Path, run_registry: Run) -> None:
    release(built_model, accuracy=0.001)
    out = built_model.parent / "reproduced.jsonl"
    for _ in range(2):
        done = run_registry(built_model, "reproduce", TAG, "--out", str(out))
    assert done.refused(f"{TAG} was not reproduced")
    found = [reproductions.parse(line, "") for line in out.read_text().splitlines()]
    assert [(str(one.tag), one.differing, one.is_reproduced) for one in found] == [(TAG, ("accuracy",), False)] * 2
    assert all(one.tooling and one.machine for one in found)
    assert "accuracy   0.91         0.9           -0.01         0.001        DIFFERS" in done.out
    assert traces(built_model)[2] == []


def test_a_failure_leaves_nothing_behind(built_model: Path) -> None:
    before = traces(built_model)[:2]
    with pytest.raises(ToolFailed), reproduce.worktree(built_model, "HEAD") as folder:
        process.run(["false"], cwd=folder)
    assert traces(built_model) == (*before, [])


def test_ctrl_c_leaves_nothing_behind(built_model: Path) -> None:
    release(built_model, "import time; open('begun', 'w'); time.sleep(3600)", accuracy=0.02)
    before = traces(built_model)[:2]
    command = [sys.executable, "-m", "registry", "reproduce", TAG]
    # Whoever started the tests in the background had them ignore Ctrl-C, and a child inherits that.
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command,
        cwd=built_model,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=restore_sigint,  # noqa: PLW1509
    )
    while process.poll() is None and not list((built_model / reproduce.FOLDER).glob("*/models/pets/begun")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert "run the same command again" in process.communicate()[1].decode()
    assert process.returncode == 130
    assert traces(built_model) == (*before, [])


MISTAKES = {
    "models/pets": ["'models/pets' is not a tag"],
    "datasets/pets@v1.0.0": ["is a dataset, expected a model", "models/NAME@v1.0.0"],
    "models/pets@v7.0.0": ["models/pets@v7.0.0' is not a revision", "git fetch --tags origin"],
}


def test_what_cannot_be_repeated_is_named(built_model: Path, run_registry: Run) -> None:
    for tag, words in MISTAKES.items():
        assert run_registry(built_model, "reproduce", tag).refused(*words), tag


def test_data_that_is_gone_is_named_before_training(bare_cache: Path, run_registry: Run) -> None:
    release(bare_cache, accuracy=0.02)
    for store in (repositories.staging(bare_cache), bare_cache / ".dvc/cache"):
        repositories.place(store, repositories.md5(b"one cat")).unlink()
    done = run_registry(bare_cache, "reproduce", TAG)
    assert done.refused(
        "1 object could not be fetched", "models/pets: 1 missing, such as datasets/pets/prepared/train/cat"
    )
    assert "dvc repro" not in done.err


def test_a_model_that_was_trained_on_other_data_than_its_tag_has(built_model: Path, run_registry: Run) -> None:
    repositories.dataset(built_model, "pets", repositories.MORE_PETS, "1.1.0")
    release(built_model, accuracy=0.02)
    assert run_registry(built_model, "reproduce", TAG).refused(
        "trained on another version of datasets/pets/prepared than its commit contains"
    )


# --- comparison -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "reproduced", "tolerance", "ok"),
    [
        (0.9, 0.92, 0.02, True),  # in binary a hair more than 0.02 apart
        (0.9, 0.88, 0.02, True),
        (0.9, 0.9201, 0.02, False),
        (0.9, 0.9, 0.0, True),
        (0.9, 0.9 + 1e-12, 0.0, False),
        (0.9, NAN, 0.02, False),
        (NAN, NAN, 0.02, False),
        (0.9, None, 0.02, False),
        (None, 0.9, 0.02, False),
        (None, None, 0.02, False),
        ("adam", "adam", 0.02, True),
        ("adam", "sgd", 0.02, False),
        (0.9, 0.1, None, True),
    ],
)
def test_within_tolerance(published: object, reproduced: object, tolerance: float | None, ok: bool) -> None:
    assert reproduce.MetricComparison("accuracy", published, reproduced, tolerance).is_reproduced is ok


def test_without_a_tolerance_every_metric_must_be_the_same() -> None:
    rows = reproduce.compare({"a": 1, "b": 2}, {"a": 1, "b": 3}, {})
    assert [row.is_reproduced for row in rows] == [True, False]


def test_with_one_the_others_are_shown_and_not_compared() -> None:
    rows = reproduce.compare({"a": 1, "b": 2}, {"a": 1, "c": 3}, {"a": 0.5})
    assert [(row.metric, row.tolerance) for row in rows] == [("a", 0.5), ("b", None), ("c", None)]
    assert reproduce.is_reproduced(rows)


# --- the latest of each model -----------------------------------------------------------------------------------------


def test_the_latest_version_of_each_model_is_trained_again(bare_cache: Path, run_registry: Run) -> None:
    release(bare_cache, accuracy=0.02, images=0)
    done = run_registry(bare_cache, "reproduce", "--latest")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"{TAG}: reproduced"


def test_latest_leaves_out_what_is_withdrawn_or_gone_and_datasets(built_model: Path) -> None:
    tags = [parse_tag(f"{name}@v{version}") for name in ("datasets/pets", "models/pets", "models/gone")
            for version in ("1.0.0", "1.9.0", "1.10.0")]  # fmt: skip
    assert reproduce.latest_tags(git_trees.WorkTree(built_model), tags) == ("models/pets@v1.10.0",)
    path = built_model / "models/pets/model.yaml"
    repositories.write(path, {**yaml.safe_load(path.read_text()), "withdrawn": {"1.10.0": "It took wolves for dogs."}})
    assert reproduce.latest_tags(git_trees.WorkTree(built_model), tags) == ("models/pets@v1.9.0",)


def test_nothing_published_is_nothing_to_train_again(built_model: Path, run_registry: Run) -> None:
    done = run_registry(built_model, "reproduce", "--latest")
    assert (done.code, done.out) == (0, "no model is published yet: nothing to reproduce\n")


@pytest.mark.parametrize("args", [(), (TAG, "--latest")])
def test_either_tags_or_the_latest(built_model: Path, run_registry: Run, args: tuple[str, ...]) -> None:
    assert "--latest" in run_registry(built_model, "reproduce", *args).err
