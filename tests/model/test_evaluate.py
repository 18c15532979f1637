"""Comparing the models of two trees: which runs are needed, the result, and what is unavailable."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from polars import DataFrame

from registry.cli.workspace import Workspace
from registry.core.names import parse_id
from registry.integrations import git_trees
from registry.model import evaluate, evaluation_run
from registry.model.changes import Evaluation, GateState, MetricChange, ModelChange, ParamChange, Role
from support import repositories
from support.repositories import Run

PETS = parse_id("models/pets")
FOLDER = "models/pets"
# A model that says "dog" of an image whose red is above its threshold; the weights are that threshold.
PROGRAM = """
import argparse, json, pathlib
from PIL import Image
from polars import DataFrame
parser = argparse.ArgumentParser()
for name in ("data", "split", "model", "metrics", "predictions", "plots"):
    parser.add_argument("--" + name)
args = parser.parse_args()
limit = int(open(args.model).read())
paths = sorted(pathlib.Path(args.data, args.split).glob("*/*"))
reds = [Image.open(path).getpixel((0, 0))[0] for path in paths]
rows = {"uuid": [path.stem for path in paths], "predicted": ["dog" if red > limit else "cat" for red in reds]}
rows["score_dog"] = [red / 255 for red in reds]
rows["score_cat"] = [1 - red / 255 for red in reds]
right = [path.parent.name == label for path, label in zip(paths, rows["predicted"])]
DataFrame(rows).write_parquet(args.predictions)
pathlib.Path(args.metrics).write_text(json.dumps({"accuracy": sum(right) / len(right), "images": len(right)}))
"""


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012}"


def red(level: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (4, 4), (level, 0, 0)).save(out, "PNG")
    return out.getvalue()


def image_path(label: str, number: int) -> str:
    return f"test/{label}/{uuid(number)}.png"


CATS = {image_path("cat", number): red(10 * number) for number in range(1, 11)}  # 10 to 100
DOGS = {image_path("dog", number): red(10 * number) for number in range(11, 21)}  # 110 to 200
BRIGHT_CATS = {image_path("cat", number): red(150) for number in range(31, 35)}


def put_data(root: Path, images: Mapping[str, bytes], cameras: str = "AB") -> None:
    """`datasets/pets` with these test images, taken by the cameras in turn; DVC's cache has the objects."""
    repositories.dataset(root, "pets", repositories.PETS, "1.0.0")
    train = {path: data for path, data in repositories.PETS.items() if not path.startswith("test/")}
    names = sorted(path.removeprefix("test/") for path in images)
    table = repositories.table(names, ["cat", "dog"], camera=[cameras[int(name[-5]) % len(cameras)] for name in names])
    files = {**train, **images, "test/metadata.parquet": table}
    pointer = root / "datasets/pets/prepared.dvc"
    document = yaml.safe_load(pointer.read_text())
    document["outs"] = [repositories.folder_out(root, root / "datasets/pets/prepared", files)]
    repositories.write(pointer, document)


def put_model(root: Path, limit: int, *, program: str = PROGRAM, locked: bool = True, **manifest: Any) -> None:
    """`models/pets` trained and evaluated on `datasets/pets`: this threshold, its predictions locked or not kept."""
    repositories.model(root, "pets", str(limit).encode(), manifest.pop("version", "1.0.0"))
    folder = root / FOLDER
    (folder / ".gitignore").write_text("/model.safetensors\n/predictions.parquet\n")
    (folder / "evaluate.py").write_text(program)
    (folder / "params.yaml").write_text(f"limit: {limit}\n")
    repositories.write(folder / "model.yaml", yaml.safe_load((folder / "model.yaml").read_text()) | manifest)
    metrics, predictions = evaluate_on(root, limit)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "predictions.parquet").unlink(missing_ok=True)
    (folder / "predictions.parquet").write_bytes(predictions)
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    stage = lock["stages"]["train"]
    stage["params"] = {"params.yaml": {"limit": limit}}
    stage["deps"].append(repositories.file_out(root, folder / "evaluate.py", cached=False))
    stage["outs"][0] = repositories.file_out(root, folder / "metrics.json", cached=False)
    if locked:
        stage["outs"].append(repositories.file_out(root, folder / "predictions.parquet"))
    repositories.write(folder / "dvc.lock", lock)


def evaluate_on(root: Path, limit: int) -> tuple[dict[str, float], bytes]:
    """What PROGRAM writes for the dataset that lies in the registry."""
    paths = sorted((root / "datasets/pets/prepared/test").glob("*/*.png"))
    reds = [Image.open(path).getpixel((0, 0))[0] for path in paths]
    predicted = ["dog" if level > limit else "cat" for level in reds]
    scores = {"score_dog": [level / 255 for level in reds], "score_cat": [1 - level / 255 for level in reds]}
    out = BytesIO()
    DataFrame({"uuid": [path.stem for path in paths], "predicted": predicted, **scores}).write_parquet(out)
    right = [path.parent.name == one for path, one in zip(paths, predicted, strict=True)]
    return {"accuracy": sum(right) / len(right), "images": len(right)}, out.getvalue()


def compare(root: Path, base: str = "HEAD") -> ModelChange:
    space = Workspace(root)
    read = space.read_object
    with git_trees.Revision(root, base) as old:
        plan = evaluate.plan(old, space.tree, PETS, read)
        return evaluate.apply(plan, root, root / ".dvc/cache", read)


def runs(root: Path) -> int:
    """How many runs are remembered."""
    return len(list((root / evaluation_run.RESULTS).glob("*"))) if (root / evaluation_run.RESULTS).exists() else 0


@pytest.fixture
def base(registry_repo: Path) -> Path:
    """A committed model with the threshold 105, which has all of 20 test images right."""
    put_data(registry_repo, {**CATS, **DOGS})
    put_model(registry_repo, 105)
    repositories.commit(registry_repo, "models/pets")
    return registry_repo


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
