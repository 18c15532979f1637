"""Reads an artifact's files as parts: each a value, or the faults that keep it from one; no fault stops the rest."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import dirname, join
from typing import Any, Generic, TypeVar

from registry.core import documents, layout, manifests, pointers, schema
from registry.core.documents import Document
from registry.core.schema import Fault
from registry.core.tree import DictTree, Entry, Tree
from registry.core.values import ArtifactId, Build, Content, Kind, Manifest, Output, Tag
from registry.errors import InvalidDocument

T = TypeVar("T")

Reader = Callable[[str], bytes | None]  # md5 → the object's bytes, None where no store has it


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One file: its value, or the faults that keep it from having one."""

    path: str
    value: T | None = None
    faults: tuple[Fault, ...] = ()
    document: Document | None = None

    def line(self, *location: str | int) -> int | None:
        """The line on which a value's key stands."""
        return self.document.line(location) if self.document else None


@dataclass(frozen=True, slots=True)
class Pointer:
    """A `.dvc` file of a dataset."""

    output: Output
    build: Build | None


@dataclass(frozen=True, slots=True)
class Lock:
    """A model's `dvc.lock`, with what the tree has today in the place of what was locked.

    `now` has the md5s of those dependencies and outputs that Git or a dataset's pointer knows. `recipe` is the locked
    parameters as canonical JSON, `recipe_now` the same parameters as their files have them.
    """

    outs: tuple[Output, ...]
    deps: tuple[Output, ...]
    now: Mapping[str, str]
    recipe: str
    recipe_now: str


@dataclass(frozen=True, slots=True)
class Release:
    """A published version; `content` is None where today's program cannot read it."""

    tag: Tag
    content: Content | None


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Files:
    """A tree with its entries by path."""

    tree: Tree
    entries: Mapping[str, Entry]

    def inside(self, artifact: ArtifactId) -> tuple[str, ...]:
        """The paths of an artifact's files, relative to its folder."""
        start = f"{artifact}/"
        return tuple(path.removeprefix(start) for path in self.entries if path.startswith(start))

    def read(self, path: str) -> bytes:
        """A file that is short enough for a person; InvalidDocument for one that is not, which stays unread."""
        if self.entries[path].size > documents.MAX_BYTES:
            raise InvalidDocument(path, "too large for a file that people read", fix="keep it under 1 MiB")
        return self.tree.read(path)


def files(tree: Tree) -> Files:
    """A tree, listed once."""
    return Files(tree, {entry.path: entry for entry in tree.list()})


def broken(error: InvalidDocument) -> Part[Any]:
    """A file that could not be read at all."""
    return Part(error.path, faults=(Fault(error.fault, error.line or 1, error.fix),))


def _judged(files: Files, path: str, form: str) -> Part[Any]:
    try:
        document = documents.read_yaml(files.read(path), path)
    except InvalidDocument as error:
        return broken(error)
    faults = tuple(schema.find_faults(document, form))
    return Part(path, None if faults else document.data, faults, document)


def manifest(files: Files, artifact: ArtifactId) -> Part[Manifest]:
    """An artifact's manifest, which must exist."""
    part = _judged(files, layout.manifest_path(artifact), artifact.kind.value)
    return _parsed(part, lambda document: manifests.parse(document, artifact))


def pointer(files: Files, path: str) -> Part[Pointer]:
    """A `.dvc` file."""
    part = _judged(files, path, "pointer")
    return _parsed(part, lambda document: Pointer(pointers.parse_pointer(document), pointers.parse_build(document)))


def pipeline(files: Files, path: str) -> Part[Mapping[str, Any]]:
    """A model's `dvc.yaml`, in the form of its schema."""
    return _judged(files, path, "pipeline")


def lock(files: Files, path: str) -> Part[Lock]:
    """A model's `dvc.lock`, beside what the tree has now."""
    return _parsed(_judged(files, path, "lock"), lambda document: _lock(files, document))


def _lock(files: Files, document: Document) -> Lock:
    locked_files = pointers.parse_lock(document)
    outs, deps = locked_files.outs, locked_files.deps
    now = {output.path: md5 for output in (*deps, *outs) if (md5 := _md5_now(files, output.path))}
    locked: dict[str, dict[str, Any]] = {}
    for stage in document.data["stages"].values():
        for name, params in stage.get("params", {}).items():
            locked.setdefault(name, {}).update(params)
    current = {name: _params_now(files, join(dirname(document.path), name), locked[name]) for name in locked}
    return Lock(outs, deps, now, json.dumps(locked, sort_keys=True), json.dumps(current, sort_keys=True))


def _params_now(files: Files, path: str, locked: Mapping[str, Any]) -> Mapping[str, Any]:
    if path in files.entries and not path.endswith((".yaml", ".json")):
        return locked  # a form that only DVC reads
    try:
        data = files.read(path)
        values = documents.read_json(data, path) if path.endswith(".json") else documents.read_yaml(data, path).data
    except (InvalidDocument, KeyError):
        return dict.fromkeys(locked)
    return {name: _look_up(values, name) for name in locked}


def _look_up(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _md5_now(files: Files, path: str) -> str | None:
    entry = files.entries.get(path)
    if entry and not entry.is_link and entry.size <= documents.MAX_BYTES:
        return hashlib.md5(files.tree.read(path), usedforsecurity=False).hexdigest()
    if f"{path}.dvc" not in files.entries:
        return None
    found = pointer(files, f"{path}.dvc").value
    return found.output.md5 if found else None


def metrics(files: Files, path: str) -> Part[Mapping[str, object]]:
    """A model's `metrics.json`: nested names joined by dots."""
    try:
        data = documents.read_json(files.read(path), path)
        if not isinstance(data, dict):
            raise InvalidDocument(path, "not a mapping of names to numbers", fix="dvc repro")
        return Part(path, dict(_flat(data, path)))
    except InvalidDocument as error:
        return broken(error)


def _flat(data: Mapping[str, Any], path: str, start: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    if len(start) > documents.MAX_DEPTH:
        raise InvalidDocument(path, f"nested deeper than {documents.MAX_DEPTH}", fix="dvc repro")
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, path, (*start, name))
        else:
            yield ".".join((*start, name)), value


def content(manifest: Manifest, found: Mapping[str, Part[Pointer]], lock: Part[Lock] | None) -> Content:
    """What the version is: for a dataset by its pointers (file name → part), for a model by its lock."""
    if manifest.id.kind is Kind.DATASET:
        values = {name.removesuffix(".dvc"): part.value for name, part in found.items()}
        return Content(manifest, {name: value.output.md5 for name, value in values.items() if value})
    if lock is None or lock.value is None:
        return Content(manifest, {})
    outputs, start = (*lock.value.deps, *lock.value.outs), f"{manifest.id}/"
    return Content(manifest, {output.path.removeprefix(start): output.md5 for output in outputs}, lock.value.recipe)


def _judged(files: Files, path: str, form: str) -> Part[Any]:
    try:
        document = documents.read_yaml(files.read(path), path)
    except InvalidDocument as error:
        return broken(error)
    faults = tuple(schema.find_faults(document, form))
    return Part(path, None if faults else document.data, faults, document)


def _parsed(part: Part[Any], parse: Callable[[Document], T]) -> Part[T]:
    """The part with what `parse` makes of its document in the place of the data."""
    if part.faults:
        return part
    try:
        return replace(part, value=parse(part.document))
    except InvalidDocument as error:
        return replace(part, value=None, faults=broken(error).faults)


def released(artifact: ArtifactId, read: Callable[[str], bytes | None]) -> Content | None:
    """What a version is, from the files that `read` has of it; None where today's schemas refuse it."""
    is_dataset = artifact.kind is Kind.DATASET
    names = ("dataset.yaml", "raw.dvc", "prepared.dvc") if is_dataset else ("model.yaml", "dvc.lock")
    paths = {name: f"{artifact}/{name}" for name in names}
    there = files(DictTree({path: data for path in paths.values() if (data := read(path)) is not None}))
    known = manifest(there, artifact).value if paths[names[0]] in there.entries else None
    if known is None:
        return None
    found = {
        name: pointer(there, path) for name, path in paths.items() if path in there.entries and name.endswith(".dvc")
    }
    locked = paths.get("dvc.lock", "")
    return content(known, found, lock(there, locked) if locked in there.entries else None)
