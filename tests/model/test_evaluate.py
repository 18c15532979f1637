"""Comparing the models of two trees: which runs are needed, the result, and what is unavailable."""

from pathlib import Path

import pytest

from registry.model.changes import Evaluation, GateState, MetricChange, ParamChange, Role
from support import repositories
from support.threshold_models import (
    BRIGHT_CATS,
    CATS,
    DOGS,
    FOLDER,
    compare,
    image_path,
    put_data,
    put_model,
    red,
    runs,
    uuid,
)

# --- the same test set ------------------------------------------------------------------------------------------------


def test_on_one_test_set_nothing_is_run(base: Path) -> None:
    put_model(base, 75, version="1.1.0")  # takes the cats 80, 90 and 100 for dogs
    change = compare(base)
    assert (str(change.old), str(change.new), change.trained, change.unknown) == ("1.0.0", "1.1.0", True, "")
    assert runs(base) == 0
    assert [(cell.model, cell.test_set, cell.images, cell.accuracy) for cell in change.evaluations] == [
        ("base", "base", 20, 1.0),
        ("base", "new", 20, 1.0),
        ("new", "base", 20, 0.85),
        ("new", "new", 20, 0.85),
    ]
    found = change.comparison
    assert (found.images, found.broken, found.fixed, found.difference) == (20, 3, 0, pytest.approx(-0.15))
    assert change.flips.select("uuid", "label", "base", "new", "kind").rows() == [
        (uuid(number), "cat", "cat", "dog", "broken") for number in (8, 9, 10)
    ]
    assert [(sheet.name, sheet.total, sheet.shown) for sheet in change.sheets] == [("broken", 3, 3)]
    assert "3 cat to dog" in change.sheets[0].alt
    assert change.metrics == (MetricChange("accuracy", 1, 0.85, False), MetricChange("images", 20, 20, None))
    assert change.params == (ParamChange("limit", "105", "75"),)
    assert change.confusion.filter(model="new", actual="cat")["images"].to_list() == [7, 3]
    assert change.calibration["images"].sum() == 40


def test_slices_are_the_classes_and_the_columns_that_the_manifest_names(base: Path) -> None:
    put_model(base, 75, slices=["camera", "place"])
    change = compare(base)
    slices = {(one.column, one.value): (one.comparison.images, one.comparison.broken) for one in change.slices}
    assert slices[("label", "cat")] == (10, 3)
    assert slices[("label", "dog")] == (10, 0)
    assert slices[("camera", "A")] == (10, 2)
    assert slices[("camera", "B")] == (10, 1)
    assert change.unknown == "metadata.parquet of the test set has no column place"


def test_metadata_alone_changes_nothing(base: Path) -> None:
    gates = [{"metric": "accuracy", "no_worse_than": "base", "margin": 0.001}]
    put_model(base, 105, description="Other words.", gates=gates)
    change = compare(base)
    assert (change.trained, change.metadata_changes, change.params) == (False, ("description", "gates"), ())
    assert (change.comparison.broken, change.comparison.fixed) == (0, 0)
    assert [(gate.state, gate.message) for gate in change.gates] == [
        (GateState.PASSED, "accuracy: same training as the base model")
    ]


# --- two test sets ----------------------------------------------------------------------------------------------------


def test_each_model_is_run_on_images_without_its_predictions(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 105)
    change = compare(base)
    assert runs(base) == 1  # the base on the new images; the new model has answered all that the base was asked
    assert change.evaluations == (
        Evaluation(Role.BASE, Role.BASE, 20, 1.0, {"accuracy": 1.0, "images": 20.0}),
        Evaluation(
            Role.BASE, Role.NEW, 24, pytest.approx(20 / 24), {"accuracy": pytest.approx(20 / 24), "images": 24.0}
        ),
        Evaluation(Role.NEW, Role.BASE, 20, 1.0, {"accuracy": 1.0, "macro_f1": 1.0}),
        Evaluation(
            Role.NEW, Role.NEW, 24, pytest.approx(20 / 24), {"accuracy": pytest.approx(20 / 24), "images": 24.0}
        ),
    )
    assert change.comparison.images == 20
    assert compare(base).evaluations == change.evaluations
    assert runs(base) == 1


def test_relabelled_images_are_evaluated_against_the_new_label(base: Path) -> None:
    first, second, *_ = DOGS
    relabelled = {path: data for path, data in DOGS.items() if path not in (first, second)}
    put_data(base, {**CATS, **relabelled, image_path("cat", 11): DOGS[first]})
    put_model(base, 115)
    change = compare(base)
    assert runs(base) == 1  # the new model on the image that was removed
    assert (change.comparison.images, change.relabelled) == (19, 1)
    assert change.flips.select("uuid", "label", "kind").rows() == [(uuid(11), "cat", "fixed")]


def test_changed_bytes_are_another_image(base: Path) -> None:
    path, *_ = DOGS
    put_data(base, {**CATS, **DOGS, path: red(90)})
    put_model(base, 105)
    change = compare(base)
    assert (change.comparison.images, runs(base)) == (19, 2)


def test_predictions_that_are_not_kept_are_made(base: Path) -> None:
    put_model(base, 75, locked=False)
    change = compare(base)
    assert change.unknown == ""
    assert (change.comparison.broken, runs(base)) == (3, 1)


# --- what is unavailable ----------------------------------------------------------------------------------------------


def with_broken_base(base: Path, program: str) -> None:
    """A base that fails on the new test set; a new model on both."""
    put_model(base, 105, program=program)
    repositories.commit(base, "broken")
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 75)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import pandora_box", "ModuleNotFoundError: No module named 'pandora_box'"),
        ("import argparse; argparse.ArgumentParser(prog='x').parse_args()", "x: error: unrecognized arguments: --data"),
    ],
)
def test_a_base_that_cannot_be_run_any_more(base: Path, program: str, reason: str) -> None:
    with_broken_base(base, program)
    change = compare(base)
    assert change.unknown.startswith(f"the base model could not be run on the new test set: {reason}")
    assert [(cell.model, cell.test_set) for cell in change.evaluations] == [
        ("base", "base"),
        ("new", "base"),
        ("new", "new"),
    ]
    assert (change.comparison.images, change.comparison.broken) == (20, 3)


def test_a_base_whose_predictions_are_lost_is_run_again(base: Path) -> None:
    lost = repositories.md5((base / FOLDER / "predictions.parquet").read_bytes())
    put_model(base, 75)
    repositories.place(base / ".dvc/cache", lost).unlink()
    change = compare(base)
    assert (change.unknown, change.comparison.broken, runs(base)) == ("", 3, 1)


def test_a_base_that_is_lost_is_not_judged_against(base: Path) -> None:
    put_model(base, 105, program="import pandora_box")
    repositories.commit(base, "broken")
    lost = repositories.md5((base / FOLDER / "predictions.parquet").read_bytes())
    put_model(base, 75, gates=[{"metric": "accuracy", "no_worse_than": "base", "min": 0.5}])
    repositories.place(base / ".dvc/cache", lost).unlink()
    change = compare(base)
    assert change.unknown == (
        f"the base version: models/pets/predictions.parquet ({lost}): no intact copy in DVC's cache, staging or "
        "production; the base model could not "
        "be run on the base test set: ModuleNotFoundError: No module named 'pandora_box'"
    )
    assert change.comparison is None
    (gate,) = change.gates
    assert gate.state is GateState.NOT_EVALUATED
    assert gate.message.startswith(
        "accuracy is 0.85, expected at least 0.5; accuracy was not compared with the base: the base"
    )


def test_a_base_whose_manifest_is_of_another_time(base: Path) -> None:
    (base / FOLDER / "model.yaml").write_text("schema: 0\nname: pets\n")
    repositories.commit(base, "old")
    put_model(base, 75, gates=[{"metric": "accuracy", "no_worse_than": "base"}])
    change = compare(base)
    assert change.unknown.startswith("the base version cannot be read: models/pets/model.yaml:1:")
    assert (change.gates[0].state, change.evaluations[0].accuracy) == (GateState.NOT_EVALUATED, 0.85)
    assert "the base version cannot be read" in change.gates[0].message


def test_images_that_are_lost(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 75)
    repositories.place(base / ".dvc/cache", repositories.md5(red(150))).unlink()
    assert "no intact copy" in compare(base).unknown


def test_an_image_under_two_labels(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, image_path("cat", 11): DOGS[image_path("dog", 11)]})
    put_model(base, 105)
    change = compare(base)
    assert (
        change.unknown == f"the new version: datasets/pets/prepared/test contains duplicate images, such as {uuid(11)}"
    )
    assert [(cell.model, cell.test_set) for cell in change.evaluations] == [("base", "base")]


def test_a_model_that_was_never_trained(base: Path) -> None:
    (base / FOLDER / "dvc.lock").unlink()
    change = compare(base)
    assert change.unknown == "the new model was never trained"
    assert [(cell.model, cell.test_set) for cell in change.evaluations] == [("base", "base")]


# --- first, removed ---------------------------------------------------------------------------------------------------


def test_a_first_version(registry_repo: Path) -> None:
    repositories.commit(registry_repo, "empty")
    put_data(registry_repo, {**CATS, **DOGS})
    put_model(
        registry_repo, 75, gates=[{"metric": "accuracy", "min": 0.8}, {"metric": "accuracy", "no_worse_than": "base"}]
    )
    change = compare(registry_repo)
    assert (change.old, change.trained, change.unknown, change.comparison) == (None, True, "", None)
    assert [cell.accuracy for cell in change.evaluations] == [0.85]
    assert change.confusion["images"].sum() == 20
    assert [gate.state for gate in change.gates] == [GateState.PASSED, GateState.NOT_EVALUATED]
    assert change.gates[1].message.endswith("this is the first version of the model")


def test_a_removed_model(base: Path) -> None:
    for path in sorted((base / FOLDER).iterdir()):
        path.unlink()
    change = compare(base)
    assert (change.new, change.gates, change.trained) == (None, (), False)
    assert change.metrics == (MetricChange("accuracy", 1, None, None), MetricChange("images", 20, None, None))
