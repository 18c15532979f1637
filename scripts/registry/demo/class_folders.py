"""The files of a folder with one folder per class: what goes into the lake, what is converted, what is left out.

What could be meant as a picture goes into the lake as it is, even damaged or of a format that a dataset cannot hold:
the registry must find it and say what it is. The others are told, so that no file is lost silently.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from registry.core import item_paths
from registry.errors import Refused

CONVERTED = {".bmp", ".gif", ".tif", ".tiff"}
# What programs put beside pictures. Names that begin with a dot are hidden files, such as .DS_Store and ._photo.jpg.
COMPANIONS = {".aae", ".csv", ".db", ".htm", ".html", ".ini", ".json", ".md", ".tsv", ".txt", ".xml", ".xmp", ".yaml"}
FOLDERS = {"@eaDir", "__MACOSX", "$RECYCLE.BIN"}
MAX_LABEL = 64  # as in the schema


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file for the lake: where it is below the top folder, its label, and the ending of its key there."""

    source: str
    label: str
    extension: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that does not go into the lake, or not as it is, and why."""

    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """All files below the class folders, in the order of their paths."""

    files: tuple[FoundFile, ...]
    left_out: tuple[LeftOut, ...]
    converted: tuple[LeftOut, ...]


def class_folders(top: Path) -> dict[str, Path]:
    """The class folders by label, sorted. Raises Refused where two give the same label."""
    folders = sorted(sub for sub in top.iterdir() if sub.is_dir() and not sub.name.startswith("."))
    found: dict[str, Path] = {}
    for folder in folders:
        label = as_label(folder.name)
        same = next((other for other in found if other.casefold() == label.casefold()), None)
        if same:
            names = f"{found[same].name!r} and {folder.name!r}"
            raise Refused(f"{top}: the folders {names} give the same class {label}", fix="rename one of them")
        found[label] = folder
    return found


def as_label(name: str) -> str:
    """A folder's name as a class: ASCII letters, digits, spaces, _ and -."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in " _-") else "-" for char in name)
    return kept.strip(" -_")[:MAX_LABEL].rstrip() or "class"


def read(folders: dict[str, Path], top: Path) -> Found:
    """Every file below the class folders. Symbolic links to folders are not followed."""
    files, left_out, converted = list[FoundFile](), list[LeftOut](), list[LeftOut]()
    for label, folder in folders.items():
        for path in _walk(folder):
            source = path.relative_to(top).as_posix().encode(errors="backslashreplace").decode()
            if why := _why_left_out(path, folder):
                left_out.append(LeftOut(source, why))
                continue
            try:
                data = path.read_bytes()
            except OSError as error:
                left_out.append(LeftOut(source, (error.strerror or "cannot be read").lower()))
                continue
            suffix = path.suffix.removeprefix(".")
            if path.suffix.lower() in CONVERTED and (jpeg := _convert(data)):
                converted.append(LeftOut(source, f"{suffix.upper()} → JPEG"))
                data = jpeg
            ending = next((name for name in (suffix, suffix.lower()) if name in item_paths.EXTENSIONS), "jpg")
            files.append(FoundFile(source, label, ending, data))
    return Found(tuple(files), tuple(left_out), tuple(converted))


def _walk(folder: Path) -> Iterator[Path]:
    """All that is no folder, sorted; also what cannot be opened."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        links = [name for name in folders if (Path(at) / name).is_symlink()]
        yield from (Path(at) / name for name in sorted([*names, *links]))


def _why_left_out(path: Path, folder: Path) -> str | None:
    parts = path.relative_to(folder).parts
    if any(part.startswith(".") for part in parts):
        return "hidden file"
    if any(part in FOLDERS for part in parts) or path.suffix.lower() in COMPANIONS:
        return "no picture by its name"
    if path.is_symlink() and not path.is_file():
        return "link to a folder, or to nothing"
    return None if path.is_file() else "no regular file"


def _convert(data: bytes) -> bytes | None:
    """A picture that Pillow can read as a JPEG; None for another one, which goes into the lake as it is."""
    try:
        with Image.open(BytesIO(data), formats=("BMP", "GIF", "TIFF")) as picture:
            return as_jpeg(picture.convert("RGB"))
    except Exception:  # noqa: BLE001 - whatever Pillow raises: the registry says what is wrong with the file
        return None


def as_jpeg(picture: Image.Image) -> bytes:
    """The bytes of a picture as JPEG."""
    out = BytesIO()
    picture.save(out, "JPEG", quality=95)
    return out.getvalue()
