"""Which files below a folder are images of a dataset, and their classes and splits, by the names of the folders alone.

Known forms: `<class>/<file>`, `<split>/<class>/<file>`, `<class>/<split>/<file>`, and any folders where a table beside
the images has their labels. A folder is a split where it and all of its neighbours have names of splits.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from unicodedata import combining, normalize

from registry.core import item_paths, schema
from registry.core.wording import abbreviate, plural
from registry.errors import Refused

SPLIT_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # tables of a Hugging Face imagefolder
# What programs put beside images.
COMPANIONS = {".aae", ".csv", ".db", ".htm", ".html", ".ini", ".json", ".md", ".tsv", ".txt", ".xml", ".xmp", ".yaml"}
FOLDERS = {"@eaDir", "__MACOSX", "$RECYCLE.BIN"}
_OTHER_IMAGES = {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".svg", ".tif", ".tiff"}
_MAX_CLASS = 64  # characters, as in the schema
HIDDEN, NO_IMAGE, NO_CLASS = "hidden file", "no image by its name", "in no class folder"
CLASS_FIX = "give both one name: --class '{}={}'"


@dataclass(frozen=True, slots=True)
class Image:
    """A file that is an image by its name; split and label are None where no folder says them."""

    path: str
    split: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not adopted, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Sorted:
    """The files of a source by what they are; `metadata` are the tables beside images."""

    images: tuple[str, ...]
    metadata: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def sort(paths: Sequence[str]) -> Sorted:
    """Sorts files by their names. Raises Refused where none is an image."""
    images, metadata, left_out = list[str](), list[str](), list[LeftOut]()
    for path in sorted(paths):
        if why := _why_left_out(path):
            left_out.append(LeftOut(path, why))
        elif path.rpartition("/")[2] in METADATA:
            metadata.append(path)
        else:
            images.append(path)
    if not images:
        found = f": {abbreviate([f'{one.path} ({one.why})' for one in left_out])}" if left_out else ""
        fault = f"the source has no JPEG, PNG or WebP among {plural(len(paths), 'file')}{found}"
        raise Refused(fault, fix="name the folder with the class folders")
    return Sorted(tuple(images), tuple(metadata), tuple(left_out))


def _why_left_out(path: str) -> str:
    *folders, name = path.split("/")
    suffix = PurePosixPath(name).suffix
    if any(part.startswith(".") for part in (*folders, name)):
        return HIDDEN
    if name in METADATA:
        return ""
    if any(part in FOLDERS for part in folders) or suffix.lower() in COMPANIONS:
        return NO_IMAGE
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in path):
        return "its name is not UTF-8"
    if suffix.lower() in _OTHER_IMAGES:
        return f"{suffix[1:].upper()}: convert it to JPEG, PNG or WebP"
    return "" if suffix.lower().removeprefix(".") in item_paths.EXTENSIONS else NO_IMAGE


# --- folders ----------------------------------------------------------------------------------------------------------


def read(paths: Sequence[str], labelled: Collection[str] = ()) -> tuple[Image, ...]:
    """The splits and class folders of images; those that are `labelled` by a table need no class folder.

    `label` is the folder's name. Raises Refused where classes are at several depths.
    """
    folders = {path: tuple(path.split("/")[:-1]) for path in paths}
    split_at = _find_splits([*folders.values()], bool(labelled))
    images = tuple(_read_one(path, parts, split_at) for path, parts in folders.items())
    deep = [image.path for image in images if image.label and "/" in image.label and image.path not in labelled]
    if deep:
        flat = next((image.path for image in images if image.label and "/" not in image.label), None)
        if flat:
            fault = f"class folders are at several depths: {flat} and {deep[0]}"
            raise Refused(fault, fix="move the images of each class into one folder, or adopt them as several datasets")
        above = next(iter(folders.values()))[0]
        fault = f"{deep[0]}: expected CLASS/FILE, SPLIT/CLASS/FILE or CLASS/SPLIT/FILE"
        raise Refused(fault, fix=f"name the folder that has the classes; it may be {above}/")
    return images


def _find_splits(folders: Sequence[tuple[str, ...]], is_labelled: bool) -> int | None:
    """Which part of the folders is a split: the first or the second; None for no part."""
    inside = [parts for parts in folders if parts]
    if not inside:
        return None
    least = 1 if is_labelled else 2
    if all(parts[0].lower() in SPLIT_NAMES for parts in inside) and any(len(parts) >= least for parts in inside):
        return 0
    return 1 if all(len(parts) == 2 and parts[1].lower() in SPLIT_NAMES for parts in inside) else None


def _read_one(path: str, parts: tuple[str, ...], split_at: int | None) -> Image:
    split = SPLIT_NAMES[parts[split_at].lower()] if split_at is not None and len(parts) > split_at else None
    rest = [part for place, part in enumerate(parts) if place != split_at]
    return Image(path, split, "/".join(rest) or None)


# --- classes ----------------------------------------------------------------------------------------------------------


def name_classes(found: Collection[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """The class of each label that was found: as it was `chosen`, or as near to it as a class may be.

    Raises Refused for a choice that is no class, or for labels that differ only in case.
    """
    if unknown := sorted(chosen.keys() - set(found)):
        fault = f"--class {unknown[0]}: the source has no such class: {abbreviate(sorted(found), 10)}"
        raise Refused(fault, fix="name one of them")
    named = {label: chosen.get(label) or as_class(label) for label in sorted(found)}
    for label, name in chosen.items():
        if not schema.is_valid(name, "class"):
            raise Refused(f"--class {label}={name}: not the name of a class", fix=f"such as {as_class(name)}")
    first: dict[str, str] = {}
    for label, name in named.items():
        other = first.setdefault(name.casefold(), label)
        if other != label and (named[other] != name or not {label, other} & chosen.keys()):
            fault = f"the classes {other!r} and {label!r} differ only in case, or in signs that a class may not have"
            raise Refused(fault, fix=CLASS_FIX.format(label, named[other]))
    return named


def as_class(label: str) -> str:
    """A label as a class of the schema: ASCII letters, digits, spaces and _ . + -, at most 64 of them.

    A letter loses its accents; any other sign becomes a hyphen.
    """
    if schema.is_valid(label, "class"):
        return label
    label = "".join(char for char in normalize("NFKD", label.replace("ß", "ss")) if not combining(char))
    kept = "".join(char if char.isascii() and (char.isalnum() or char in " _.+-") else "-" for char in label)
    name = kept.strip(" -_.+")[:_MAX_CLASS].rstrip(" .") or "class"
    return name if schema.is_valid(name, "class") else f"class {name}"[:_MAX_CLASS].rstrip(" .")


def describe(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """A line for each reason, with the number of files and the first of them."""
    reasons: dict[str, list[str]] = {}
    for one in left_out:
        reasons.setdefault(one.why, []).append(one.path)
    for why, paths in sorted(reasons.items()):
        yield f"not adopted: {plural(len(paths), 'file')}, {why}: {abbreviate(paths)}"
