"""`registry build` and images that a version may not contain: named, refused, excluded."""

import io
from collections.abc import Iterator, Sequence

import polars as pl
import pytest
import yaml
from PIL import Image

from registry.dataset import build
from registry.storage.local import Folder
from support.dataset_builds import MANIFEST, PETS, Desk, picture, row, uuid

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
    4: "expected JPEG, found PNG",
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
