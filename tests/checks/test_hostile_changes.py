"""Changes that anybody may propose: each is refused, with the file that it is in.

Of most it is also known what DVC 3.67, Git or an editor would do: they were tried with the real ones.
"""

from typing import Any

import pytest
import yaml

from registry.checks import collect_ignored
from registry.checks.context import Scope
from registry.checks.rules import tracked_files as rules
from registry.core.tree import DictTree
from registry.core.values import Verdict
from support import memory_registries

PETS, MODEL = "datasets/pets", "models/pets"
PIPELINE, LOCK = f"{MODEL}/dvc.yaml", f"{MODEL}/dvc.lock"
EVIL = {"hash": "md5", "md5": "0" * 32, "size": 4}

# What is merged into the only stage of the pipeline, or of its lock, or stands beside the stages.
IN_THE_PIPELINE: dict[str, dict[str, Any]] = {
    "a working folder": {"wdir": "../../.github"},
    "a frozen stage": {"frozen": True},
    "a stage that is always run": {"always_changed": True},
    "a dependency by URL": {"deps": ["http://example.com/x"]},
    "a dependency on a data set of DVC": {"deps": ["ds://x"]},
    "an absolute dependency": {"deps": ["/etc/passwd"]},
    "an output elsewhere": {"outs": ["../../.github/workflows/evil.yml"]},
    "an output by URL": {"outs": ["s3://evil/x"]},
    "an output at a remote": {"outs": [{"x.bin": {"remote": "evil"}}]},
    "an output that make obeys": {"outs": ["Makefile"]},
    "an output that pytest obeys": {"outs": ["plots/conftest.py"]},
    "an output that pip obeys": {"plots": ["requirements.txt"]},
    "an output of a variable": {"outs": ["${evil}"]},
    "parameters of another file": {"params": [{"/etc/passwd": ["a"]}]},
}
BESIDE_THE_STAGES: dict[str, dict[str, Any]] = {
    "variables of Python": {"vars": ["params.py:X"]},
    "variables": {"vars": [{"a": "../../.github"}]},
    "artifacts": {"artifacts": {"x": {"path": "../../.git/config"}}},
    "data sets of DVC": {"datasets": [{"name": "x", "type": "dvc", "url": "https://example.com/x", "path": "x"}]},
    "metrics elsewhere": {"metrics": ["/etc/passwd"]},
    "a plot elsewhere": {"plots": [{"/etc/passwd": {"x": "a"}}]},
    "a plot of a file elsewhere": {"plots": [{"roc": {"y": {"/etc/passwd": "a"}}}]},
    "an axis of a file elsewhere": {"plots": [{"roc": {"x": {"../../.git/config": "a"}, "y": {"a.json": "a"}}}]},
    "a template elsewhere": {"plots": [{"a.csv": {"template": "../../../x"}}]},
    "a plot with other keys": {"plots": [{"a.csv": {"cache": False}}]},
}
FILES = (
    "docs/evil.dvc", "tests/evil.dvc", "evil.dvc", "docs/EVIL.DVC", "docs/dvc.yaml", f"{PETS}/dvc.yaml",
    f"{PETS}/dvc.lock", f"{MODEL}/sub/dvc.yaml", f"{MODEL}/raw.dvc", "models/dvc.yaml", f"{MODEL}/.dvc/config",
    ".dvc/config.local", ".dvc/tmp/x", f"{MODEL}/.dvcignore", ".gitmodules", "params.yaml", "sitecustomize.py",
    f"{MODEL}/conftest.py", f"{MODEL}/requirements.txt", f"{MODEL}/.envrc", f"{MODEL}/.vscode/tasks.json",
    f"{PETS}/.idea/workspace.xml", f"{MODEL}/.devcontainer/devcontainer.json", f"{MODEL}/.pylintrc",
    ".github/CODEOWNERS", ".GitHub/workflows/evil.yml", "makefile", "looker.ini", f"{MODEL}/a\u202egpj.py",
    "docs/a\n::add-mask::x",
)  # fmt: skip


def findings(path: str, data: bytes) -> set[str]:
    """The paths with findings that are wrong."""
    registry = memory_registries.sound()
    registry.files[path] = data
    return {finding.path for finding in registry.check(Scope.BASE, {path}) if finding.verdict is Verdict.WRONG}


def with_keys(path: str, more: dict[str, Any], *, beside: bool = False) -> bytes:
    document = yaml.safe_load(memory_registries.sound().files[path])
    place = document if beside else document["stages"]["train"]
    for key, value in more.items():
        place[key] = [*place.get(key, []), *value] if isinstance(value, list) and not beside else value
    return memory_registries.dump(document)


@pytest.mark.parametrize("name", IN_THE_PIPELINE)
def test_a_stage(name: str) -> None:
    assert PIPELINE in findings(PIPELINE, with_keys(PIPELINE, IN_THE_PIPELINE[name]))


@pytest.mark.parametrize("name", BESIDE_THE_STAGES)
def test_a_pipeline(name: str) -> None:
    assert PIPELINE in findings(PIPELINE, with_keys(PIPELINE, BESIDE_THE_STAGES[name], beside=True))


def test_plots_of_a_pipeline_that_are_its_own() -> None:
    plots = [
        "a.csv",
        {"b.csv": None},
        {"c.csv": {"x": "a", "y": ["b", "c"], "template": "linear", "title": "T", "x_label": "x", "y_label": "y"}},
        {"ROC (test)": {"x": "rate", "y": {"plots/roc.json": "tpr", "d.csv": ["e", "f"]}}},
    ]
    assert findings(PIPELINE, with_keys(PIPELINE, {"plots": plots}, beside=True)) == set()


@pytest.mark.parametrize("path", ["../../.github/workflows/evil.yml", "../other/model.onnx", "dvc.yaml", ".venv/x"])
def test_an_output_of_a_lock(path: str) -> None:
    assert LOCK in findings(LOCK, with_keys(LOCK, {"outs": [{**EVIL, "path": path}]}))


@pytest.mark.parametrize("path", FILES)
def test_a_file(path: str) -> None:
    assert path in findings(path, b"x: 1\n")


@pytest.mark.parametrize(
    ("path", "text", "hides"),
    [
        (f"{MODEL}/.gitignore", "*\n", {PIPELINE, LOCK}),
        (f"{MODEL}/.gitignore", "# all\n*\n!dvc.yaml\n", {LOCK}),
        (f"{PETS}/.gitignore", "/raw\n/prepared\n*.dvc\n", {f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"}),
        (".gitignore", "models/\n", {PIPELINE, LOCK}),
        ("models/.gitignore", "/pets/dvc.*\n", {PIPELINE, LOCK}),
        (f"{MODEL}/.gitignore", "/model.onnx\n/predictions.parquet\n", set()),
    ],
)
def test_a_pointer_that_git_ignores_is_told_because_dvc_skips_it(path: str, text: str, hides: set[str]) -> None:
    registry = memory_registries.sound()
    registry.files |= {path: text.encode(), ".dvcignore": b"/.venv\n/.registry\n/scripts\n"}
    facts = collect_ignored.with_ignored(registry.gather(Scope.ALL), DictTree(registry.files))
    found = list(rules.dvc_sees_what_is_checked(facts))
    assert {hidden.path for hidden in facts.hidden} == hides
    assert {finding.path for finding in found} == ({path} if hides else set())


@pytest.mark.parametrize(
    ("stages", "fault"),
    [
        ({"evil": {"cmd": "id", "outs": [{**EVIL, "path": "evil.bin"}]}}, "records the stage evil"),
        ({"train": {"outs": [{**EVIL, "path": "notes"}]}}, "records notes, which the stage train does not declare"),
        ({"train": {"deps": [{**EVIL, "path": "../../.git/config"}]}}, "records ../../.git/config, which"),
        ({"train": {"outs": [{**EVIL, "path": "model.onnx/x"}]}}, "overlaps the output models/pets/model.onnx"),
        ({"train": {"outs": [{**EVIL, "path": "model.onnx"}]}}, "overlaps the output models/pets/model.onnx"),
    ],
)
def test_a_lock_records_what_the_pipeline_declares(stages: dict[str, Any], fault: str) -> None:
    registry = memory_registries.sound()
    document = yaml.safe_load(registry.files[LOCK])
    for name, more in stages.items():
        stage = document["stages"].setdefault(name, {})
        for key, value in more.items():
            stage[key] = [*stage.get(key, []), *value] if isinstance(value, list) else value
    registry.files[LOCK] = memory_registries.dump(document)
    found = [one for one in registry.check(Scope.BASE, {LOCK}) if fault in one.message]
    assert [(one.path, one.verdict) for one in found] == [(LOCK, Verdict.WRONG)]
    assert found[0].fix


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"outs": ["plots", "plots/x.csv"]}, "plots/x.csv: the output overlaps the output plots"),
        ({"outs": ["x.bin", "x.bin"]}, "x.bin: the output overlaps the output x.bin"),
        ({"outs": ["x.csv"], "deps": ["x.csv"]}, "x.csv: the output is a dependency of its own stage"),
    ],
)
def test_outputs_because_of_which_dvc_reads_no_pipeline_of_the_repository(more: dict[str, Any], fault: str) -> None:
    registry = memory_registries.sound()
    registry.files[PIPELINE] = with_keys(PIPELINE, more)
    assert fault in {one.message for one in registry.check(Scope.BASE, {PIPELINE})}
