from typing import Any

import pytest

from registry.checks.context import Scope
from registry.core.values import Finding, Verdict
from support import memory_registries
from support.memory_registries import Registry, images

PETS = "datasets/pets"
MANIFEST = f"{PETS}/dataset.yaml"
CHANGED = {MANIFEST, f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"}


def changed(pictures: dict[str, bytes] | None = None, **changes: Any) -> Registry:
    registry = memory_registries.sound()
    registry.edit(MANIFEST, **changes)
    if pictures is not None:
        memory_registries.build(registry, "pets", pictures)
    registry.derive()
    return registry


def found(registry: Registry, check: str, scope: Scope = Scope.STAGED) -> list[Finding]:
    return [finding for finding in registry.check(scope, CHANGED) if finding.check == check]


# --- manifest ---------------------------------------------------------------------------------------------------------


def test_every_fault_of_a_manifest_has_its_line_and_nothing_else_is_said() -> None:
    registry = memory_registries.sound()
    registry.edit(MANIFEST, license="CC-BY-5", owners=["acme"], titel="x")
    faults = registry.check(Scope.STAGED, CHANGED)
    assert [(one.check, one.line) for one in faults] == [("manifest", 7), ("manifest", 8), ("manifest", 27)]
    assert faults[2].fix == "did you mean title?"


def test_a_manifest_that_cannot_be_parsed_is_one_finding() -> None:
    registry = memory_registries.sound()
    registry.files[MANIFEST] += b"name: again\n"
    (finding,) = registry.check(Scope.ALL)
    assert (finding.check, finding.path, finding.line) == ("manifest", MANIFEST, 27)


def test_a_name_that_is_not_the_folder_s() -> None:
    (finding,) = found(changed(name="dogs"), "manifest")
    assert (finding.message, finding.fix) == (
        "name is dogs, expected the folder's name pets", "set name: pets, or rename the folder",
    )  # fmt: skip


# --- version ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "message", "fix"),
    [
        (
            changed(images(10, 9)),
            "version is 1.0.0, expected at least 2.0.0: 1 image was removed (a removal is major)",
            "set version: 2.0.0",
        ),
        (
            changed(images(11, 12)),
            "version is 1.0.0, expected at least 1.1.0: 3 images were added (an addition is minor)",
            "set version: 1.1.0",
        ),
        (
            changed(description="x"),
            "version is 1.0.0, expected at least 1.0.1: description changed (a metadata-only change is a patch)",
            "set version: 1.0.1",
        ),
        (
            changed(images(9, 10), version="1.4.2"),
            "version is 1.4.2, expected at least 2.0.0: 1 image was removed (a removal is major)",
            "set version: 2.0.0",
        ),
        (
            changed(images(11), version="1.0.7"),
            "version is 1.0.7, expected at least 1.1.0: 1 image was added (an addition is minor)",
            "set version: 1.1.0",
        ),
        (changed(version="0.9.0"), "version is 0.9.0, but 1.0.0 is released already", "set version: 1.0.0"),
        (changed(images(9), version="0.9.0"), "version is 0.9.0, but 1.0.0 is released already", "set version: 2.0.0"),
    ],
    ids=["removed", "added", "words", "too-little", "patch-for-minor", "back", "back-and-changed"],
)
def test_a_version_that_did_not_move_far_enough(registry: Registry, message: str, fix: str) -> None:
    (finding,) = found(registry, "version")
    assert (finding.path, finding.line, finding.message, finding.fix) == (MANIFEST, 3, message, fix)


@pytest.mark.parametrize(
    "registry",
    [
        changed(), changed(images(9), version="2.0.0"), changed(images(11), version="1.1.0"), changed(version="7.0.0"),
        changed(description="x", version="1.0.1"), changed(withdrawn={"1.0.0": "bad"}), changed(owners=["@ana"]),
    ],
    ids=["same", "major", "minor", "no-reason", "patch", "withdrawn", "owners"],
)  # fmt: skip
def test_a_version_that_moved_far_enough(registry: Registry) -> None:
    assert found(registry, "version") == []


def test_two_reasons_for_the_same_bump_are_in_one_message() -> None:
    pictures = images(9, 10)
    moved = {
        path.replace("train/dog", "train/cat", 1) if path.endswith("100000.jpg") else path: data
        for path, data in pictures.items()
    }
    (finding,) = found(changed(moved), "version")
    assert finding.message == (
        "version is 1.0.0, expected at least 2.0.0: 1 image was removed and 1 image was relabelled (a removal is major)"
    )


def test_an_old_release_that_is_looked_at_as_a_whole_is_not_behind() -> None:
    registry = memory_registries.sound()
    registry.edit(MANIFEST, version="2.0.0")
    registry.release("datasets/pets@v2.0.0")
    registry.edit(MANIFEST, version="1.0.0")
    registry.derive()
    assert found(registry, "version", Scope.ALL) == []
    assert found(registry, "version", Scope.BASE)[0].message == "version is 1.0.0, but 2.0.0 is released already"
    registry.edit(MANIFEST, title="Other words")
    assert [finding.verdict for finding in found(registry, "version", Scope.ALL)] == [Verdict.WRONG]


def test_a_shallow_clone_cannot_tell() -> None:
    registry = memory_registries.sound()
    registry.releases.clear()
    assert found(registry, "version") == []
    registry.is_complete = False
    (finding,) = found(registry, "version")
    assert (finding.verdict, finding.fix) == (Verdict.NEEDS_OWNER, "git fetch --unshallow --tags")


def test_a_release_in_a_form_of_the_past_needs_an_owner() -> None:
    registry = memory_registries.sound()
    registry.releases["datasets/pets@v1.0.0"][MANIFEST] = b"schema: 0\n"
    (finding,) = found(registry, "version")
    assert finding.verdict is Verdict.NEEDS_OWNER


# --- withdrawn --------------------------------------------------------------------------------------------------------


def test_only_what_was_released_can_be_withdrawn() -> None:
    registry = changed(withdrawn={"1.0.0": "bad", "1.3.0": "worse"})
    (finding,) = found(registry, "withdrawn")
    assert (finding.message, finding.line, finding.verdict) == (
        "withdrawn: 1.3.0 was never released",
        29,
        Verdict.WRONG,
    )
    registry.is_complete = False
    assert [finding.verdict for finding in found(registry, "withdrawn")] == [Verdict.NEEDS_OWNER]
    (finding,) = found(changed(withdrawn={"0.9.0": "its objects are lost"}), "withdrawn")
    assert (finding.message, finding.verdict) == (
        "withdrawn: 0.9.0 was never released, and will not be",
        Verdict.NEEDS_OWNER,
    )
