"""Comparing the models of two trees by the judge: what it measures, the result, and what is unavailable or wrong."""

from pathlib import Path

import pytest
import yaml

from registry.checks import runner
from registry.cli.workspace import Workspace
from registry.core import settings
from registry.core.check_names import CheckName
from registry.core.values import Verdict
from registry.integrations import git_trees
from registry.model import judging
from registry.model.changes import GateState, MetricChange, ParamChange
from registry.scaffold import copy
from support import model_files, repositories
from support.threshold_models import (
    BRIGHT_CATS,
    CATS,
    DOGS,
    FOLDER,
    PETS,
    compare,
    image_path,
    lose,
    metric,
    put_data,
    put_model,
    red,
    runs,
    uuid,
)

DECLARED = '{"size": 4, "crop": "center", "fraction": 1.0, "filter": "bicubic"}'

# --- the same test set ------------------------------------------------------------------------------------------------


def test_two_versions_on_one_test_set(base: Path) -> None:
    put_model(base, 75, version="1.1.0")  # takes the cats 80, 90 and 100 for dogs
    change = compare(base)
    assert (str(change.old), str(change.new), change.trained, change.unknown) == ("1.0.0", "1.1.0", True, "")
    assert (change.images, change.tests, change.disagreements, runs(base)) == (20, 20, (), 2)
    found = change.comparison
    assert (found.images, found.broken, found.fixed, found.difference) == (20, 3, 0, pytest.approx(-0.15))
    assert change.flips.select("uuid", "label", "base", "new", "kind").rows() == [
        (uuid(number), "cat", "cat", "dog", "broken") for number in (8, 9, 10)
    ]
    assert {(one.uuid, one.total) for one in change.examples} == {(uuid(number), 3) for number in (8, 9, 10)}
    assert change.examples[0].caption.startswith("label cat; predicted cat 0.")
    assert change.metrics[0] == MetricChange("accuracy", 1, 0.85, False)
    assert metric(change, "images") == (20, 20)
    assert change.params == (ParamChange("limit", "105", "75"),)
    assert change.confusion.filter(model="new", actual="cat")["images"].to_list() == [7, 3]
    assert change.calibration["images"].sum() == 40
    assert (compare(base).comparison, runs(base)) == (found, 2)


def test_slices_are_the_classes_and_the_columns_that_the_manifest_names(base: Path) -> None:
    put_model(base, 75, slices=["camera", "place"])
    change = compare(base)
    slices = {(one.column, one.value): (one.comparison.images, one.comparison.broken) for one in change.slices}
    assert slices[("label", "cat")] == (10, 3)
    assert slices[("label", "dog")] == (10, 0)
    assert slices[("camera", "A")] == (10, 2)
    assert slices[("camera", "B")] == (10, 1)
    assert change.unknown == "metadata.parquet of the test set has no column place"


def test_metadata_alone_changes_nothing_and_measures_nothing(base: Path) -> None:
    gates = [{"metric": "accuracy", "no_worse_than": "base", "margin": 0.001}, {"metric": "accuracy", "min": 0.9}]
    put_model(base, 105, description="Other words.", gates=gates)
    change = compare(base)
    assert (change.trained, change.metadata_changes, change.params) == (False, ("description", "gates"), ())
    assert (change.comparison, runs(base)) == (None, 0)
    assert [(gate.state, gate.message) for gate in change.gates] == [
        (GateState.PASSED, "accuracy: same training as the base model"),
        (GateState.PASSED, "accuracy is 1, expected at least 0.9"),
    ]


# --- two test sets ----------------------------------------------------------------------------------------------------


def test_both_are_measured_on_new_images_that_the_base_never_saw(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 160)  # right about the bright cats, wrong about the dogs 110 to 160
    change = compare(base)
    assert (change.images, change.tests, change.comparison.images) == (24, 24, 24)
    assert metric(change, "accuracy") == (pytest.approx(20 / 24), pytest.approx(18 / 24))
    assert (change.comparison.fixed, change.comparison.broken) == (4, 6)


def test_images_that_the_base_was_trained_on_are_left_out(base: Path) -> None:
    """By UUID, and by content under another UUID."""
    seen, other, *_ = (path for path in repositories.PETS if path.startswith("train/cat"))
    moved, copied = f"test/cat/{seen.rpartition('/')[2]}", f"test/cat/{uuid(77)}.jpg"
    put_data(base, {**CATS, **DOGS, moved: red(30), copied: repositories.PETS[other]}, without=seen)
    put_model_without_prediction(base)
    with git_trees.Revision(base, "HEAD") as old:
        space = Workspace(base)
        plan = judging.plan(old, space.tree, PETS, space.read_object)
    by_model = {run.model.value: set(run.test.frame["uuid"]) for run in plan.runs}
    assert len(by_model["new"]) == 22
    assert by_model["new"] - by_model["base"] == {uuid(77), moved[-40:-4]}


def test_images_that_a_backbone_was_trained_on_are_left_out(base: Path) -> None:
    """Also those of a model that the backbone builds on."""
    for name, images, below in (("eye", [uuid(1), uuid(900)], []), ("upper", [uuid(2)], ["models/eye"])):
        folder = base / "models" / name
        repositories.model(base, name, b"", "1.0.0")
        manifest = {key: value for key, value in yaml.safe_load((folder / "model.yaml").read_text()).items()
                    if key != "trained_on"}  # fmt: skip
        origin = {"url": "https://example.com/eye", "training_images": "images.txt"}
        manifest |= {"task": "features", "origin": origin, **({"builds_on": below} if below else {})}
        repositories.write(folder / "model.yaml", manifest)
        (folder / "images.txt").write_text("\n".join(images))
    put_model(base, 75, version="1.1.0", builds_on=["models/upper"])
    change = compare(base)
    assert (change.images, change.tests, change.unknown) == (18, 20, "")
    assert change.builds_on == ("models/upper@v1.0.0", "models/eye@v1.0.0")
    assert metric(change, "accuracy") == (1.0, pytest.approx(15 / 18))


def put_model_without_prediction(root: Path) -> None:
    repositories.model(root, "pets", b"not measured", "1.1.0")


def test_images_that_left_the_test_set_are_not_counted(base: Path) -> None:
    put_data(base, {**CATS, **dict(list(DOGS.items())[5:])})
    put_model(base, 75)
    change = compare(base)
    assert (change.images, change.comparison.images) == (15, 15)


def test_relabelled_images_are_evaluated_against_the_new_label(base: Path) -> None:
    first, second, *_ = DOGS
    relabelled = {path: data for path, data in DOGS.items() if path not in (first, second)}
    put_data(base, {**CATS, **relabelled, image_path("cat", 11): DOGS[first]})
    put_model(base, 115)
    change = compare(base)
    assert (change.comparison.images, change.relabelled) == (19, 1)
    assert change.flips.select("uuid", "label", "kind").rows() == [(uuid(11), "cat", "fixed")]


def test_the_base_is_measured_on_the_bytes_that_the_new_version_has(base: Path) -> None:
    path, *_ = DOGS
    put_data(base, {**CATS, **DOGS, path: red(90)})
    put_model(base, 105)
    change = compare(base)
    assert (change.comparison.images, change.comparison.broken) == (20, 0)
    assert metric(change, "accuracy") == (0.95, 0.95)


# --- how it was measured ----------------------------------------------------------------------------------------------


def test_a_change_of_how_models_are_measured_is_told(base: Path) -> None:
    tooling = base / "scripts/registry/model/judge.py"
    tooling.parent.mkdir(parents=True)
    tooling.write_text("accuracy = 1\n")
    put_model(base, 75, model=model_files.threshold(75, crop="pad"))
    assert compare(base).measuring == (
        "the change also changes the code that measures: scripts/registry/model/judge.py",
        f"the model file declares another input: {DECLARED}, now {DECLARED.replace('center', 'pad')}",
    )
    again = compare(base)  # from what this machine remembers
    assert len(again.measuring) == 2
    (finding,) = [
        one
        for outcome in runner.run_on_changes([], [again])
        if outcome.check == CheckName.MEASUREMENT
        for one in outcome.findings[:1]
    ]
    assert finding.verdict is Verdict.NEEDS_OWNER


def test_a_change_of_the_model_alone_is_measured_alike(base: Path) -> None:
    put_model(base, 75)
    (base / "scripts/registry.md").parent.mkdir(exist_ok=True)
    (base / "scripts/registry.md").write_text("no code")
    assert compare(base).measuring == ()


@pytest.mark.parametrize("path", ["requirements.txt", "scripts/registry/new.py"])
def test_other_files_that_decide_how_models_are_measured(base: Path, path: str) -> None:
    put_model(base, 75)
    (base / path).parent.mkdir(parents=True, exist_ok=True)
    (base / path).write_text("onnxruntime==0.0.1\n")
    assert compare(base).measuring == (f"the change also changes the code that measures: {path}",)


def test_another_version_of_the_pinned_tooling_measures_otherwise(base: Path) -> None:
    put_model(base, 75)
    pin = settings.Template("https://example.org/template.git", "1.1.0", "a" * 40)
    (base / "registry.yaml").write_bytes(copy.pinned((base / "registry.yaml").read_bytes(), pin))
    assert compare(base).measuring == ("the change also changes the code that measures: registry.yaml",)


def test_a_gate_that_is_lowered_or_dropped_is_told_and_one_more_is_not(base: Path) -> None:
    rules = [{"metric": "accuracy", "min": 0.8}, {"metric": "loss", "max": 9}]
    put_model(base, 75, gates=rules)
    repositories.commit(base, "gates")
    put_model(base, 75, gates=[{"metric": "accuracy", "min": 0.5}, {"metric": "f1", "min": 0.1, "class": "cat"}])
    assert compare(base).measuring == (
        "the manifest no longer has the gate: accuracy at least 0.8",
        "the manifest no longer has the gate: loss at most 9",
    )
    put_model(base, 75, gates=[*rules, {"metric": "accuracy", "no_worse_than": "base"}])
    assert compare(base).measuring == ()


# --- what is unavailable ----------------------------------------------------------------------------------------------


def test_predictions_of_the_base_are_not_needed(base: Path) -> None:
    lost = (base / FOLDER / "predictions.parquet").read_bytes()
    put_model(base, 75)
    lose(base, lost)
    change = compare(base)
    assert change.comparison.broken == 3
    assert change.unknown == ""


def test_a_base_that_is_lost_is_not_compared_with(base: Path) -> None:
    put_model(base, 75, gates=[{"metric": "accuracy", "no_worse_than": "base", "min": 0.5}])
    lost = lose(base, model_files.threshold(105))
    change = compare(base)
    assert change.unknown == (
        f"the base model could not be measured: models/pets/model.onnx ({lost}): no intact copy in DVC's cache, "
        "staging or production"
    )
    assert (change.comparison, metric(change, "accuracy")) == (None, (None, 0.85))
    (gate,) = change.gates
    assert gate.state is GateState.NOT_EVALUATED
    assert gate.message.startswith(
        "accuracy is 0.85, expected at least 0.5; accuracy was not compared with the base: the base"
    )


def test_a_base_that_is_no_model_file_is_not_the_change_s_fault(base: Path) -> None:
    put_model(base, 105, model=b"weights")
    repositories.commit(base, "broken")
    put_model(base, 75)
    change = compare(base)
    assert (change.disagreements, metric(change, "accuracy")) == ((), (None, 0.85))
    assert change.unknown == (
        "the base model could not be measured: models/pets/model.onnx is not a valid model file: it is not an ONNX file"
    )


def test_a_base_whose_manifest_is_of_another_time(base: Path) -> None:
    (base / FOLDER / "model.yaml").write_text("schema: 0\nname: pets\n")
    repositories.commit(base, "old")
    put_model(base, 75, gates=[{"metric": "accuracy", "no_worse_than": "base"}])
    change = compare(base)
    assert change.unknown.startswith("the base version cannot be read: models/pets/model.yaml:1:")
    assert (change.gates[0].state, metric(change, "accuracy")) == (GateState.NOT_EVALUATED, (None, 0.85))
    assert "the base version cannot be read" in change.gates[0].message


def test_images_that_are_lost(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, **BRIGHT_CATS})
    put_model(base, 75)
    lose(base, red(150))
    assert "no intact copy" in compare(base).unknown


def test_an_image_that_cannot_be_decoded_is_named(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, image_path("cat", 40): b"no image"})
    repositories.model(base, "pets", b"", "1.1.0")
    change = compare(base)
    assert f"the new model could not be measured: test/cat/{uuid(40)}.png cannot be decoded" in change.unknown
    assert not any("model file" in one for one in change.disagreements)


def test_an_image_under_two_labels(base: Path) -> None:
    put_data(base, {**CATS, **DOGS, image_path("cat", 11): DOGS[image_path("dog", 11)]})
    put_model(base, 105)
    change = compare(base)
    assert change.unknown == f"the new version: datasets/pets/prepared contains duplicate images, such as {uuid(11)}"
    assert change.comparison is None


def test_a_model_that_was_never_trained(base: Path) -> None:
    (base / FOLDER / "dvc.lock").unlink()
    change = compare(base)
    assert (change.unknown, change.disagreements) == ("the new model was never trained", ())


# --- first, removed ---------------------------------------------------------------------------------------------------


def test_a_first_version(registry_repo: Path) -> None:
    repositories.commit(registry_repo, "empty")
    put_data(registry_repo, {**CATS, **DOGS})
    put_model(
        registry_repo, 75, gates=[{"metric": "accuracy", "min": 0.8}, {"metric": "accuracy", "no_worse_than": "base"}]
    )
    change = compare(registry_repo)
    assert (change.old, change.trained, change.unknown, change.comparison) == (None, True, "", None)
    assert (change.images, metric(change, "accuracy"), change.disagreements) == (20, (None, 0.85), ())
    assert change.confusion["images"].sum() == 20
    assert [gate.state for gate in change.gates] == [GateState.PASSED, GateState.NOT_EVALUATED]
    assert change.gates[1].message.endswith("this is the first version of the model")


def test_a_removed_model(base: Path) -> None:
    for path in sorted((base / FOLDER).iterdir()):
        path.unlink()
    change = compare(base)
    assert (change.new, change.gates, change.trained, change.metrics) == (None, (), False, ())
