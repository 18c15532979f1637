"""The living example is exactly what `registry new` makes, with a filled manifest and a card."""

from pathlib import Path

import pytest

from registry.core import layout, manifests
from registry.core.names import parse_id
from registry.core.tree import DictTree
from registry.integrations.git_trees import WorkTree
from registry.scaffold import generated_files, new

ROOT = Path(__file__).parents[2]
DATASET, MODEL = parse_id("datasets/cats_dogs"), parse_id("models/cats_dogs")
WRITTEN_BY_PEOPLE = {"dataset.yaml", "model.yaml", "README.md"}


@pytest.mark.parametrize("artifact", [DATASET, MODEL], ids=str)
def test_the_example_has_the_files_that_new_makes(artifact) -> None:
    with_dataset = DictTree({layout.manifest_path(DATASET): b""})
    plan = new.plan(
        with_dataset if artifact == MODEL else DictTree({}), artifact, owners=("@acme/vision",), trained_on=DATASET
    )
    tree = WorkTree(ROOT)
    assert [entry.path for entry in tree.list(str(artifact))] == sorted(plan.files)
    same = {path: data for path, data in plan.files.items() if path.rsplit("/", 1)[1] not in WRITTEN_BY_PEOPLE}
    assert {path: tree.read(path) for path in same} == same


@pytest.mark.parametrize("artifact", [DATASET, MODEL], ids=str)
def test_the_example_is_filled(artifact) -> None:
    manifest = manifests.load(WorkTree(ROOT), artifact)
    assert manifest.owners == ("@acme/vision",)


def test_what_follows_from_the_manifests_is_current() -> None:
    tree = WorkTree(ROOT)
    stale = [
        path for path, data in generated_files.expected(tree).items() if not tree.has(path) or tree.read(path) != data
    ]
    assert stale == []
