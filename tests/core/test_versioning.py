from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.checks.context import Scope
from registry.core import manifests, names, versioning
from registry.core.tree import DictTree
from registry.core.values import Bump, Content, RequiredBump, Version
from support import memory_registries
from support.memory_registries import Registry, images, uuid

PETS, MODEL = "datasets/pets", "models/pets"
COLUMNS = {"uuid": {"type": "uuid"}, "label": {"type": "string"}}
SPLIT = {"salt": "pets", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}}


def required_bumps(registry: Registry, artifact: str) -> tuple[RequiredBump, ...]:
    """What the change since the artifact's release requires."""
    facts = registry.gather(Scope.BASE, {path for path in registry.files if path.startswith(f"{artifact}/")})
    subject = next(subject for subject in facts.subjects if str(subject.id) == artifact)
    return versioning.required_bumps(subject.releases.latest.content, subject.content, subject.diff)


def words(found: tuple[RequiredBump, ...]) -> tuple[Bump, list[str]]:
    return versioning.largest_bump(found), [required.what for required in found]


def after(pictures: dict[str, bytes] | None = None, **changes: Any) -> tuple[Bump, list[str]]:
    """What is required after the dataset of a sound registry was changed and built again."""
    registry = memory_registries.sound()
    registry.edit(f"{PETS}/dataset.yaml", **changes)
    memory_registries.build(registry, "pets", images() if pictures is None else pictures)
    return words(required_bumps(registry, PETS))


def test_nothing_changed() -> None:
    assert after() == (Bump.NONE, [])


@pytest.mark.parametrize(
    ("change", "bump", "what"),
    [
        ({"title": "Pets!"}, Bump.PATCH, "title changed"),
        (
            {"title": "Pets!", "license": "MIT", "description": "x", "image": "a/{uuid}.jpg"},
            Bump.PATCH,
            "title, description, license and 1 more changed",
        ),
        ({"classes": ["cat", "dog", "fox"]}, Bump.MINOR, "the class fox was added"),
        ({"classes": ["dog", "cat"]}, Bump.MAJOR, "classes were renumbered"),
        ({"classes": ["ape", "cat", "dog"]}, Bump.MAJOR, "classes were renumbered"),
        ({"classes": ["cat"]}, Bump.MAJOR, "the class dog was removed"),
        ({"columns": COLUMNS | {"day": {"type": "date"}}}, Bump.MINOR, "the column day was added"),
        ({"source": {"look": 3}}, Bump.MINOR, "the query changed"),
        ({"source": {"export": {"description": "by another hand"}}}, Bump.MINOR, "the query changed"),
        ({"columns": COLUMNS | {"label": {"type": "string", "from": "other"}}}, Bump.MINOR, "the query changed"),
        ({"split": SPLIT | {"salt": "other"}}, Bump.MAJOR, "the split rule changed"),
        ({"split": SPLIT | {"ratios": {"train": 0.9, "val": 0, "test": 0.1}}}, Bump.MAJOR, "the split rule changed"),
        ({"split": SPLIT | {"group_by": "label"}}, Bump.MAJOR, "the split rule changed"),
    ],
    ids=[
        "title", "words", "class-added", "classes-reordered", "class-inserted", "class-removed", "column-added", "look",
        "export", "column-from",
        "salt", "ratios", "group",
    ],
)  # fmt: skip
def test_a_change_of_the_manifest(change: dict[str, Any], bump: Bump, what: str) -> None:
    found = after(**change)
    assert (found[0], found[1][0]) == (bump, what)


@pytest.mark.parametrize(
    "change", [{"owners": ["@ana"]}, {"withdrawn": {"1.0.0": "bad"}}, {"version": "3.0.0"}, {"classes": ["cat", "dog"]}]
)
def test_what_requires_nothing(change: dict[str, Any]) -> None:
    assert after(**change) == (Bump.NONE, [])


def test_a_column_of_another_type_or_gone_is_major() -> None:
    registry = memory_registries.Registry()
    columns = {
        "uuid": {"type": "uuid"},
        "label": {"type": "string"},
        "width": {"type": "integer"},
        "day": {"type": "date"},
    }
    memory_registries.put_dataset(registry, columns=columns)
    registry.release(f"{PETS}@v1.0.0")
    registry.edit(
        f"{PETS}/dataset.yaml",
        columns={"uuid": {"type": "uuid"}, "label": {"type": "string"}, "width": {"type": "number"}},
    )
    bump, what = words(required_bumps(registry, PETS))
    assert bump is Bump.MAJOR
    assert {"the column day was removed", "the column width was changed"} <= set(what)


def rename(pictures: dict[str, bytes], number: int, old: str, new: str) -> dict[str, bytes]:
    name = f"{old}/{uuid(number)}.jpg"
    assert name in pictures
    return {f"{new}/{uuid(number)}.jpg" if path == name else path: data for path, data in pictures.items()}


@pytest.mark.parametrize(
    ("pictures", "bump", "what"),
    [
        (images(11, 12), Bump.MINOR, "3 images were added"),
        (images(9, 10), Bump.MAJOR, "1 image was removed"),
        (rename(images(), 0, "train/cat", "train/dog"), Bump.MAJOR, "1 image was relabelled"),
        (rename(images(), 0, "train/cat", "val/cat"), Bump.MAJOR, "1 image was moved to another split"),
        (images() | {f"train/cat/{uuid(0)}.jpg": b"other bytes"}, Bump.MAJOR, "1 image was replaced"),
    ],
    ids=["added", "removed", "relabelled", "moved", "bytes"],
)
def test_a_change_of_the_items(pictures: dict[str, bytes], bump: Bump, what: str) -> None:
    assert after(pictures) == (bump, [what])


def test_the_largest_bump_comes_first() -> None:
    bump, what = after(images(20, 9), title="x")
    assert (bump, what) == (Bump.MAJOR, ["1 image was removed", "10 images were added", "title changed"])


def test_another_selection_or_another_table_with_the_same_images_is_minor() -> None:
    registry = memory_registries.sound()
    memory_registries.put_folder(registry, PETS, "raw", {"selection.parquet": b"other rows"}, {})
    assert words(required_bumps(registry, PETS)) == (Bump.MINOR, ["the selection changed"])
    registry = memory_registries.sound()
    tables = {f"{split}/metadata.parquet": b"other" for split in ("train", "val", "test")}
    memory_registries.put_folder(registry, PETS, "prepared", images() | tables, {})
    assert words(required_bumps(registry, PETS)) == (Bump.MINOR, ["the images or their metadata changed"])


def test_images_that_could_not_be_read_are_at_least_minor() -> None:
    registry = memory_registries.sound()
    memory_registries.build(registry, "pets", images(3, 3))
    registry.objects.clear()
    assert versioning.largest_bump(required_bumps(registry, PETS)) is Bump.MINOR


def test_a_model_that_was_trained_again_is_minor_and_its_metadata_is_a_patch() -> None:
    registry = memory_registries.sound()
    memory_registries.train(registry, "pets", b"other weights")
    assert words(required_bumps(registry, MODEL)) == (Bump.MINOR, ["model.onnx changed"])
    registry = memory_registries.sound()
    registry.files[f"{MODEL}/params.yaml"] = b"architecture: resnet\nepochs: 3\n"
    memory_registries.train(registry, "pets", b"weights")
    assert words(required_bumps(registry, MODEL)) == (Bump.MINOR, ["the parameters changed"])
    registry = memory_registries.sound()
    registry.edit(f"{MODEL}/model.yaml", intended_use="Other tests.", gates=[])
    assert words(required_bumps(registry, MODEL)) == (Bump.PATCH, ["intended_use, gates changed"])


def test_a_manifest_that_is_only_written_differently_requires_nothing() -> None:
    registry = memory_registries.sound()
    old = Content(manifests.load(DictTree(registry.files), names.parse_id(PETS)), {})
    registry.files[f"{PETS}/dataset.yaml"] = b"# a comment\n" + registry.files[f"{PETS}/dataset.yaml"]
    new = Content(manifests.load(DictTree(registry.files), names.parse_id(PETS)), {})
    assert versioning.required_bumps(old, new, None) == ()
    assert versioning.required_bumps(old, replace(new, objects={"raw": "x"}), None)[0].bump is Bump.MINOR


@given(st.builds(Version, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), st.sampled_from(Bump))
def test_the_lowest_version_that_meets_a_bump(version: Version, bump: Bump) -> None:
    lowest = versioning.lowest_version(version, [RequiredBump(bump, "", "")])
    assert (lowest == version) is (bump is Bump.NONE)
    assert lowest >= version
    assert lowest.patch == 0 or bump <= Bump.PATCH
    assert versioning.lowest_version(version, []) == version
