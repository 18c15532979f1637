"""The model template keeps the contract by which a review runs it: evaluate.py, on any test set, from any folder."""

import json
from pathlib import Path

import polars as pl
import pytest
from polars import DataFrame

from registry.core import pointers
from registry.core.names import parse_id
from registry.integrations import git_trees
from registry.model import evaluation_run, predictions
from registry.sync import dir_listing, inventory

PETS = parse_id("models/pets")


@pytest.fixture
def planned(first_training: Path) -> evaluation_run.EvaluationRun:
    """The trained template and its test set, as a review finds them; only to be read."""
    tree = git_trees.WorkTree(first_training)
    (data,) = inventory.read_tracked(tree, PETS).inputs
    listing = (first_training / ".dvc/cache" / pointers.object_key(data.md5)).read_bytes()
    test = dir_listing.read(listing, data.md5).filter(pl.col("relpath").str.starts_with("test/"))
    outputs = tuple(out for out in inventory.outputs(tree, PETS) if not out.path.endswith(evaluation_run.PREDICTIONS))
    return evaluation_run.EvaluationRun(PETS, tree, (), outputs, test)


def test_the_template_answers_again_what_it_answered_when_it_was_trained(
    first_training: Path, planned: evaluation_run.EvaluationRun, tmp_path: Path
) -> None:
    result = evaluation_run.execute(tmp_path, planned, first_training / ".dvc/cache")
    folder = first_training / "models/pets"
    assert json.loads(result.metrics) == json.loads((folder / "metrics.json").read_bytes())
    locked = pl.read_parquet(folder / evaluation_run.PREDICTIONS)
    test = locked.select("uuid", "label", md5="uuid")
    again, then = (
        predictions.read(data, test, "x")
        for data in (result.predictions, (folder / evaluation_run.PREDICTIONS).read_bytes())
    )
    assert again.select("uuid", "predicted").equals(then.select("uuid", "predicted"))
    assert (again["score"] - then["score"]).abs().max() < 1e-4
    assert predictions.measure(then, test)["macro_f1"] == pytest.approx(
        json.loads(result.metrics)["macro_f1"], abs=1e-5
    )


def test_the_template_answers_what_it_was_never_asked(
    first_training: Path, planned: evaluation_run.EvaluationRun, tmp_path: Path
) -> None:
    other = planned.test.filter(pl.col("relpath").str.contains("cat")).head(2)
    names = [f"test/a label of another day/{place}.jpg" for place in range(2)]
    result = evaluation_run.execute(
        tmp_path,
        evaluation_run.EvaluationRun(
            PETS, planned.tree, (), planned.outputs, DataFrame({"relpath": names, "md5": other["md5"]})
        ),
        first_training / ".dvc/cache",
    )
    assert json.loads(result.metrics)["accuracy"] == 0
