import re
from typing import Any

import pytest
import yaml

from registry.checks import runner as checks
from registry.checks.context import Scope
from registry.core import manifests, names
from registry.core.tree import DictTree
from registry.core.values import Verdict
from support import memory_registries
from support.changed_datasets import MANIFEST, PETS, PREPARED, RAW, changed, check
from support.memory_registries import Registry, images, uuid


def edit_pointer(registry: Registry, path: str, *location: str | int, value: object) -> None:
    """Set a value in a pointer; None removes it."""
    document = yaml.safe_load(registry.files[path])
    *parents, last = location
    place = document
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    registry.files[path] = memory_registries.dump(document)


# --- pointers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "value"),
    [
        (("deps",), [{"path": "https://example.com"}]), (("wdir",), ".."), (("frozen",), True),
        (("outs", 0, "remote"), "evil"), (("outs", 0, "hash"), None), (("outs", 0, "path"), "../raw"),
        (("outs", 0, "md5"), "0" * 32 + ".tar"),
    ],
    ids=str,
)  # fmt: skip
def test_a_pointer_that_is_open_is_one_finding(location: tuple[str, ...], value: object) -> None:
    registry = memory_registries.sound()
    edit_pointer(registry, RAW, *location, value=value)
    (finding,) = check(registry)
    assert (finding.check, finding.path, finding.verdict) == ("pointers", RAW, Verdict.WRONG)


@pytest.mark.parametrize(
    ("location", "value"),
    [(("outs", 0, "path"), "other"), (("outs", 0, "nfiles"), None), (("outs", 0, "md5"), "0" * 32)],
    ids=["other-name", "no-count", "a-file"],
)
def test_a_pointer_that_does_not_point_to_its_folder(location: tuple[str, ...], value: object) -> None:
    registry = memory_registries.sound()
    edit_pointer(registry, PREPARED, *location, value=value)
    (finding,) = check(registry)
    assert (finding.check, finding.path, finding.verdict) == ("pointers", PREPARED, Verdict.WRONG)


# --- selection --------------------------------------------------------------------------------------------------------

LOOKER = {
    "model": "photos", "view": "images", "filters": {"images.label": "cat,dog"}, "filter_expression": "${a} > 1",
    "sorts": ["images.uuid"], "timezone": "Europe/Berlin",
}  # fmt: skip
COLUMNS = {"uuid": {"type": "uuid"}, "label": {"type": "string"}}


def of_looker(**changes: object) -> Registry:
    """A dataset at 2.0.0 that was selected by a Looker query; then the manifest's query changes."""
    registry = changed(source={"looker": LOOKER})
    memory_registries.build(registry, "pets", images())
    registry.edit(MANIFEST, source={"looker": LOOKER | changes})
    registry.derive()
    return registry


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": {"images.label": "cat,dog", "images.quality": ">=3"}}, {"filters": {}}, {"view": "all_images"},
        {"model": "photos_v2"}, {"filter_expression": "${a} > 2"}, {"sorts": []}, {"timezone": "UTC"},
    ],
    ids=lambda changes: str(next(iter(changes))),
)  # fmt: skip
def test_a_manifest_with_another_looker_query_than_its_selection(changes: dict[str, Any]) -> None:
    (finding,) = check(of_looker(**changes))
    assert (finding.check, finding.verdict, finding.path) == ("selection", Verdict.WRONG, RAW)
    assert re.fullmatch(r"selected by the query \w{10}, expected \w{10} \(source and columns\)", finding.message)
    assert finding.fix == f"registry select {PETS}"
    assert finding.line == 1 + registry_line(of_looker(**changes), "source_hash")


def registry_line(registry: Registry, key: str) -> int:
    return next(n for n, line in enumerate(registry.files[RAW].decode().splitlines()) if f"{key}:" in line)


@pytest.mark.parametrize(
    "source",
    [{"look": 8}, {"export": {"description": "by another hand"}}, {"looker": LOOKER}],
    ids=["look", "export", "looker"],
)
def test_a_manifest_with_another_kind_of_source_or_another_look(source: dict[str, Any]) -> None:
    registry = changed(source={"look": 7})
    memory_registries.build(registry, "pets", images())
    registry.edit(MANIFEST, source=source)
    registry.derive()
    (finding,) = check(registry)
    assert (finding.check, finding.verdict) == ("selection", Verdict.WRONG)
    assert finding.fix == f"registry select {PETS}{' --from FILE' if 'export' in source else ''}"


@pytest.mark.parametrize(
    "columns",
    [COLUMNS | {"label": {"type": "string", "from": "species"}}, dict(reversed(COLUMNS.items()))],
    ids=["from", "order"],
)
def test_a_manifest_with_other_columns_than_its_selection(columns: dict[str, Any]) -> None:
    registry = changed(columns=columns)
    prepared = yaml.safe_load(registry.files[PREPARED])
    manifest = manifests.load_dataset(DictTree(registry.files), names.parse_id(PETS))
    prepared["meta"]["build"]["rule"] = manifests.build_rule(manifest)
    registry.files[PREPARED] = memory_registries.dump(prepared)
    registry.derive()
    assert [finding.check for finding in check(registry)] == ["selection"]


def test_the_same_query_in_other_words_is_the_same_query() -> None:
    registry = changed(source={"looker": {"model": "photos", "view": "images", "filters": {"b": "1", "a": "2"}}})
    memory_registries.build(registry, "pets", images())
    same = {"filters": {"a": "2", "b": "1"}, "view": "images", "model": "photos", "timezone": "UTC"}
    registry.edit(MANIFEST, source={"looker": same})
    registry.derive()
    assert check(registry) == []


@pytest.mark.parametrize(
    "facts",
    [None, {"rows": 20}, {"query": ["a"]}, {"rows": "20"}, {"source_hash": 7}, {"selected_at": "monday"}],
    ids=str,
)
def test_a_selection_without_valid_facts(facts: dict[object, object] | None) -> None:
    registry = changed()
    document = yaml.safe_load(registry.files[RAW])
    if facts is None:
        del document["meta"]
    elif facts == {"rows": 20}:
        document["meta"]["selection"] = facts
    else:
        document["meta"]["selection"] |= facts
    registry.files[RAW] = memory_registries.dump(document)
    registry.derive()
    (finding,) = check(registry)
    assert (finding.check, finding.path, finding.fix) == ("selection", RAW, f"registry select {PETS} --from FILE")
    assert finding.message == "meta.selection is missing, or not in the form that `registry select` writes"


# --- build ------------------------------------------------------------------------------------------------------------


def test_a_build_from_another_selection() -> None:
    registry = changed()
    memory_registries.select(registry, "pets", b"other rows")
    (finding,) = check(registry)
    assert (finding.check, finding.path, finding.fix) == ("build", PREPARED, f"registry build {PETS}")
    assert re.fullmatch(r"built from the selection \w{10}, expected \w{10} \(raw.dvc\)", finding.message)


@pytest.mark.parametrize(
    "changes",
    [{"classes": ["cat", "dog", "fox"]}, {"image": "{uuid}.png"}, {"exclude": {uuid(3): "dark"}}],
    ids=["classes", "image", "exclude"],
)
def test_a_build_by_another_rule(changes: dict[str, Any]) -> None:
    (finding,) = check(changed(**changes))
    assert (finding.check, finding.path, finding.line) == ("build", PREPARED, 10)
    assert finding.message == "built before image, columns, classes, split, exclude or layout changed in dataset.yaml"


def test_a_new_dataset_passes_with_a_note_about_the_next_step() -> None:
    registry = Registry()
    memory_registries.put_dataset(registry)
    registry.derive()
    steps = []
    for path in (PREPARED, RAW):
        del registry.files[path]
        registry.derive()
        outcome = next(one for one in checks.run(registry.gather()) if one.check == "build")
        steps += [(finding.verdict, finding.fix) for finding in outcome.findings]
        assert registry.check() == []
    assert steps == [(Verdict.OK, f"registry build {PETS}"), (Verdict.OK, f"registry select {PETS}")]


@pytest.mark.parametrize(("path", "fix"), [(RAW, f"registry select {PETS}"), (PREPARED, f"registry build {PETS}")])
def test_a_pointer_that_a_release_had_is_missing(path: str, fix: str) -> None:
    registry = changed()
    del registry.files[path]
    registry.derive()
    (finding,) = check(registry)
    assert (finding.check, finding.fix) == ("build", fix)


def test_a_pointer_that_does_not_say_how_it_was_built() -> None:
    registry = changed()
    edit_pointer(registry, PREPARED, "meta", value=None)
    assert [finding.message for finding in check(registry) if finding.check == "build"] == [
        "does not record what it was built from"
    ]


# --- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "value"),
    [(("meta", "build", "images"), 21), (("outs", 0, "nfiles"), 3), (("meta", "build", "counts", "train", "cat"), 9)],
    ids=["images", "nfiles", "counts"],
)
def test_numbers_that_do_not_agree(location: tuple[str, ...], value: int) -> None:
    registry = changed()
    edit_pointer(registry, PREPARED, *location, value=value)
    (finding,) = check(registry)
    assert finding.check == "items"
    assert re.fullmatch(r"images \(\d+\), counts \(\d+\) and nfiles \(\d+ with 3 tables\) disagree", finding.message)


def test_a_list_that_is_not_what_the_pointer_counts() -> None:
    registry = changed(images(11))
    moved = {
        path.replace("train/cat", "train/dog") if uuid(0) in path else path: data for path, data in images(11).items()
    }
    tables = {f"{split}/metadata.parquet": b"" for split in ("train", "val")}
    meta = yaml.safe_load(registry.files[PREPARED])["meta"]
    memory_registries.put_folder(registry, PETS, "prepared", {**moved, **tables, "test/readme.txt": b""}, meta)
    messages = [finding.message for finding in check(registry) if finding.check == "items"]
    assert messages == [
        "prepared has 1 unexpected file: test/readme.txt",
        "counts (21) do not match the list of 21 images",
        "metadata.parquet is in train and val, expected in test, train and val",
    ]


def test_a_list_that_no_store_has_needs_an_owner_but_does_not_stop_a_commit() -> None:
    registry = changed(images(11))
    registry.objects.clear()
    assert check(registry) == []
    finding = next(finding for finding in check(registry, Scope.BASE) if finding.check == "items")
    assert finding.verdict is Verdict.NEEDS_OWNER
    assert finding.message.startswith("could not be verified: ")
    assert "no intact copy" in finding.message
    assert finding.fix == "registry pull datasets/pets"
