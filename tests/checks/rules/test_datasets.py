import re
from typing import Any

import pytest
import yaml

from registry.checks import runner as checks
from registry.checks.context import Scope
from registry.core import manifests, names
from registry.core.tree import DictTree
from registry.core.values import Finding, Verdict
from support import memory_registries
from support.memory_registries import Registry, images, uuid

PETS = "datasets/pets"
MANIFEST, RAW, PREPARED = f"{PETS}/dataset.yaml", f"{PETS}/raw.dvc", f"{PETS}/prepared.dvc"
CHANGED = {MANIFEST, RAW, PREPARED}


def changed(pictures: dict[str, bytes] | None = None, **changes: Any) -> Registry:
    """A sound registry whose dataset moved to 2.0.0 with these images and keys."""
    registry = memory_registries.sound()
    registry.edit(MANIFEST, **{"version": "2.0.0", **changes})
    if pictures is not None:
        memory_registries.build(registry, "pets", pictures)
    registry.derive()
    return registry


def check(registry: Registry, scope: Scope = Scope.STAGED) -> list[Finding]:
    return registry.check(scope, CHANGED)


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
    assert (finding.check, finding.message) == ("pointers", f"does not point to the folder {PETS}/prepared")


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
    assert finding.message == "built before image, columns, classes, split or exclude changed in dataset.yaml"


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


# --- classes and expectations -----------------------------------------------------------------------------------------


def test_a_class_that_the_manifest_does_not_name() -> None:
    (finding,) = check(changed(images() | {f"train/fox/{uuid(77)}.jpg": b"fox"}))
    assert (finding.check, finding.path, finding.line) == ("classes", MANIFEST, 18)
    assert finding.message == "images have labels that are not in classes: fox"


def test_a_class_without_an_image_needs_an_owner() -> None:
    (finding,) = check(changed(images(), classes=["cat", "dog", "fox"]))
    assert (finding.check, finding.verdict, finding.message) == (
        "classes",
        Verdict.NEEDS_OWNER,
        "1 class has no images: fox",
    )


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"min_images": 21}, "20 images, expected at least 21 (min_images)"),
        ({"max_images": 19}, "20 images, expected at most 19 (max_images)"),
        ({"min_per_class": 11}, "cat has 10, dog has 10, expected at least 11 images per class (min_per_class)"),
        ({"max_class_share": 0.49}, "cat has 50.0% of the images, expected at most 0.49 (max_class_share)"),
        ({"min_images": 20, "max_images": 20, "min_per_class": 10, "max_class_share": 0.5}, None),
        ({"max_class_share": 1, "min_images": 0, "min_per_class": 0}, None),
    ],
    ids=["min", "max", "class", "share", "met", "loose"],
)  # fmt: skip
def test_expectations(expected: dict[str, float], message: str | None) -> None:
    found = check(changed(expectations=expected))
    assert [(finding.check, finding.line, finding.message) for finding in found] == (
        [("expectations", 28, message)] if message else []
    )


def test_a_class_without_an_image_has_too_few() -> None:
    found = check(changed(images(), classes=["cat", "dog", "fox"], expectations={"min_per_class": 1}))
    assert [finding.message for finding in found if finding.check == "expectations"] == [
        "fox has 0, expected at least 1 images per class (min_per_class)"
    ]


def test_expectations_of_a_dataset_without_images() -> None:
    found = check(changed({}, expectations={"max_class_share": 0.5, "min_images": 1}))
    assert [finding.message for finding in found if finding.check == "expectations"] == [
        "0 images, expected at least 1 (min_images)"
    ]


def test_too_many_rows_without_a_value(tmp_path) -> None:
    import polars as pl

    columns = {"uuid": {"type": "uuid"}, "label": {"type": "string"}, "camera": {"type": "string", "nullable": True}}
    registry = changed(images(), columns=columns, expectations={"max_null_share": {"camera": 0.5}})
    pl.DataFrame({"camera": ["a", None, None]}).write_parquet(tmp_path / "x")
    memory_registries.put_folder(registry, PETS, "raw", {"selection.parquet": (tmp_path / "x").read_bytes()}, {})
    messages = [finding.message for finding in check(registry) if finding.check == "expectations"]
    assert messages == ["66.7% of the rows have no camera, expected at most 0.5 (max_null_share)"]


# --- splits -----------------------------------------------------------------------------------------------------------


def test_an_image_that_moved_although_the_rule_is_the_same() -> None:
    moved = {
        path.replace("train/cat", "test/cat") if uuid(0) in path else path: data for path, data in images().items()
    }
    finding = next(finding for finding in check(changed(moved)) if finding.check == "splits")
    assert finding.message == "1 image moved to another split, but the split rule did not change"
    split = {"salt": "other", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}}
    assert check(changed(moved, split=split)) == []


def test_an_image_in_two_places() -> None:
    finding = next(one for one in check(changed(images() | {f"test/dog/{uuid(0)}.jpg": b"x"})) if one.check == "splits")
    assert finding.message == f"1 image listed more than once: {uuid(0)} is in train/cat and test/dog"


# --- coverage ---------------------------------------------------------------------------------------------------------


def only(**counts: int) -> dict[str, bytes]:
    """So many images of each class; `test_dog=0` leaves out the dogs of test."""
    kept = images(20, 20)
    return {
        path: data
        for path, data in kept.items()
        if "_".join(path.split("/")[:2]) not in counts and path.split("/")[0] not in counts
    }


@pytest.mark.parametrize(
    ("split", "verdict"), [("train", Verdict.WRONG), ("test", Verdict.WRONG), ("val", Verdict.NEEDS_OWNER)]
)
def test_a_split_without_an_image(split: str, verdict: Verdict) -> None:
    found = [one for one in check(changed(only(**{split: 0}))) if one.check == "coverage"]
    share = {"train": "0.8", "val": "0.1", "test": "0.1"}[split]
    assert [(one.verdict, one.message, one.path) for one in found] == [
        (verdict, f"{split} has no image, although its share in split.ratios is {share}", MANIFEST)
    ]
    assert f"set expectations.splits.{split}.min_images: 0" in found[0].fix


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_class_without_an_image_in_a_split(split: str) -> None:
    left = 20 - len([path for path in images(20, 20) if path.startswith(f"{split}/dog/")])
    found = [one for one in check(changed(only(**{f"{split}_dog": 0}))) if one.check == "coverage"]
    assert [(one.verdict, one.message) for one in found] == [
        (Verdict.NEEDS_OWNER, f"{split} has no image of dog (0 of {left})")
    ]


def test_a_test_split_without_a_share() -> None:
    split = {"salt": "pets", "ratios": {"train": 0.9, "val": 0.1, "test": 0.0}}
    found = [one for one in check(changed(only(test=0), split=split)) if one.check == "coverage"]
    assert [(one.verdict, one.message) for one in found] == [
        (Verdict.NEEDS_OWNER, "test has no image: its share in split.ratios is 0")
    ]
    split = {"salt": "pets", "ratios": {"train": 0, "val": 0, "test": 1}}
    assert [one for one in check(changed(only(train=0, val=0), split=split)) if one.check == "coverage"] == []


@pytest.mark.parametrize(
    ("pictures", "limits", "messages"),
    [
        (only(test=0), {"test": {"min_images": 0}}, []),
        (only(test_dog=0), {"test": {"min_per_class": 0}}, []),
        (only(val_dog=0, test_dog=0), {split: {"min_per_class": 0} for split in ("val", "test")}, []),
        (images(20, 20), {"test": {"min_images": 50}},
         ["test has 4 images, expected at least 50 (splits.test.min_images)"]),
        (images(20, 20), {"test": {"min_images": 4, "min_per_class": 2}, "val": {"min_images": 4}}, []),
        (only(test_dog=0), {"test": {"min_per_class": 5}},
         ["in test, cat has 2, dog has 0, expected at least 5 images per class (splits.test.min_per_class)"]),
        (only(test=0), {"test": {"min_images": 1}},
         ["test has 0 images, expected at least 1 (splits.test.min_images)"]),
    ],
)  # fmt: skip
def test_expectations_of_splits(pictures: dict[str, bytes], limits: dict[str, Any], messages: list[str]) -> None:
    found = check(changed(pictures, expectations={"splits": limits}))
    assert [one.message for one in found if one.check in {"coverage", "expectations"}] == messages
    assert {one.verdict for one in found if one.check == "expectations"} <= {Verdict.WRONG}
