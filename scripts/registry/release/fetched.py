"""Whether files that were fetched from a release, by whatever tool, are those of the release.

The proof goes from the tag to the pointers in its commit, from the MD5 in a pointer to the list of files (the `.dir`
object, wherever a copy of it comes from), and from each MD5 in that list to a file. DVC itself takes what it gets:
`dvc get`, `import`, `update`, `artifacts get` and `dvc.api` verify no object (3.67; tests/contracts/test_doors.py).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from polars import DataFrame

from registry.core import artifact_files, digests, documents, erasures, layout, parts
from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.core.tree import Tree
from registry.core.values import Output, Tag
from registry.core.wording import plural
from registry.errors import NotFound, Refused
from registry.storage.proofs import hash_files
from registry.sync import dir_listing, inventory


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not the release's, and what it is instead: `is empty`, `has the content of val/dog/….jpg`."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How files differ from those at `place`, a path of the release; all paths are relative to it.

    `hidden` are files that the release does not have and that readers of datasets skip: their names begin with a dot.
    `erased` is how many are not there because they were erased since.
    """

    place: str
    intact: int
    changed: tuple[Difference, ...] = ()
    missing: tuple[Difference, ...] = ()
    unexpected: tuple[Difference, ...] = ()
    hidden: tuple[str, ...] = ()
    erased: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether every file is there as released, and no other that a reader would take for data."""
        return not (self.changed or self.missing or self.unexpected)

    def __str__(self) -> str:
        kinds = {"changed": self.changed, "missing": self.missing, "unexpected": self.unexpected}
        counts = [f"{len(files):,} {name}" for name, files in kinds.items() if files]
        hidden = f" ({plural(len(self.hidden), 'hidden file')} beside them)" if self.hidden else ""
        intact = f"{plural(self.intact, 'file')} intact"
        erased = [f"{self.erased:,} erased"] * (self.erased > 0)
        return f"{self.place}: {', '.join([intact, *counts, *erased])}{hidden}"

    def problems(self) -> tuple[str, ...]:
        """A line for each file that differs."""
        return tuple(str(file) for file in (*self.changed, *self.missing, *self.unexpected))


def find_data(path: Path) -> Path:
    """Where the files are: a `.dvc` file, as `dvc import` makes it, stands for its output. Raises InvalidDocument."""
    if path.suffix == ".dvc" and path.is_file():
        first = str(documents.read_yaml(path.read_bytes(), path.name).data["outs"][0]["path"])
        return path.parent / (parts.PREPARED if parts.is_part(f"/{first}") else first)
    return path


def read(path: Path) -> dict[str, str]:
    """The MD5 of each file below a folder by its relative path, or of one file by its name; empty for a linked folder.

    Raises NotFound.
    """
    if path.is_file():
        return {path.name: hash_files([str(path)])[str(path)]}
    if not path.is_dir():
        raise NotFound(f"{path} does not exist", fix="name what was fetched: a folder, a file or a .dvc file")
    files, found = dict[str, str](), dict[str, str]()
    for folder, folders, names in os.walk(path):
        for name in (*names, *folders):
            full = Path(folder, name)
            if full.is_file():
                files[str(full)] = full.relative_to(path).as_posix()
            elif name in names or full.is_symlink():
                found[full.relative_to(path).as_posix()] = ""
    return found | {files[full]: md5 for full, md5 in hash_files(list(files)).items()}


def find_version(found: Mapping[str, str], others: Iterable[tuple[Tag, Tree]]) -> Tag | None:
    """The one of other versions of which these files are a complete and unchanged output. Raises InvalidDocument."""
    whole = _md5_of(found)
    return next((tag for tag, tree in others if whole in _wholes(tree, tag)), None)


def compare(
    found: Mapping[str, str], tree: Tree, tag: Tag, read_object: Reader, erased: Erased = erasures.NOTHING
) -> Comparison:
    """Compare files (`read`) with what the release has at the place that their names fit best.

    `read_object` reads lists of files; the one of a complete and unchanged output is not needed. Raises NotFound where
    a list that is needed is nowhere, and InvalidDocument. What was `erased` need not be there.
    """
    outputs = inventory.outputs(tree, tag.artifact)
    if path := _wholes(tree, tag).get(_md5_of(found)):
        return Comparison(path, len(found))
    data = dict(_list_data(tag, outputs, read_object))
    tracked = {entry.path: digests.md5(tree.read(entry.path)) for entry in tree.list(str(tag.artifact))}
    released = tracked | data
    place = _find_place(found, released) or layout.product_path(tag.artifact)
    if place in released:
        return _compare_file(found, place, released)
    start = f"{place}/"
    expected = {path.removeprefix(start): md5 for path, md5 in released.items() if path.startswith(start)}
    data_here = {path.removeprefix(start) for path in data if path.startswith(start)}
    objects = set(erased.find_objects(expected[path] for path in data_here))
    gone = {path for path in data_here if expected[path] in objects}
    result = _compare(found, place, expected, data_here - gone)
    return replace(result, erased=len(gone - found.keys()))


def _wholes(tree: Tree, tag: Tag) -> Mapping[str, str]:
    """The path of each complete output by its md5; the folder of several outputs, too. Raises InvalidDocument."""
    paths = {out.md5: out.path for out in reversed(inventory.outputs(tree, tag.artifact))}
    files, pointer = artifact_files.list_files(tree), layout.prepared_pointer(tag.artifact)
    prepared = artifact_files.read_pointer(files, pointer).value if pointer in files.entries else None
    return paths | ({prepared.md5: layout.product_path(tag.artifact)} if prepared and prepared.md5 else {})


def _md5_of(found: Mapping[str, str]) -> str:
    """The MD5 that a folder of these files has as an output; empty for names that DVC would escape."""
    try:
        return dir_listing.md5_of(dir_listing.write(DataFrame([[*found.values()], [*found]], dir_listing.SCHEMA)))
    except Refused:
        return ""


def _list_data(tag: Tag, outputs: tuple[Output, ...], read_object: Reader) -> Iterator[tuple[str, str]]:
    """Every file of the outputs, by its path from the registry's root."""
    for out in outputs:
        if not out.is_dir:
            yield out.path, out.md5
            continue
        listing = read_object(out.md5)
        if listing is None:
            fault = f"{out.path} at {tag}: its list of files ({out.md5}) could not be read from a cache or the storage"
            raise NotFound(
                fault, fix="get read access to the registry's storage, or fetch the whole folder, which needs none"
            )
        for md5, relpath in dir_listing.read(listing, out.md5).select("md5", "relpath").iter_rows():
            yield f"{out.path}/{relpath}", md5


def _find_place(found: Mapping[str, str], released: Mapping[str, str]) -> str:
    """The folder of the release that has most of these names; for one file alone, the file. Empty where none has."""
    by_name = defaultdict(list)
    for path in released:
        by_name[path.rpartition("/")[2]].append(path)
    votes = Counter(
        path[: -len(name) - 1]
        for name in found
        for path in by_name.get(name.rpartition("/")[2], ())
        if path.endswith(f"/{name}")
    )
    if len(found) == 1:
        [(name, md5)] = found.items()
        # By its name; a file of another name (`dvc get -o`) by its content.
        named = by_name.get(name) or list(released)
        return next((path for path in named if released[path] == md5), by_name[name][0] if by_name.get(name) else "")
    return max(votes, key=lambda place: (votes[place], -len(place)), default="")


def _compare_file(found: Mapping[str, str], place: str, released: Mapping[str, str]) -> Comparison:
    [(name, md5)] = found.items()
    if md5 == released[place]:
        return Comparison(place, 1)
    return Comparison(place, 0, changed=(Difference(name, _describe(md5, _by_content(released))),))


def _compare(
    found: Mapping[str, str], place: str, expected: Mapping[str, str], required: AbstractSet[str]
) -> Comparison:
    """Compare with the files that may be there; those that are not `required`, which Git has, need not be."""
    contents = _by_content(expected)
    places = {md5: path for path, md5 in found.items() if path not in expected}
    changed = sorted(path for path, md5 in found.items() if path in expected and md5 != expected[path])
    others = sorted(path for path in found if path not in expected)
    hidden = [path for path in others if any(part.startswith(".") for part in path.split("/"))]
    moved = {path: f" (its content is in {places[md5]})" for path, md5 in expected.items() if md5 in places}
    return Comparison(
        place,
        len(found) - len(changed) - len(others),
        tuple(Difference(path, _describe(found[path], contents)) for path in changed),
        tuple(Difference(path, f"is missing{moved.get(path, '')}") for path in sorted(required - found.keys())),
        tuple(Difference(path, "is not in the release") for path in others if path not in hidden),
        tuple(hidden),
    )


def _by_content(files: Mapping[str, str]) -> Mapping[str, str]:
    """The first path of each MD5."""
    return {md5: path for path, md5 in sorted(files.items(), reverse=True)}


def _describe(md5: str, contents: Mapping[str, str]) -> str:
    """What a file is that has another MD5 than its path has in the release."""
    if not md5:
        return "is no file: a link to nothing, or a device"
    if md5 == digests.EMPTY:
        return "is empty"
    return f"has the content of {contents[md5]}" if md5 in contents else digests.CHECKSUM_MISMATCH
