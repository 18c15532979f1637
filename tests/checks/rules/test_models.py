import re
from typing import Any

import pytest
import yaml

from registry.checks.context import Scope
from registry.checks.runner import run
from registry.core.values import Finding, Verdict
from support import memory_registries
from support.memory_registries import Registry, images

MODEL = "models/pets"
MANIFEST, PIPELINE, LOCK, METRICS = (
    f"{MODEL}/{name}" for name in ("model.yaml", "dvc.yaml", "dvc.lock", "metrics.json")
)
CHANGED = {MANIFEST, PIPELINE, LOCK, METRICS}


def changed(**changes: Any) -> Registry:
    """A sound registry whose model moved to 2.0.0 with these keys."""
    registry = memory_registries.sound()
    registry.edit(MANIFEST, **{"version": "2.0.0", **changes})
    registry.derive()
    return registry


def with_stage(path: str = PIPELINE, **changes: Any) -> Registry:
    registry = changed()
    document = yaml.safe_load(registry.files[path])
    document["stages"]["train"].update(changes)
    registry.files[path] = memory_registries.dump(document)
    return registry


def check(registry: Registry, scope: Scope = Scope.BASE) -> list[Finding]:
    return registry.check(scope, CHANGED)


# --- pipeline ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deps": ["https://example.com/x"]}, "does not have the required format"),
        ({"deps": ["../../../x"]}, "../../../x is outside the registry"),
        ({"deps": ["../../${trained_on}/../../../x"]}, "is outside the registry"),
        ({"wdir": "../.."}, "unknown key 'wdir'"),
        ({"frozen": True}, "unknown key 'frozen'"),
        ({"outs": ["../other/model.onnx"]}, "does not have the required format"),
        ({"outs": [{"model.onnx": {"remote": "evil"}}]}, "unknown key 'remote'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_pipeline_that_reaches_out_is_one_finding(changes: dict[str, Any], message: str) -> None:
    (finding,) = check(with_stage(**changes))
    assert (finding.check, finding.path, finding.verdict) == ("pipeline", PIPELINE, Verdict.WRONG)
    assert message in finding.message
    assert finding.line


def test_an_undefined_variable_could_be_defined_by_the_parameters() -> None:
    registry = changed()
    document = yaml.safe_load(registry.files[PIPELINE])
    del document["vars"]
    registry.files[PIPELINE] = memory_registries.dump(document)
    (finding,) = check(registry)
    assert finding.message == "the dependency ../../${trained_on}/prepared has a variable, but vars does not"


def on_shards(registry: Registry) -> Registry:
    """The training reads shards: it depends on the dataset's version in place of its folder."""
    pipeline, lock = (yaml.safe_load(registry.files[path]) for path in (PIPELINE, LOCK))
    for stages, file in ((pipeline["stages"], "../../${trained_on}"), (lock["stages"], "../../datasets/pets")):
        stages["train"]["cmd"] += " --shards"
        stages["evaluate"] = {"cmd": "registry evaluate", "deps": stages["train"]["deps"][:1]}
        del stages["train"]["deps"][0]
        if isinstance(params := stages["train"]["params"], list):
            params.append({f"{file}/dataset.yaml": ["version"]})
        else:
            params[f"{file}/dataset.yaml"] = {"version": "1.0.0"}
    registry.files |= {PIPELINE: memory_registries.dump(pipeline), LOCK: memory_registries.dump(lock)}
    return registry


def test_a_training_on_shards_is_that_of_the_datasets_version() -> None:
    registry = on_shards(changed())
    assert check(registry) == []
    registry.edit("datasets/pets/dataset.yaml", version="1.0.1")
    found = [one.message for one in check(registry) if one.check == "training"]
    assert found == ["changed since the training: the parameters"]


def test_a_model_that_was_trained_after_it_was_measured() -> None:
    """As `dvc repro --single-item` leaves it."""
    registry = changed()
    lock = yaml.safe_load(registry.files[LOCK])
    lock["stages"]["evaluate"] = {"cmd": "registry evaluate", "deps": [{**ENTRY, "path": "model.onnx"}]}
    pipeline = yaml.safe_load(registry.files[PIPELINE])
    pipeline["stages"]["evaluate"] = {"cmd": "registry evaluate", "deps": ["model.onnx"]}
    registry.files |= {PIPELINE: memory_registries.dump(pipeline), LOCK: memory_registries.dump(lock)}
    found = [one.message for one in check(registry) if one.check == "training"]
    assert found == ["changed since the training: model.onnx"]


def test_a_stage_on_shards_that_would_not_see_another_version() -> None:
    registry = on_shards(changed())
    pipeline = yaml.safe_load(registry.files[PIPELINE])
    pipeline["stages"]["train"]["params"].pop()
    registry.files[PIPELINE] = memory_registries.dump(pipeline)
    finding = next(one for one in check(registry) if one.check == "pipeline")
    assert finding.message == "the stage train reads shards and does not depend on the dataset's version"
    assert finding.fix == "add `../../${trained_on}/dataset.yaml: [version]` to its params"


ENTRY = {"path": "x", "hash": "md5", "md5": "0" * 32, "size": 1}


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY | {"path": "https://example.com/x"},
        ENTRY | {"path": "../../../x"},
        ENTRY | {"repo": {"url": "x"}},
        {"path": "x", "etag": "x"},
    ],
    ids=["url", "outside", "repo", "etag"],
)
def test_a_lock_that_reaches_out(entry: dict[str, Any]) -> None:
    found = check(with_stage(LOCK, deps=[entry]))
    assert {(finding.check, finding.path) for finding in found} == {("pipeline", LOCK)}


def test_an_output_outside_the_model() -> None:
    entry = {"path": "../other/model.onnx", "hash": "md5", "md5": "0" * 32, "size": 1}
    (finding,) = check(with_stage(LOCK, outs=[entry]))
    assert finding.message == "../other/model.onnx: the output is not in models/pets"


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_dataset_must_exist() -> None:
    (finding,) = check(changed(trained_on="datasets/birds"))
    assert (finding.check, finding.line, finding.message) == (
        "trained-on",
        9,
        "trained_on: datasets/birds does not exist",
    )


def test_a_model_that_was_trained_on_another_dataset() -> None:
    registry = changed(trained_on="datasets/birds")
    memory_registries.put_dataset(registry, "birds")
    registry.derive()
    (finding,) = check(registry)
    assert (finding.check, finding.message) == ("training", "not trained on datasets/birds/prepared")


def test_a_model_that_is_new_passes() -> None:
    registry = changed()
    registry.releases.clear()
    for path in (LOCK, METRICS):
        del registry.files[path]
    registry.derive()
    assert check(registry) == []


@pytest.mark.parametrize(
    ("path", "data", "what"),
    [
        (f"{MODEL}/train.py", b"print('other')\n", "train.py"),
        (f"{MODEL}/params.yaml", b"architecture: resnet\nepochs: 3\n", "the parameters"),
        (f"{MODEL}/params.yaml", b"epochs: 3\n", "the parameters"),
    ],
    ids=["code", "value", "gone"],
)
def test_an_outdated_training_is_wrong_on_a_branch_and_needs_an_owner_at_a_commit(
    path: str, data: bytes, what: str
) -> None:
    registry = changed()
    registry.files[path] = data
    for scope, verdict in (
        (Scope.BASE, Verdict.WRONG),
        (Scope.ALL, Verdict.WRONG),
        (Scope.STAGED, Verdict.NEEDS_OWNER),
    ):
        (finding,) = check(registry, scope)
        assert (finding.check, finding.verdict) == ("training", verdict)
        assert (finding.message, finding.fix) == (
            f"changed since the training: {what}",
            "dvc repro models/pets/dvc.yaml",
        )


@pytest.mark.parametrize(
    "command", ["python train.py --data ../../${trained_on}/prepared --fast", ["python a.py", "python b.py"]]
)
def test_another_command_is_another_training(command: str | list[str]) -> None:
    (finding,) = check(with_stage(cmd=command))
    assert finding.message == "changed since the training: the command of train"


def test_code_that_is_gone() -> None:
    registry = changed()
    del registry.files[f"{MODEL}/train.py"]
    (finding,) = check(registry)
    assert finding.message == "changed since the training: train.py"


def test_a_dataset_that_moved_on_without_its_model_needs_an_owner() -> None:
    registry = memory_registries.sound()
    registry.edit("datasets/pets/dataset.yaml", version="1.1.0")
    memory_registries.build(registry, "pets", images(12))
    registry.derive()
    (finding,) = registry.check(Scope.BASE, {"datasets/pets/dataset.yaml", "datasets/pets/prepared.dvc"})
    assert (str(finding.artifact), finding.check, finding.verdict) == (MODEL, "training", Verdict.NEEDS_OWNER)
    assert [one.verdict for one in check(registry)] == [Verdict.WRONG]


# --- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"accuracy": 0.99}', "MD5 is "),
        (b'{"accuracy": NaN}', "not valid JSON: NaN is not a JSON number"),
        (b"[1, 2]", "not a mapping of names to numbers"),
        (b"{", "not valid JSON"),
        (b'{"a": ' * 100 + b"1" + b"}" * 100, "nested deeper than 32"),
    ],
    ids=["by-hand", "nan", "list", "broken", "deep"],
)
def test_metrics_that_are_not_the_training_s(data: bytes, message: str) -> None:
    registry = changed()
    registry.files[METRICS] = data
    registry.derive()
    (finding,) = check(registry)
    assert (finding.check, finding.path) == ("outputs", METRICS)
    assert message in finding.message


def test_a_training_without_metrics() -> None:
    registry = changed()
    del registry.files[METRICS]
    registry.derive()
    (finding,) = check(registry)
    assert (finding.check, finding.message) == ("outputs", "metrics.json is missing")


# --- gates ------------------------------------------------------------------------------------------------------------


FIRST_EIGHT = (
    *("accuracy", "ece", "images", "loss", "macro_f1"),
    *(f"per_class.cat.{name}" for name in ("f1", "images", "precision")),
)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metric": "accuracy", "min": 1.05}, "accuracy is 1, expected at least 1.05"),
        ({"metric": "accuracy", "max": 0.85}, "accuracy is 1, expected at most 0.85"),
        ({"metric": "per_class.cat.f1", "min": 1.5}, "per_class.cat.f1 is 1, expected at least 1.5"),
        (
            {"metric": "recall", "min": 0.1},
            f"recall is not in metrics.json, which has {', '.join(FIRST_EIGHT)} and 5 more",
        ),
        ({"metric": "accuracy", "min": 1, "max": 1}, None),
        ({"metric": "f1", "class": "cat", "min": 1.5}, "per_class.cat.f1 is 1, expected at least 1.5"),
    ],
    ids=["min", "max", "name", "missing", "met", "class"],
)
def test_gates(gate: dict[str, Any], message: str | None) -> None:
    found = check(changed(gates=[{"metric": "accuracy", "min": 0}, gate]))
    assert [(finding.check, finding.line, finding.message) for finding in found] == (
        [("gates", 14, message)] if message else []
    )
    at_commit = check(changed(gates=[gate]), Scope.STAGED)
    assert [finding.verdict for finding in at_commit] == ([Verdict.NEEDS_OWNER] if message else [])


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ({"metric": "accuracy", "no_worse_than": "base"}, "accuracy against the base"),
        ({"metric": "accuracy", "slice": {"camera": "X"}, "min": 0.5}, "accuracy where camera is X"),
    ],
)
def test_what_needs_predictions_is_not_judged_here(gate: dict[str, Any], what: str) -> None:
    outcomes = run(changed(gates=[gate]).gather(Scope.BASE, CHANGED))
    (finding,) = (finding for outcome in outcomes if outcome.check == "gates" for finding in outcome.findings)
    assert finding.verdict is Verdict.OK
    assert finding.message == f"the gate on {what} is evaluated by `registry report` only"
    assert "registry report" in finding.fix


def with_accuracy(value: str) -> Registry:
    """A trained model whose recorded accuracy is this JSON, and a gate that any number would pass."""
    registry = changed(gates=[{"metric": "accuracy", "min": -1, "max": 2}])
    registry.files[METRICS] = f'{{"accuracy": {value}}}'.encode()
    document = yaml.safe_load(registry.files[LOCK])
    document["stages"]["train"]["outs"][0] = memory_registries.entry(registry, MODEL, "metrics.json")
    registry.files[LOCK] = memory_registries.dump(document)
    registry.derive()
    return registry


@pytest.mark.parametrize("value", ["null", "true", '"0.99"', "[0.99]"])
def test_what_is_not_a_number_keeps_no_gate(value: str) -> None:
    (finding,) = check(with_accuracy(value))
    assert finding.check == "gates"
    assert finding.message.endswith("expected a finite number")


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_metric_that_is_not_finite_is_refused_where_it_is_read(value: str) -> None:
    (finding,) = check(with_accuracy(value))
    assert (finding.check, finding.path, finding.line) == ("outputs", METRICS, 1)
    assert finding.verdict is Verdict.WRONG
    assert re.search(f"the number {value} is too large|{value} is not a JSON number", finding.message)


def test_edited_metrics_are_one_finding_and_are_not_written_into_the_card() -> None:
    registry = changed()
    registry.files[METRICS] = b'{"accuracy": 0.99}\n'
    (finding,) = check(registry)
    assert (finding.check, finding.path) == ("outputs", METRICS)
    assert "expected " in finding.message


# --- parameters -------------------------------------------------------------------------------------------------------


def with_parameters(text: bytes) -> Registry:
    registry = changed()
    lock = yaml.safe_load(registry.files[LOCK])
    lock["stages"]["train"]["params"] = {"params.yaml": {"rate": 1, "deep.er": "x"}}
    registry.files[LOCK] = memory_registries.dump(lock)
    registry.files[f"{MODEL}/params.yaml"] = text
    return registry


@pytest.mark.parametrize(
    "text", [b"rate: 1\ndeep: {er: x}\n", b"rate: 1.0\ndeep:\n  er: 'x'\nmore: 3\n", b"rate: 0x1\ndeep: {er: x}\n"]
)
def test_parameters_that_are_the_same_for_dvc(text: bytes) -> None:
    assert [one for one in with_parameters(text).check() if one.check == "training"] == []


@pytest.mark.parametrize("text", [b"rate: 2\ndeep: {er: x}\n", b"rate: '1'\ndeep: {er: x}\n", b"rate: 1\n", b"x: 1\n"])
def test_other_parameters(text: bytes) -> None:
    (finding,) = [one for one in with_parameters(text).check() if one.check == "training"]
    assert finding.message == "changed since the training: the parameters"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"\xef\xbb\xbfrate: 1\n", 1, "starts with a byte order mark"),
        (b"a: &a 1\nrate: *a\n", 1, "anchors and aliases are not allowed"),
        (b"rate: 1\nrate: 1\n", 2, "duplicate key 'rate'"),
        (b"rate: 1\nx: [1\n", 2, "not valid YAML"),
        (b"# nothing\n", 1, "the file is empty"),
        ("rate: 1\n".encode("utf-16-le"), 1, "not UTF-8 text"),
        (b"x: 1\nrate: 1_0\n", 2, "a value is the text '1_0' here, and the number 10 for DVC"),
    ],
)
def test_parameters_that_cannot_be_read_are_not_called_a_change(text: bytes, line: int, message: str) -> None:
    (finding,) = [one for one in with_parameters(text).check() if one.check in {"pipeline", "training"}]
    assert (finding.path, finding.line) == (f"{MODEL}/params.yaml", line)
    assert message in finding.message
    assert "dvc repro" not in finding.fix
