"""Which files of a folder of class folders go into the lake, and which are told as left out."""

import os
from pathlib import Path

import pytest

from registry.demo import class_folders, pictures
from registry.errors import Refused
from support import odd_folders
from support.odd_images import ODD, SOUND, photo


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    odd_folders.make(tmp_path / "top")
    return tmp_path / "top"


def test_no_file_is_lost_silently(odd: Path) -> None:
    found = class_folders.read(class_folders.class_folders(odd), odd)
    everything = {
        (Path(at) / name).relative_to(odd).as_posix().encode(errors="backslashreplace").decode()
        for at, folders, names in os.walk(odd)
        for name in [*names, *(sub for sub in folders if (Path(at) / sub).is_symlink())]
    }
    told = [*(file.source for file in found.files), *(file.source for file in found.left_out)]
    assert sorted(told) == sorted(everything)


def test_what_is_no_picture_by_its_name_is_left_out_with_the_reason(odd: Path) -> None:
    found = class_folders.read(class_folders.class_folders(odd), odd)
    why = {file.source.removeprefix("cat/"): file.why for file in found.left_out}
    assert why == {
        ".DS_Store": "hidden file",
        "._0.jpg": "hidden file",
        ".hidden.jpg": "hidden file",
        ".thumbnails/0.jpg": "hidden file",
        "Thumbs.db": "no picture by its name",
        "notes.txt": "no picture by its name",
        "0.xmp": "no picture by its name",
        "labels.csv": "no picture by its name",
        "__MACOSX/0.jpg": "no picture by its name",
        "pipe.jpg": "no regular file",
        "broken link.jpg": "link to a folder, or to nothing",
        "loop.jpg": "link to a folder, or to nothing",
        "link to a folder": "link to a folder, or to nothing",
    }
    assert [(file.source, file.why) for file in found.converted] == [("cat/bitmap.bmp", "BMP → JPEG")]


def test_files_keep_their_bytes_and_the_endings_that_a_lake_has(odd: Path) -> None:
    album = pictures.folder(odd)
    by_source = {picture.source: picture for picture in album.pictures}
    for name, file in {**ODD, **SOUND}.items():
        picture = by_source[f"cat/{name.replace('.', ' ')}.{file.ending}"]
        assert (picture.data, picture.extension) == (file.data, file.ending)
    for name, ending in (("UPPER.JPG", "JPG"), ("mixed.Jpg", "jpg"), ("no ending", "jpg"), ("sub/folder/0.jpg", "jpg")):
        assert by_source[f"cat/{name}"].extension == ending
    assert album.image == "{uuid}.*"
    assert len({picture.uuid for picture in album.pictures}) == len(album.pictures)


def test_a_file_that_cannot_be_read_is_told(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, to whom no file is closed."""
    read = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self.name == "0.jpg":
            raise PermissionError(13, "Permission denied", str(self))
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = class_folders.read(class_folders.class_folders(odd), odd)
    assert ("cat/0.jpg", "permission denied") in {(file.source, file.why) for file in found.left_out}


@pytest.mark.parametrize("names", [("Cat", "cat"), ("größe", "gräße"), ("a" * 70, "a" * 71), ("x\n", "x ")])
def test_two_folders_of_one_class_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    with pytest.raises(Refused, match="give the same class"):
        class_folders.class_folders(tmp_path)


def test_pictures_of_one_format_have_a_fixed_ending(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(pictures.FEWEST):
            (tmp_path / label / f"{number}.jpg").write_bytes(photo(seed=number))
    assert pictures.folder(tmp_path).image == "{uuid}.jpg"
