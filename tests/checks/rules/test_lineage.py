"""What `builds_on` may name, and what it must name."""

from typing import Any

import pytest
import yaml

from registry.core.values import Finding, Verdict
from support import memory_registries
from support.memory_registries import Registry

MODEL = "models/pets"
MANIFEST, PIPELINE = f"{MODEL}/model.yaml", f"{MODEL}/dvc.yaml"


def registry(builds_on: list[str] | None, deps: tuple[str, ...] = (), **backbone: Any) -> Registry:
    """A sound registry with `models/eye`, on which `models/pets` may build; `backbone` changes its manifest."""
    made = memory_registries.sound()
    eye = yaml.safe_load(made.files[MANIFEST]) | {"name": "eye", "task": "features"}
    eye = {key: value for key, value in eye.items() if key not in ("gates", "slices", "reproduce")} | backbone
    made.files["models/eye/model.yaml"] = memory_registries.dump(eye)
    made.edit(MANIFEST, version="2.0.0", **({"builds_on": builds_on} if builds_on else {}))
    pipeline = yaml.safe_load(made.files[PIPELINE])
    pipeline["stages"]["train"]["deps"] += [*deps]
    made.files[PIPELINE] = memory_registries.dump(pipeline)
    made.derive()
    return made


def check(made: Registry) -> list[Finding]:
    return [one for one in made.check(paths={MANIFEST, PIPELINE}) if one.check == "builds-on"]


def test_a_model_that_gives_features_may_be_built_on() -> None:
    assert check(registry(["models/eye"], ("../eye/model.onnx",))) == []
    assert check(registry(None)) == []


@pytest.mark.parametrize(
    ("builds_on", "more", "message"),
    [
        (["models/nothing"], {}, "builds_on: models/nothing does not exist"),
        (["models/pets"], {}, "builds_on: models/pets is this model"),
        (["models/eye"], {"task": "classification"}, "builds_on: models/eye gives classification, expected features"),
    ],
)
def test_what_cannot_be_built_on(builds_on: list[str], more: dict[str, Any], message: str) -> None:
    (finding,) = check(registry(builds_on, **more))
    assert (finding.message, finding.verdict, finding.path) == (message, Verdict.WRONG, MANIFEST)
    assert finding.line


def test_a_file_of_a_model_that_is_not_named() -> None:
    for path in ("../eye/model.onnx", "../../models/eye/model.onnx", "../eye/../eye/plots"):
        (finding,) = check(registry(None, (path,)))
        assert finding.message == f"the pipeline depends on {path}, and builds_on does not name models/eye"
        assert finding.fix == f"add models/eye to builds_on in {MANIFEST}"


def test_a_withdrawn_version_needs_an_owner() -> None:
    (finding,) = check(registry(["models/eye"], version="1.0.0", withdrawn={"1.0.0": "bad weights"}))
    assert finding.message == "builds on models/eye@v1.0.0, which is withdrawn: bad weights"
    assert finding.verdict is Verdict.NEEDS_OWNER
    assert check(registry(["models/eye"], version="1.1.0", withdrawn={"1.0.0": "bad weights"})) == []
