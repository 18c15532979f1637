"""A second task needs its module, its row in the table and its name in the schema: judged, compared, reported."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import yaml
from onnx import NodeProto, TensorProto, helper

from registry.cli import measuring
from registry.core import manifests, names, schema
from registry.core.model_values import FEATURES, Gate
from registry.errors import InvalidData, InvalidDocument, NotFound
from registry.integrations import git_trees
from registry.model import gates, onnx_process, tasks
from registry.model.changes import GateState
from registry.report import html, markdown
from registry.report.assemble import assemble
from support import brightness_task, model_files, repositories
from support.report_parts import PASSED, RUN_INFO
from support.repositories import Run
from support.threshold_models import CATS, DOGS, FOLDER, compare, put_data

TASK = brightness_task


@pytest.fixture(autouse=True)
def _second_task(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The row in the table, and the name in the schema."""
    folder = tmp_path_factory.mktemp("schemas")
    for file in schema.folder().glob("*.json"):
        document = json.loads(file.read_text())
        if file.name == "model.schema.json":
            document["properties"]["task"]["enum"].append(TASK.NAME)
        (folder / file.name).write_text(json.dumps(document))
    monkeypatch.setitem(tasks.TASKS, TASK.NAME, TASK)
    monkeypatch.setattr(schema, "folder", lambda: folder)
    for cached in (schema._file, schema._validator):
        cached.cache_clear()
    yield
    for cached in (schema._file, schema._validator):
        cached.cache_clear()


def model(offset: float) -> bytes:
    """A model that gives the mean red of an image and an offset."""
    nodes: list[NodeProto] = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "sides"], ["means"], keepdims=0),
        helper.make_node("Gather", ["means", "red"], ["level"], axis=1),
        helper.make_node("Add", ["level", "offset"], ["levels"]),
    ]
    constants = {
        "sides": numpy.array([1, 2], numpy.int64),
        "red": numpy.array([0], numpy.int64),
        "offset": numpy.array(offset, numpy.float32),
    }
    outputs = [helper.make_tensor_value_info("levels", TensorProto.FLOAT, ["N", 1])]
    return model_files.build(nodes, constants, outputs=outputs)


def put_brightness(root: Path) -> None:
    """`datasets/pets` with the column `brightness`."""
    put_data(root, {**CATS, **DOGS})
    split = root / "datasets/pets/prepared/test"
    paths = sorted(split.glob("*/*.png"))
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    levels = [10.0 * int(path.stem[-4:]) for path in paths]
    table = repositories.table(names, ["cat", "dog"], camera=["A", "B"] * 10, brightness=levels)
    files = {f"test/{name}": path.read_bytes() for name, path in zip(names, paths, strict=True)}
    train = {path: data for path, data in repositories.PETS.items() if not path.startswith("test/")}
    pointer = root / "datasets/pets/prepared.dvc"
    document = yaml.safe_load(pointer.read_text())
    document["outs"] = [
        repositories.folder_out(
            root, root / "datasets/pets/prepared", {**train, **files, "test/metadata.parquet": table}
        )
    ]
    repositories.write(pointer, document)


def put_model(root: Path, offset: float, version: str, **manifest: object) -> None:
    """`models/pets` of the task, measured as the stage `evaluate` does it."""
    repositories.model(root, "pets", b"", version)
    folder = root / FOLDER
    document = yaml.safe_load((folder / "model.yaml").read_text())
    repositories.write(folder / "model.yaml", document | {"task": TASK.NAME, "gates": []} | manifest)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(model(offset))
    split = root / "datasets/pets/prepared/test"
    found = measuring.measure(folder / "model.onnx", split, TASK.NAME, folder / "predictions.parquet")
    measuring.write(found, folder / "metrics.json", folder / "plots")
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    lock["stages"]["train"]["outs"] = repositories.measured_outs(root, folder)
    repositories.write(folder / "dvc.lock", lock)


@pytest.fixture
def two_versions(registry_repo: Path) -> Path:
    """1.0.0 is off by 20, 1.1.0 by 5."""
    put_brightness(registry_repo)
    put_model(registry_repo, 20, "1.0.0")
    repositories.commit(registry_repo, "first")
    gates = [{"metric": "mae", "max": 6}, {"metric": "mae", "min": 10}, {"metric": "mae", "class": "cat", "max": 6}]
    put_model(registry_repo, 5, "1.1.0", gates=gates, slices=["camera"])
    return registry_repo


def test_judged_and_compared(two_versions: Path) -> None:
    metrics = json.loads((two_versions / FOLDER / "metrics.json").read_text())
    assert metrics == {"mae": 5.0, "images": 20, "per_class": {"cat": {"mae": 5.0}, "dog": {"mae": 5.0}}}
    change = compare(two_versions)
    assert (change.unknown, change.disagreements, change.images) == ("", (), 20)
    found = change.comparison
    assert (found.metric, found.base, found.new, found.is_better) == ("mae", 20, 5, True)
    assert [(gate.state, gate.message) for gate in change.gates] == [
        (GateState.PASSED, "mae is 5, expected at most 6"),
        (GateState.FAILED, "mae is 5, expected at least 10"),
        (GateState.PASSED, "per_class.cat.mae is 5, expected at most 6"),
    ]
    assert [(one.column, one.value, one.comparison.new) for one in change.slices] == [
        ("camera", "A", 5),
        ("camera", "B", 5),
    ]


def test_the_report_says_its_metric_and_shows_its_pictures(two_versions: Path) -> None:
    change = compare(two_versions)
    report = assemble(PASSED, [], [change], RUN_INFO)
    assert report.headline == (
        "models/pets: mae 5 vs. 20 on 20 shared test images (95% CI −15 to −15): significantly better"
    )
    text, page = markdown.render(report, {}), html.render(report)
    for part in ("Furthest from the truth", "20 predictions fixed, 0 broken", "Mae by class and slice"):
        assert part in text or part in page
    assert "accuracy" not in page.lower().replace("reliability", "")
    assert change.examples[0].uuid in page


def test_a_gate_against_the_base_where_lower_is_better(two_versions: Path) -> None:
    gate = Gate("mae", no_worse_than="base")  # the schema says which metrics may have this rule
    found = compare(two_versions).comparison
    assert gates.evaluate_against_base(gate, found).state is GateState.PASSED
    turned = replace(found, base=5, new=20, difference=15, low=15, high=15)
    assert gates.evaluate_against_base(gate, turned).state is GateState.FAILED
    assert gates.evaluate_against_base(replace(gate, margin=10), turned).state is GateState.FAILED
    assert gates.evaluate_against_base(replace(gate, margin=16), turned).state is GateState.PASSED


def test_metrics_that_its_predictions_do_not_give(two_versions: Path) -> None:
    (two_versions / FOLDER / "metrics.json").write_text('{"mae": 1.0, "images": 20}')
    assert compare(two_versions).disagreements == ("metrics.json has mae 1.0, expected 5.0 from predictions.parquet",)


def test_a_model_file_of_another_task(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(model_files.threshold(100))
    with pytest.raises(InvalidData) as caught:
        onnx_process.inspect(tmp_path / "model.onnx", TASK.OUTPUTS)
    assert "its output is `scores`, float (N, 2), expected `levels`, float (N, 1)" in caught.value.problems[0]


def test_a_base_of_another_task_is_not_compared(two_versions: Path) -> None:
    repositories.commit(two_versions, "second")
    document = yaml.safe_load((two_versions / FOLDER / "model.yaml").read_text())
    repositories.write(two_versions / FOLDER / "model.yaml", document | {"task": "classification", "gates": []})
    change = compare(two_versions)
    assert change.comparison is None
    assert "the base model's task is brightness, not classification" in change.unknown


def test_the_truth_is_missing(two_versions: Path) -> None:
    put_data(two_versions, {**CATS, **DOGS})
    with pytest.raises(NotFound, match=r"test/metadata\.parquet has no column brightness, which the task needs"):
        put_model(two_versions, 5, "1.1.0")


def test_a_first_version_is_not_told_in_percent(registry_repo: Path) -> None:
    put_brightness(registry_repo)
    repositories.commit(registry_repo, "data")
    put_model(registry_repo, 20, "1.0.0")
    change = compare(registry_repo)
    assert assemble(PASSED, [], [change], RUN_INFO).headline == "models/pets: new, mae 20"
    assert change.reported.plots == (), "the plot is the judge's own"


def test_a_model_from_elsewhere(
    registry_repo: Path, tmp_path: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "registry.cli.commands.new", raising=False)  # its options name the tasks
    put_brightness(registry_repo)
    (tmp_path / "light.onnx").write_bytes(model(20))
    said = ("--from", str(tmp_path / "light.onnx"), "--origin", "https://example.com/light", "--task", TASK.NAME)
    words = ("--description", "d", "--license", "MIT", "--intended-use", "u")
    assert (
        run_registry(registry_repo, "new", "model", "light", *said, *words, "--measured-on", "datasets/pets").code == 0
    )
    manifest = manifests.load_model(git_trees.WorkTree(registry_repo), names.parse_id("models/light"))
    assert (manifest.task, manifest.gates) == (TASK.NAME, (Gate("mae", max=20),))
    stage = yaml.safe_load((registry_repo / "models/light/dvc.yaml").read_text())["stages"]["evaluate"]
    assert stage["cmd"] == "registry evaluate model.onnx --data ../../${measured_on}/prepared --task brightness"
    (plot,) = stage["plots"]
    assert plot == {"plots/levels.csv": {"cache": False, "template": "scatter", "x": "brightness", "y": "level"}}


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_schema_knows_what_each_task_compares(task: str, registry_repo: Path) -> None:
    """A gate is only as good as the comparison behind it: of no other metric than the task's own."""
    put_brightness(registry_repo)
    put_model(registry_repo, 20, "1.0.0", task=task, gates=[{"metric": "luck", "no_worse_than": "base"}])
    with pytest.raises(InvalidDocument, match=r"gates\.0\.metric"):
        manifests.load_model(git_trees.WorkTree(registry_repo), names.parse_id("models/pets"))


def test_the_schema_names_the_tasks_of_the_table() -> None:
    document = json.loads((schema.folder() / "model.schema.json").read_text())
    assert set(document["properties"]["task"]["enum"]) == {*tasks.TASKS, FEATURES}  # features are not measured
