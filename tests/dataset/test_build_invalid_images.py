"""`registry build` and images that a version may not contain: named, refused, excluded."""

import io
import os
from collections.abc import Iterator, Sequence

import polars as pl
import pytest
import yaml
from PIL import Image

from registry.dataset import build
from registry.storage.local import Folder
from support.dataset_builds import MANIFEST, PETS, Desk, picture, row, uuid
from support.odd_images import ODD, SOUND, extraneous, photo

# --- invalid images ---------------------------------------------------------------------------------------------------


def spoil(desk: Desk) -> None:
    """One image for each fault."""
    png = io.BytesIO()
    Image.new("RGB", (5, 5)).save(png, "PNG")
    desk.photo(1).unlink()
    desk.put(2, b"")
    desk.put(3, picture(3)[:-20])
    desk.put(4, png.getvalue())
    desk.put(9, picture(6))  # both are cats
    desk.put(8, picture(7))  # a "no" and a dog


FAULTS = {
    1: "missing from the lake",
    2: "empty file",
    3: "truncated: the file ends before its image",
    4: "expected JPEG, found PNG: change its extension",
    7: f"identical to {uuid(8)}, whose label is no instead of dog",
    8: f"identical to {uuid(7)}, whose label is dog instead of no",
    9: f"identical to {uuid(6)}",
}


def test_images_that_cannot_be_used_are_named_and_no_version_is_made(desk: Desk) -> None:
    desk.built()
    before = desk.pointer.read_bytes()
    spoil(desk)
    done = desk.build()
    assert (done.code, done.out) == (1, "")
    _, *said = done.err.splitlines()
    assert said[0] == "error: datasets/pets: 7 of 40 images invalid; prepared.dvc is unchanged"
    assert said[1:-1] == [f"  {uuid(n)} (photos/{uuid(n)}.jpg): {reason}" for n, reason in FAULTS.items()]
    assert said[-1] == (
        "  hint: replace them in the lake, or exclude them: registry build datasets/pets --exclude-faulty"
    )
    assert desk.pointer.read_bytes() == before


def test_faulty_images_are_excluded_on_demand_each_with_its_reason(desk: Desk) -> None:
    spoil(desk)
    out = desk.built("--exclude-faulty")
    manifest = (desk.root / PETS / "dataset.yaml").read_text()
    assert yaml.safe_load(manifest)["exclude"] == {uuid(number): reason for number, reason in FAULTS.items()}
    assert manifest.startswith(MANIFEST.partition("exclude")[0])
    left = {path.split("/")[2].removesuffix(".jpg") for path in desk.files() if path.endswith("jpg")}
    assert left == {uuid(number) for number in range(40)} - {uuid(number) for number in FAULTS}
    assert out.startswith("datasets/pets/dataset.yaml: added 7 faulty images to exclude:, each with its reason\n")
    assert desk.built().startswith("33 images: 33 validated before, 0 validated now")


def test_more_are_added_to_what_is_excluded_already(desk: Desk) -> None:
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(MANIFEST.replace("exclude: {}", f"exclude:\n  {uuid(5)}: blurred  # says Ana"))
    desk.put(5, b"")
    desk.put(6, b"")
    desk.built("--exclude-faulty")
    assert f"  {uuid(5)}: blurred  # says Ana\n  {uuid(6)}: empty file\n" in manifest.read_text()


def test_an_image_that_is_deleted_between_listing_and_copying_is_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Folder.find_many

    def look_and_delete(self: Folder, keys: Sequence[str]) -> pl.DataFrame:
        found = look(self, keys)
        desk.photo(11).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Folder, "find_many", look_and_delete)
    done = desk.build()
    assert done.code == 1
    assert f"{uuid(11)} (photos/{uuid(11)}.jpg): missing" in done.err
    assert not desk.pointer.exists()


def test_what_has_an_images_name_and_is_no_file_is_missing(desk: Desk) -> None:
    for number in range(1, 5):
        desk.photo(number).unlink()
    desk.photo(1).mkdir()
    os.mkfifo(desk.photo(2))
    desk.photo(3).symlink_to("nowhere.jpg")
    desk.photo(4).symlink_to(desk.photo(4).name)
    done = desk.build()
    assert "4 of 40 images invalid" in done.err
    for number in range(1, 5):
        assert f"{uuid(number)} (photos/{uuid(number)}.jpg): missing from the lake" in done.err


def test_an_image_of_too_many_bytes_is_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.image_formats, "MAX_BYTES", 2000)
    desk.put(3, picture(3) + bytes(2000))
    read = Folder.read

    def watched(self: Folder, key: str) -> Iterator[bytes]:
        assert uuid(3) not in key
        return read(self, key)

    monkeypatch.setattr(Folder, "read", watched)
    done = desk.build()
    assert f"photos/{uuid(3)}.jpg): file has {len(picture(3)) + 2000:,} bytes, the limit is 2,000" in done.err


def test_a_thousand_copies_of_one_placeholder_are_told_at_once(desk: Desk) -> None:
    for number in range(1040):
        desk.put(number, picture(0))
    desk.select([row(number, "cat") for number in range(1040)])
    done = desk.build()
    assert "1,039 of 1,040 images" in done.err
    assert "… and 1,029 more" in done.err


# --- harmless oddities ------------------------------------------------------------------------------------------------


def set_lenient(desk: Desk, value: str) -> None:
    (desk.root / PETS / "dataset.yaml").write_text(f"{MANIFEST}images: {{lenient: {value}}}\n")


def test_a_lenient_dataset_accepts_what_a_decoder_warns_of(desk: Desk) -> None:
    desk.put(3, extraneous(photo()))
    desk.put(4, ODD["bytes missing"].data)
    done = desk.build()
    assert f"{uuid(3)} (photos/{uuid(3)}.jpg): damaged (libjpeg: corrupt JPEG data: 4 extraneous bytes" in done.err
    set_lenient(desk, "true")
    assert desk.built().startswith("40 images: 38 validated before, 2 validated now")
    assert desk.built().startswith("40 images: 40 validated before, 0 validated now")
    desk.put(5, ODD["cut"].data)
    assert "1 of 40 images invalid" in desk.build().err


def test_a_dataset_that_is_no_longer_lenient_validates_again(desk: Desk) -> None:
    desk.put(3, extraneous(photo()))
    set_lenient(desk, "true")
    desk.built()
    desk.run("pull", PETS)
    desk.run("check", "--fix")
    assert desk.run("check", "--images").code == 0
    set_lenient(desk, "false")
    checked = desk.run("check", "--images")
    assert checked.code == 1
    assert f"{uuid(3)}.jpg: damaged (libjpeg: corrupt JPEG data: 4 extraneous bytes" in checked.out
    assert "1 of 40 images invalid" in desk.build().err


def test_lenient_decides_what_is_accepted_and_not_what_is_made(desk: Desk) -> None:
    desk.built()
    before = desk.pointer.read_bytes()
    set_lenient(desk, "true")
    desk.built()
    assert desk.pointer.read_bytes() == before


# --- excluded images that are valid by now ----------------------------------------------------------------------------


def test_excluded_images_that_are_valid_by_now_are_told(desk: Desk) -> None:
    spoil(desk)
    desk.built("--exclude-faulty")
    assert "valid now" not in desk.built()
    for number in (1, 3, 8):  # 7 was identical to 8
        desk.put(number)
    lines = desk.built().splitlines()
    named = ", ".join(uuid(number) for number in (1, 3, 7, 8))
    assert lines[1].startswith(
        f"4 excluded images are valid now: {named}; to use them, delete their lines below exclude:"
    )
    manifest = desk.root / PETS / "dataset.yaml"
    kept = [
        line for line in manifest.read_text().splitlines() if not any(uuid(number) in line for number in (1, 3, 7, 8))
    ]
    manifest.write_text("\n".join(kept) + "\n")
    again = desk.built()
    assert again.startswith("37 images: ")
    assert "valid now" not in again


def test_an_image_that_a_person_excluded_is_not_mentioned(desk: Desk) -> None:
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(MANIFEST.replace("exclude: {}", f"exclude:\n  {uuid(5)}: blurred, says Ana"))
    assert "valid now" not in desk.built()


def test_an_excluded_duplicate_stays_excluded_while_the_other_is_there(desk: Desk) -> None:
    desk.put(9, picture(6))
    desk.built("--exclude-faulty")
    assert "valid now" not in desk.built()
    desk.put(9)
    assert "1 excluded image is valid now" in desk.built()


def test_an_image_that_was_excluded_for_its_ending_is_told_once_the_manifest_takes_it(desk: Desk) -> None:
    desk.photo(7).rename(desk.photo(7).with_suffix(".jpeg"))
    desk.built("--exclude-faulty")
    manifest = desk.root / PETS / "dataset.yaml"
    manifest.write_text(manifest.read_text().replace("{uuid}.jpg", "{uuid}.*"))
    assert f"1 excluded image is valid now: {uuid(7)}" in desk.built()


# --- every kind of odd file -------------------------------------------------------------------------------------------


def test_every_kind_of_odd_file_is_refused_with_its_reason_and_the_rest_is_built(desk: Desk) -> None:
    desk.select([row(number, "cat") for number in range(len(ODD) + len(SOUND))])
    (desk.root / PETS / "dataset.yaml").write_text(MANIFEST.replace("{uuid}.jpg", "{uuid}.*"))
    files = list({**ODD, **SOUND}.values())
    for number, file in enumerate(files):
        desk.photo(number).unlink(missing_ok=True)
        path = desk.photo(number).with_suffix(f".{file.ending}")
        path.write_bytes(file.data)
    desk.built("--exclude-faulty")
    reasons = yaml.safe_load((desk.root / PETS / "dataset.yaml").read_text())["exclude"]
    for number, file in enumerate(files):
        reason = reasons.pop(uuid(number), None)
        if file.fault and reason and "identical to" not in reason:
            assert file.fault in reason
        elif file.fault:
            assert reason, file.fault
    assert all("identical to" in reason for reason in reasons.values())
