"""An artifact's files are read once, and each is a value or its faults."""

import pytest
import yaml

from registry.core import artifact_files, digests, locked_state, names
from registry.core.artifact_files import ArtifactFiles
from registry.core.tree import DictTree
from registry.core.values import DatasetManifest, Kind, ModelManifest
from registry.errors import InvalidDocument, NotFound
from support import memory_registries
from support.memory_registries import Registry

PETS, MODEL = names.parse_id("datasets/pets"), names.parse_id("models/pets")


class Recorder(DictTree):
    """A tree that records which files were read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.paths: list[str] = []

    def read(self, path: str) -> bytes:
        self.paths.append(path)
        return super().read(path)


def read(registry: Registry, artifact=PETS) -> ArtifactFiles:
    return artifact_files.read_artifact(artifact_files.list_files(DictTree(registry.files)), artifact)


def test_a_dataset_s_files() -> None:
    registry = memory_registries.sound()
    files = read(registry)
    assert isinstance(files.manifest.require(), DatasetManifest)
    assert (files.pipeline, files.lock, files.metrics) == (None, None, None)
    assert files.prepared.require().build.selection == files.raw.require().md5
    assert files.content.objects == {
        name: yaml.safe_load(registry.files[f"{PETS}/{name}.dvc"])["outs"][0]["md5"] for name in ("prepared", "raw")
    }


MADE = ("metrics.json", "model.onnx", "predictions.parquet")


def test_a_model_s_files() -> None:
    files = read(memory_registries.sound(), MODEL)
    assert isinstance(files.require_model(), ModelManifest)
    assert (files.raw, files.prepared) == (None, None)
    assert files.metrics.require().items() >= {"accuracy": 1.0, "per_class.cat.f1": 1.0}.items()
    assert files.pipeline.require().stages["train"].dependencies == ("../../${trained_on}/prepared", "train.py")
    assert files.lock.require().commands == {"train": "python train.py --data ../../datasets/pets/prepared"}
    assert set(files.content.objects) == {"datasets/pets/prepared", "train.py", *MADE}


@pytest.mark.parametrize("artifact", [PETS, MODEL], ids=str)
def test_each_file_is_read_once_and_no_other_file_at_all(artifact) -> None:
    tree = Recorder(memory_registries.sound().files)
    files = artifact_files.list_files(tree)
    parsed = artifact_files.read_artifact(files, artifact)
    expected = {
        Kind.DATASET: ["dataset.yaml", "prepared.dvc", "raw.dvc"],
        Kind.MODEL: ["dvc.lock", "dvc.yaml", "metrics.json", "model.yaml", "params.yaml"],
    }
    assert sorted(tree.paths) == [f"{artifact}/{name}" for name in expected[artifact.kind]]
    artifact_files.read_artifact(files, artifact, parsed.manifest)
    assert tree.paths.count(parsed.manifest.path) == 1


def test_a_file_with_a_fault_does_not_hide_the_others() -> None:
    registry = memory_registries.sound()
    registry.files[f"{PETS}/raw.dvc"] = b"outs: ["
    files = read(registry)
    assert files.raw.value is None
    assert files.prepared.value
    assert set(files.content.objects) == {"prepared"}
    with pytest.raises(InvalidDocument, match=r"raw\.dvc:"):
        files.raw.require()


def test_without_a_valid_manifest_there_is_no_content() -> None:
    registry = memory_registries.sound()
    registry.files[f"{PETS}/dataset.yaml"] = b"schema: 0\n"
    files = read(registry)
    assert (files.manifest.value, files.content) == (None, None)
    assert files.raw.value


def test_an_artifact_that_does_not_exist() -> None:
    with pytest.raises(NotFound, match="datasets/birds does not exist"):
        read(memory_registries.sound(), names.parse_id("datasets/birds"))


def test_a_release_is_read_by_path() -> None:
    registry = memory_registries.sound()
    files = artifact_files.read_release(MODEL, registry.files.get)
    assert (files.content, files.pipeline) == (read(registry, MODEL).content, None)
    assert artifact_files.read_release(MODEL, lambda _: None) is None


def test_what_the_tree_has_in_the_place_of_what_was_locked() -> None:
    registry = memory_registries.sound()
    files = artifact_files.list_files(DictTree(registry.files))
    path = f"{MODEL}/dvc.lock"
    lock = artifact_files.read_lock(files, path).require()
    now = locked_state.read_locked_state(files, path, lock)
    assert now.md5s[f"{MODEL}/train.py"] == digests.md5(registry.files[f"{MODEL}/train.py"])
    assert now.md5s[f"{PETS}/prepared"] == yaml.safe_load(registry.files[f"{PETS}/prepared.dvc"])["outs"][0]["md5"]
    assert f"{MODEL}/model.onnx" not in now.md5s
    assert lock.recipe == now.recipe == '{"params.yaml": {"architecture": "vgg", "epochs": 3}}'
