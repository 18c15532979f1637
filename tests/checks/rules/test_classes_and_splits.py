"""Classes, expectations and splits of a dataset that changed: what is missing, too few or moved."""

from typing import Any

import pytest

from registry.core.values import Verdict
from support import memory_registries
from support.changed_datasets import MANIFEST, PETS, changed, check
from support.memory_registries import images, uuid

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
