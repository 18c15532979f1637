import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from registry.demo import pictures
from registry.errors import NotFound, Refused


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    for label in ("Cat", "guinea pig"):
        (tmp_path / label).mkdir()
        for number in range(pictures.FEWEST):
            Image.new("RGB", (40 + number, 30), (number * 5, 90, 20)).save(tmp_path / label / f"{number}.jpg")
    Image.new("RGBA", (9, 9)).save(tmp_path / "Cat" / "alpha.png")
    (tmp_path / "Cat" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (tmp_path / "Cat" / "notes.txt").write_text("not counted")
    return tmp_path


def test_a_folder_of_class_folders_becomes_an_album(class_folders: Path) -> None:
    album = pictures.folder(class_folders)
    assert (album.name, album.classes) == ("cat_guineapig", ("Cat", "guinea pig"))
    assert len(album.pictures) == 2 * pictures.FEWEST + 2
    assert pictures.folder(class_folders) == album
    assert album.image == "{uuid}.*"
    assert [picture.key[-4:] for picture in album.pictures if picture.data[:2] != b"\xff\xd8"] == [".png"]
    assert b"\xff\xd8 not a picture" in {picture.data for picture in album.pictures}


def test_too_few_pictures_are_refused_with_the_counts(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(Refused, match="has cat: 0"):
        pictures.folder(tmp_path)
    with pytest.raises(NotFound, match="is not a folder"):
        pictures.folder(tmp_path / "nowhere")


def test_pictures_that_leave_a_split_empty_are_refused_before_anything_is_made(
    class_folders: Path, tmp_path: Path
) -> None:
    album = pictures.folder(class_folders)
    with pytest.raises(Refused, match=r"too few for its splits: Cat: 0 in val.*expected at least 5 in train, 1 in"):
        pictures.require_filled_splits(album)
    many = pictures.handwriting(Path(sys.prefix) / "handwriting")
    pictures.require_filled_splits(many)
    with pytest.raises(Refused, match="hint: name a folder with more pictures"):
        pictures.require_filled_splits(replace(many, pictures=many.pictures[:200]))


def test_handwriting_is_real_balanced_and_the_same_every_time() -> None:
    album = pictures.handwriting(Path(sys.prefix) / "handwriting")
    assert len(album.pictures) == pictures.HANDWRITING
    counts = {label: sum(picture.label == label for picture in album.pictures) for label in album.classes}
    assert set(counts.values()) == {pictures.HANDWRITING // 10}
    assert min(sum(p.label == label for p in album.pictures[:1000]) for label in album.classes) > 50
    assert album.pictures[0].uuid == "13502ae9-5414-50ab-b367-40f5b6f8b119"


def test_an_export_is_what_looker_downloads(class_folders: Path, tmp_path: Path) -> None:
    album = pictures.folder(class_folders)
    first = album.pictures[0]
    pictures.export(album.pictures[:2], {first.uuid: "wrong"}, tmp_path / "x" / "export.csv")
    rows = list(csv.reader((tmp_path / "x" / "export.csv").open()))
    assert rows[0] == ["images.uuid", "images.label", "images.camera", "images.captured_at"]
    assert rows[1][:2] == [first.uuid, "wrong"]
