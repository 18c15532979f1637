"""The folders in which a dataset's version is tracked: one, or one for each split and prefix of a hash of the UUID.

A part is named by its folder below `prepared`: `""` where one folder has all, or `train/0a`. The prefix is the first
digits of the MD5 of the UUID's text, as UUIDs themselves need not be evenly distributed: an image keeps its prefix for
good, and one that is added changes one list of files.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import md5

from registry.core.layout import SPLITS
from registry.core.tree import under
from registry.core.values import ArtifactId, Output

PREPARED = "prepared"
DIGITS = {16: 1, 256: 2}  # hexadecimal digits of a prefix, by the folders of a split
FOLDER = r"[0-9a-f]{1,2}"
FILE_OF_PART = rf"^(.*/{PREPARED})/(?:{'|'.join(SPLITS)})/{FOLDER}(?:/|$)"  # a path from the root; for Polars, too
_PART = re.compile(rf"(?:{'|'.join(SPLITS)})/{FOLDER}")

Parts = Mapping[str, str]  # part → the MD5 of its list of files (a `.dir` object)


def of(objects: Mapping[str, str]) -> Parts:
    """The parts among the objects of a dataset (`Content.objects`), sorted."""
    found = {path: md5 for path, md5 in sorted(objects.items()) if under(path, PREPARED)}
    return {path.removeprefix(PREPARED).removeprefix("/"): md5 for path, md5 in found.items()}


def of_outputs(outputs: Iterable[Output]) -> Parts:
    """The parts that the outputs of a dataset's `prepared.dvc` are."""
    return {name_of(output.path): output.md5 for output in outputs}


def groups(parts: Parts) -> Mapping[str, Parts]:
    """The parts of each prefix, of all splits: an image that moves to another split stays among them."""
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        found.setdefault(part.rpartition("/")[2], {})[part] = parts[part]
    return dict(sorted(found.items()))


def aligned(old: Parts, new: Parts) -> Iterator[tuple[Parts, Parts]]:
    """Both versions prefix by prefix, so that no image of one is in another pair; all at once if layouts differ."""
    before, after = groups(old), groups(new)
    if len({len(prefix) for prefix in (*before, *after)}) > 1:
        yield old, new
        return
    for prefix in sorted({*before, *after}):
        yield before.get(prefix, {}), after.get(prefix, {})


def path(dataset: ArtifactId, part: str) -> str:
    """The folder of a part, from the registry's root."""
    return f"{dataset}/{PREPARED}/{part}".removesuffix("/")


def name_of(path: str) -> str:
    """The part that an output of a dataset is, by its path from the registry's root; `""` for one folder of all."""
    return path.rpartition(f"/{PREPARED}/")[2] if is_part(path) else ""


def folder_of(path: str) -> str:
    """The folder that is in the working tree whole or not at all: that of all parts for one of them, or the output."""
    return f"{path.rpartition(f'/{PREPARED}/')[0]}/{PREPARED}" if is_part(path) else path


def is_part(path: str) -> bool:
    """Whether an output is one of several folders of a version, by its path from the registry's root."""
    return bool(re.search(rf"/{PREPARED}/{_PART.pattern}$", path))


def prefix(uuid: str, digits: int) -> str:
    """The folder of an image in its split."""
    return md5(uuid.encode(), usedforsecurity=False).hexdigest()[:digits]


def find_fault(names: Sequence[str]) -> str:
    """What is wrong with the names of several parts, as a pointer lists them; empty where nothing is."""
    if odd := [name for name in names if not _PART.fullmatch(name)]:
        return f"points to {PREPARED}/{odd[0]}, expected {PREPARED}, or folders such as {PREPARED}/train/0a"
    if len({len(name.rpartition("/")[2]) for name in names}) > 1:
        return "its folders are named by prefixes of several lengths"
    return "" if list(names) == sorted(set(names)) else "its folders are not sorted, or one is listed twice"
