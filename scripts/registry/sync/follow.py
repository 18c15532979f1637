"""Brings the data of a working tree in line with its pointers, after a command of Git changed them.

What changed comes from `PointerState`, not from what Git tells a hook: so it does not matter which command it was, and
what an interrupt left half done is completed. Nothing is downloaded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from registry.core import layout, parts
from registry.core.progress import Progress
from registry.core.values import Kind, Output
from registry.errors import InvalidDocument, RegistryError
from registry.integrations import git, git_history
from registry.integrations.git_trees import WorkTree
from registry.integrations.pointer_state import Pointers
from registry.storage.cache import Cache, DamagedObject
from registry.sync import checkout, clearing, inventory
from registry.sync.checkout import Placement
from registry.sync.inventory import Reached

_POINTERS = ("raw.dvc", "prepared.dvc", "model.onnx.dvc", "model.onnx.data.dvc", "dvc.lock")
_PRODUCTS = {Kind.DATASET: ("prepared",), Kind.MODEL: ("model.onnx", "model.safetensors", "predictions.parquet")}


@dataclass(frozen=True, slots=True)
class Kept:
    """Files at the output `path`, which no pointer of this commit has: a person's own, or not in the cache."""

    path: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """What could not be brought in line.

    `absent` are outputs that the cache lacks and that are not here, `stale` those where another version is, `kept` what
    other commits left, `damaged` objects of the cache that are needed, and `failed` the reasons why an artifact's data
    was not touched. `lacking` has the MD5s, as far as they are known, of the files of what is absent or stale.
    """

    absent: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    damaged: tuple[DamagedObject, ...] = ()
    failed: tuple[RegistryError, ...] = ()
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: outputs to link, and for each output that no pointer has any more the versions that it may be.

    `failed` are pointers that cannot be read.
    """

    link: tuple[Placement, ...]
    clear: Mapping[str, tuple[Placement, ...]]
    failed: tuple[RegistryError, ...] = ()

    @property
    def files(self) -> int:
        """How many files are to be linked at most."""
        return sum(len(one.files or ()) for one in self.link)


def plan(root: Path, cache: Cache, found: Pointers) -> Plan:
    """What the data lacks to be what the pointers say that changed."""
    tree, link, failed, claimed = WorkTree(root), list[Placement](), list[RegistryError](), set[str]()
    seen = dict(found.seen)
    for path in found.now:
        try:
            claimed.update(parts.folder_of(out.path) for out in _read_all(tree, path))
            link += _place(path, inventory.read_outputs(tree, path), cache) if path in found.changed else ()
        except RegistryError as error:
            seen.pop(path, None)  # what it stood for before may be its output still
            failed += [error] if path in found.changed else []
    gone = _find_gone(root, seen, claimed)
    return Plan(tuple(link), {path: _versions(outs, cache) for path, outs in gone.items()}, tuple(failed))


def all_of(root: Path, found: Pointers) -> Pointers:
    """The same, as if all pointers had changed, and with pointers of other commits for data that has none here."""
    seen = dict(found.seen)
    for folder in (path for kind in Kind for path in sorted((root / kind.folder).glob("*"))):
        for name in _POINTERS:
            path = folder.relative_to(root).joinpath(name).as_posix()
            if path not in found.now and (name == "dvc.lock" or folder.joinpath(name).with_suffix("").exists()):
                seen[path] = seen.get(path, frozenset()) | git_history.past_blobs(root, path)
    return Pointers(found.now, found.now, seen)


def _read_all(tree: WorkTree, path: str) -> tuple[Output, ...]:
    """The outputs of a pointer, those that Git keeps included."""
    return inventory.parse_outputs(tree.read(path), path).outs if inventory.is_pointer(path) else ()


def find_other(root: Path, cache: Cache, found: Pointers) -> tuple[str, ...]:
    """The outputs that are here and not what the pointers say that changed since, or have no pointer here.

    What is not here at all is not named. Nothing is changed, but for the record of what was read. Raises
    InvalidDocument and StorageFailed.
    """
    todo = plan(root, cache, found)
    differing = (one.path for one in todo.link if (root / one.path).exists() and not _is_linked(root, cache, one))
    return tuple(sorted({*differing, *todo.clear, *_find_without_pointer(root)}))


def _find_without_pointer(root: Path) -> Iterator[str]:
    """Folders of datasets that have files and no pointer: a dataset that was never committed, and is stashed."""
    for pattern in ("datasets/*/raw", "datasets/*/prepared"):
        for folder in root.glob(pattern):
            if not folder.with_name(f"{folder.name}.dvc").exists() and any(folder.rglob("*.*")):
                yield folder.relative_to(root).as_posix()


def _is_linked(root: Path, cache: Cache, wanted: Placement) -> bool:
    """Whether the files at an output are those of a version; files that were not read since are read."""
    top = root / wanted.path
    files = [path for path in (top.rglob("*") if top.is_dir() else [top]) if not path.is_dir()]
    here = {str(path): path.stat() for path in files if path.is_file()}
    if wanted.files is None or {str(root / path) for path in wanted.files} != here.keys() or len(files) > len(here):
        return False
    md5s = cache.proofs.hash(here).md5s
    return all(md5s[str(root / path)] == md5 for path, md5 in wanted.files.items())


def _place(pointer: str, outputs: Iterable[Output], cache: Cache) -> Iterator[Placement]:
    groups: dict[str, list[Output]] = {}
    for out in outputs:
        groups.setdefault(parts.folder_of(out.path), []).append(out)
    if owner := layout.owner_of(pointer):
        for path, group in groups.items():
            found = inventory.expand([Reached(owner, out) for out in group], [cache])
            yield inventory.placement(group, path, found)


def _versions(outputs: Sequence[Output], cache: Cache) -> tuple[Placement, ...]:
    found = list[Placement]()
    for out in outputs:
        with suppress(RegistryError):  # a damaged list of files: what is there is kept
            found += _place(out.path, [out], cache)
    return tuple(found)


def _find_gone(root: Path, seen: Mapping[str, frozenset[str]], claimed: set[str]) -> dict[str, list[Output]]:
    """By path, the outputs of pointers that were here, that no pointer has now, and that Git does not track."""
    gone: dict[str, list[Output]] = {}
    for path, blobs in seen.items():
        for blob in sorted(blobs):
            for out in _read_blob(root, path, blob):
                folder = parts.folder_of(out.path)
                if folder not in claimed and (root / folder).exists():
                    gone.setdefault(folder, []).append(out)
    tracked = git.tracked_paths(root, gone)
    return {path: outs for path, outs in sorted(gone.items()) if not _has_any(tracked, path)}


def _has_any(tracked: frozenset[str], path: str) -> bool:
    return any(name == path or name.startswith(f"{path}/") for name in tracked)


def _read_blob(root: Path, path: str, blob: str) -> tuple[Output, ...]:
    data = git.read_blob(root, blob) if inventory.is_pointer(path) else None
    try:
        return inventory.parse_outputs(data, path).outs if data is not None else ()
    except InvalidDocument:
        return ()


def apply(
    root: Path, cache: Cache, todo: Plan, progress: Progress | None = None, *, together: bool = False
) -> Followed:
    """Do it; each artifact for itself, so that one person's edit does not keep the others back, or all together.

    Raises what `checkout.place` raises if they are together.
    """
    if together and todo.failed:
        raise todo.failed[0]
    had = {one.path for one in todo.link if (root / one.path).exists()}
    missing, kept, failed = list[str](), list[Kept](), list(todo.failed)
    for places in [todo.link] if together else _by_artifact(todo.link).values():
        try:
            missing += checkout.place(root, cache, places, progress)
        except RegistryError as error:
            if together:
                raise
            failed.append(error)
    for path, versions in todo.clear.items():
        try:
            if files := clearing.clear(root, cache, path, versions):
                kept.append(Kept(path, files))
        except RegistryError as error:
            failed.append(error)
    absent = tuple(path for path in missing if path not in had)
    stale = tuple(path for path in missing if path in had)
    lacking = {one.path: tuple((one.files or {}).values()) for one in todo.link if one.path in missing}
    damaged = cache.find_damaged(md5 for md5s in lacking.values() for md5 in md5s)
    return Followed(absent, stale, tuple(kept), damaged, tuple(failed), lacking)


def _by_artifact(places: Iterable[Placement]) -> dict[str, list[Placement]]:
    groups: dict[str, list[Placement]] = {}
    for place in places:
        groups.setdefault(str(layout.owner_of(place.outputs[0])), []).append(place)
    return groups


def has_data(root: Path) -> bool:
    """Whether this working tree has the data of any artifact."""
    folders = (f"{kind.folder}/*/{name}" for kind, names in _PRODUCTS.items() for name in names)
    return any(any(root.glob(pattern)) for pattern in folders)
