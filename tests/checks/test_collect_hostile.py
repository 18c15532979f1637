"""Whatever lies in the files of a registry, they are checked without a crash."""

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.checks.context import Scope
from registry.core import artifact_files, documents, names
from registry.core.tree import DictTree
from support import memory_registries

PETS, MODEL = "datasets/pets", "models/pets"
MANIFEST, POINTER = f"{PETS}/dataset.yaml", f"{PETS}/prepared.dvc"

keys = st.sampled_from(
    ["name", "outs", "stages", "meta", "build", "counts", "split", "ratios", "columns", "train", "x", "path", "cmd"]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**30)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["datasets/pets", "1.0.0", "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
FILES = [
    MANIFEST,
    POINTER,
    f"{PETS}/raw.dvc",
    f"{MODEL}/model.yaml",
    f"{MODEL}/dvc.yaml",
    f"{MODEL}/dvc.lock",
    f"{MODEL}/params.yaml",
]


@given(st.sampled_from(FILES), st.data())
@settings(max_examples=60)
def test_whatever_is_put_anywhere_into_a_file_is_checked_without_a_crash(path: str, data: st.DataObject) -> None:
    registry = memory_registries.sound()
    document = yaml.safe_load(registry.files[path])
    lines = sorted(documents.read_yaml(registry.files[path], path).lines, key=str)
    *parents, last = data.draw(st.sampled_from([location for location in lines if location]))
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = data.draw(values)
    registry.files[path] = memory_registries.dump(document)
    assert isinstance(registry.check(data.draw(st.sampled_from(Scope)), {path}), list)


@given(
    st.sampled_from(
        [*FILES, f"{MODEL}/metrics.json", ".dvc/config", "registry.yaml", "README.md", f"{PETS}/README.md"]
    ),
    st.binary(max_size=60),
)
@settings(max_examples=40)
def test_whatever_bytes_a_file_has_it_is_checked_without_a_crash(path: str, data: bytes) -> None:
    registry = memory_registries.sound()
    registry.files[path] = data
    assert isinstance(registry.check(Scope.ALL), list)


def test_a_file_that_is_too_large_is_not_read() -> None:
    class Guarded(DictTree):
        def read(self, path: str) -> bytes:
            assert path != MANIFEST
            return super().read(path)

    tree = Guarded({MANIFEST: b"x" * (documents.MAX_BYTES + 1)})
    manifest = artifact_files.read_manifest(artifact_files.list_files(tree), names.parse_id(PETS))
    assert [fault.message for fault in manifest.faults] == ["file is 1,048,577 bytes; the limit is 1 MiB"]
