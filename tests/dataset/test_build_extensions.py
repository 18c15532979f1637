"""`registry build` of a lake that holds JPEG, PNG and WebP side by side, or that names them otherwise than expected."""

import os
import time
from pathlib import Path

import pytest
from datasets import load_dataset

from support.dataset_builds import MANIFEST, PETS, Desk, uuid
from support.odd_images import photo

ENDINGS = ("jpg", "jpeg", "png", "webp", "JPG", "JPEG", "PNG", "WEBP")
KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


def name_images(desk: Desk, image: str) -> None:
    edited = MANIFEST.replace('"photos/{uuid}.jpg"', f'"{image}"')
    (desk.root / PETS / "dataset.yaml").write_text(edited)


def put(desk: Desk, number: int, ending: str) -> Path:
    """A photo under that ending, of a minute ago."""
    path = desk.lake / "photos" / f"{uuid(number)}.{ending}"
    path.write_bytes(photo(KINDS[ending.lower()], seed=number, size=(31, 27)))
    os.utime(path, (time.time() - 60,) * 2)
    return path


@pytest.fixture
def mixed(desk: Desk) -> Desk:
    """Forty images with eight endings, and a manifest that takes them all."""
    name_images(desk, "photos/{uuid}.*")
    for number in range(40):
        desk.photo(number).unlink()
        put(desk, number, ENDINGS[number % len(ENDINGS)])
    return desk


def test_images_of_all_formats_are_one_dataset(mixed: Desk) -> None:
    assert mixed.built().startswith("40 images: 0 validated before, 40 validated now")
    images = {path for path in mixed.files() if not path.endswith("metadata.parquet")}
    names = {path.rpartition("/")[2] for path in images}
    assert names == {f"{uuid(number)}.{ENDINGS[number % 8].lower()}" for number in range(40)}
    for split in ("train", "val", "test"):
        listed = {f"{split}/{name}" for name in mixed.table(split)["file_name"]}
        assert listed == {path for path in images if path.startswith(f"{split}/")}


def test_the_same_lake_gives_the_same_pointer_and_nothing_is_read_twice(mixed: Desk) -> None:
    mixed.built()
    first = mixed.pointer.read_bytes()
    mixed.pointer.unlink()
    assert mixed.built().startswith("40 images: 40 validated before, 0 validated now")
    assert mixed.pointer.read_bytes() == first


def test_the_checks_accept_it_and_readers_load_it(mixed: Desk, tmp_path: Path) -> None:
    mixed.built()
    assert mixed.run("pull", PETS).code == 0
    assert mixed.run("check", "--fix").code == 0
    assert mixed.run("check", "--images").code == 0
    loaded = load_dataset("imagefolder", data_dir=str(mixed.root / PETS / "prepared"), cache_dir=str(tmp_path / "hf"))
    assert sum(len(part) for part in loaded.values()) == 40
    assert {image.size for part in loaded.values() for image in part["image"]} == {(31, 27)}


def test_an_uuid_with_two_images_is_a_fault_that_names_both(mixed: Desk) -> None:
    put(mixed, 0, "png")
    put(mixed, 3, "jpg")
    done = mixed.build()
    assert done.code == 1
    for number, first, second in ((0, "jpg", "png"), (3, "jpg", "webp")):
        both = " and ".join(f"photos/{uuid(number)}.{ending}" for ending in (first, second))
        assert f"{uuid(number)} ({both}): the lake has {both}, expected one of them" in done.err
    assert "2 UUIDs with several images in the lake" in mixed.built("--dry-run")
    assert not mixed.pointer.exists()


def test_a_second_image_that_appears_later_is_a_fault(mixed: Desk) -> None:
    mixed.built()
    put(mixed, 5, "webp")
    done = mixed.build()
    assert done.code == 1
    assert "1 of 40 images invalid; prepared.dvc is unchanged" in done.err


def test_a_hard_link_under_the_upper_case_ending_is_the_same_image(mixed: Desk) -> None:
    """As a file system shows it that ignores case: one file, found under both names."""
    (mixed.lake / "photos" / f"{uuid(0)}.JPG").hardlink_to(mixed.lake / "photos" / f"{uuid(0)}.jpg")
    mixed.built()


def test_an_image_must_be_what_its_own_ending_says(mixed: Desk) -> None:
    path = mixed.lake / "photos" / f"{uuid(2)}.png"
    path.write_bytes(photo())
    assert f"{uuid(2)} (photos/{path.name}): expected PNG, found JPEG" in mixed.build().err


def test_a_missing_image_is_named_by_the_pattern(mixed: Desk) -> None:
    (mixed.lake / "photos" / f"{uuid(1)}.jpeg").unlink()
    assert f"{uuid(1)} (photos/{uuid(1)}.*): missing from the lake" in mixed.build().err


@pytest.mark.parametrize("ending", ["png", "JPG", "jpeg"])
def test_images_under_other_endings_are_told_and_the_next_step_takes_them(desk: Desk, ending: str) -> None:
    for number in range(3):
        desk.photo(number).unlink()
        put(desk, number, ending)
    done = desk.build()
    assert done.code == 1
    assert f"{uuid(0)} (photos/{uuid(0)}.jpg): missing from the lake, which has photos/{uuid(0)}.{ending}" in done.err
    assert 'hint: set image: "photos/{uuid}.*" in dataset.yaml to use every ending' in done.err
    name_images(desk, "photos/{uuid}.*")
    assert desk.built().startswith("40 images:")


def test_a_lake_of_another_ending_is_told(desk: Desk) -> None:
    for number in range(40):
        desk.photo(number).unlink()
        put(desk, number, "webp")
    done = desk.build()
    assert done.code == 1
    assert (
        f"none of 40 images exists in the lake: {desk.lake}/photos/{uuid(0)}.jpg, but photos/{uuid(0)}.webp does"
        in done.err
    )
    assert 'hint: set image: "photos/{uuid}.*" in dataset.yaml, which takes every ending' in done.err


def test_upper_case_keys_are_lower_case_in_the_version(desk: Desk) -> None:
    name_images(desk, "photos/{uuid}.JPG")
    for number in range(40):
        desk.photo(number).rename(desk.photo(number).with_suffix(".JPG"))
    desk.built()
    assert {path.rpartition(".")[2] for path in desk.files()} == {"jpg", "parquet"}


def test_another_image_key_makes_the_version_outdated(mixed: Desk) -> None:
    mixed.built()
    mixed.run("check", "--fix")
    name_images(mixed, "photos/{uuid}.jpg")
    assert f"registry build {PETS}" in mixed.run("check").out


def test_a_larger_folder_is_listed_instead_of_asked_for_each_ending(
    mixed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    stat = os.stat

    def watched(path: str | Path, *args: object, **options: object) -> os.stat_result:
        asked.append(str(path))
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", watched)
    mixed.built("--dry-run")
    assert sum(str(mixed.lake / "photos") + "/" in path for path in asked) < 3 * 40  # of 8 × 40 names
