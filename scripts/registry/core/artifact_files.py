"""An artifact's files in one tree, each read and parsed once: its value, or the faults that keep it from having one.

`read_artifact` is the door: checks, diffs, releases and generated files share the value that it returns.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from registry.core import declared_results, documents, layout, manifests, pointers, schema
from registry.core.documents import Document
from registry.core.pointers import Pointer
from registry.core.schema import Fault
from registry.core.tree import DictTree, Entry, Tree
from registry.core.values import ArtifactId, Content, Kind, Manifest, ModelManifest, Output, Tag
from registry.errors import InvalidDocument, NotFound

T = TypeVar("T")

Reader = Callable[[str], bytes | None]  # md5 → the object's bytes, None where no store has it
Metrics = Mapping[str, object]  # nested names joined by dots → value


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """One file: its value, or the faults that keep it from having one."""

    path: str
    value: T | None = None
    faults: tuple[Fault, ...] = ()
    document: Document | None = None

    def line(self, *location: str | int) -> int | None:
        """The line of a value's key, from 1."""
        return self.document.line(location) if self.document else None

    def require(self) -> T:
        """The value. Raises InvalidDocument for the first fault."""
        for fault in self.faults:
            raise InvalidDocument(self.path, fault.message, line=fault.line, fix=fault.fix)
        if self.value is None:
            raise InvalidDocument(self.path, "could not be parsed")
        return self.value


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a model's `dvc.yaml`: its command (or commands, one a line), its dependencies and outputs by path.

    `parameters` are those in other files than `params.yaml`, as `FILE:NAME`.
    """

    command: str | tuple[str, ...]
    dependencies: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A model's `dvc.yaml`; `variables` are the names of the values of `model.yaml` that it uses."""

    variables: tuple[str, ...]
    stages: Mapping[str, Stage]


@dataclass(frozen=True, slots=True)
class Lock:
    """A model's `dvc.lock`: the outputs and dependencies of all stages, and what the stages were run with.

    `recipe` is the parameters by file as canonical JSON, `commands` and `paths` (as written) are of each stage.
    """

    outs: tuple[Output, ...]
    deps: tuple[Output, ...]
    recipe: str
    commands: Mapping[str, str | tuple[str, ...]]
    paths: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class ArtifactFiles:
    """The files of one artifact in one tree; None where the tree has no such file.

    `raw` and `prepared` are a dataset's, `pipeline`, `lock`, `metrics` and `reported` a model's: the other files with
    metrics that its pipeline declares and Git has. `model` is the pointer to the file of a model that was trained
    elsewhere, `sidecar` that to the weights beside it. `params` has no value: `params.yaml`, which DVC reads beside
    each pipeline, is the training's own.
    """

    id: ArtifactId
    manifest: Parsed[Manifest]
    raw: Parsed[Pointer] | None = None
    prepared: Parsed[Pointer] | None = None
    pipeline: Parsed[Pipeline] | None = None
    lock: Parsed[Lock] | None = None
    metrics: Parsed[Metrics] | None = None
    reported: tuple[Parsed[Metrics], ...] = ()
    model: Parsed[Pointer] | None = None
    sidecar: Parsed[Pointer] | None = None
    params: Parsed[None] | None = None

    @property
    def content(self) -> Content | None:
        """What this version is, as far as its files can be parsed; None without a valid manifest."""
        manifest, start = self.manifest.value, f"{self.id}/"
        if manifest is None:
            return None
        if self.id.kind is Kind.DATASET:
            files = (file.value for file in (self.prepared, self.raw) if file and file.value)
            tracked = [output for file in files for output in file.outputs]
            return Content(manifest, {output.path.removeprefix(start): output.md5 for output in tracked})
        lock = self.lock.value if self.lock else None
        found = (*(lock.deps if lock else ()), *(lock.outs if lock else ()), *self.model_files)
        objects = {output.path.removeprefix(start): output.md5 for output in found}
        return Content(manifest, objects, lock.recipe if lock else "")

    @property
    def model_files(self) -> tuple[Output, ...]:
        """A model's file and, where it has one, its sidecar; nothing before the first training.

        The lock of a training has them, or the pointers of a model that was trained elsewhere.
        """
        manifest, product = self.manifest.value, layout.product_path(self.id)
        if isinstance(manifest, ModelManifest) and manifest.origin:
            found = [out for file in (self.model, self.sidecar) if file and file.value for out in file.value.outputs]
        else:
            found = [*self.lock.value.outs] if self.lock and self.lock.value else []
        outs = {out.path: out for out in found}
        paths = (product, layout.sidecar_path(self.id))
        return tuple(outs[path] for path in paths if path in outs and product in outs)

    @property
    def faulty(self) -> frozenset[str]:
        """The paths of those files that have faults."""
        data = (self.raw, self.prepared, self.model, self.sidecar)
        files = (self.manifest, *data, self.pipeline, self.lock, self.metrics, self.params)
        return frozenset(file.path for file in files if file and file.faults)

    def require_model(self) -> ModelManifest:
        """The manifest of a model. Raises InvalidDocument, or NotFound for a dataset."""
        manifest = self.manifest.require()
        if not isinstance(manifest, ModelManifest):
            raise NotFound(f"{self.id} is not a model", fix="name one of models/…")
        return manifest


@dataclass(frozen=True, slots=True)
class Release:
    """A published version, its files; `content` is None where its manifest does not match today's schema."""

    tag: Tag
    content: Content | None
    files: ArtifactFiles | None = None


# --- reading ----------------------------------------------------------------------------------------------------------


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
        """A file of at most 1 MiB. Raises InvalidDocument for a larger one, without reading it."""
        size = self.entries[path].size
        if size > documents.MAX_BYTES:
            raise InvalidDocument(path, f"file is {size:,} bytes; the limit is 1 MiB", fix="keep it under 1 MiB")
        return self.tree.read(path)

    def document(self, path: str, form: str) -> tuple[Document, tuple[Fault, ...]]:
        """A YAML file, and how it breaks its schema. Raises InvalidDocument where it cannot be read at all."""
        document = documents.read_yaml(self.read(path), path)
        return document, tuple(schema.find_faults(document, form))


class SoundFiles(Files):
    """Files that were found sound before; the tree has the data of each as JSON, whatever it was in Git."""

    def document(self, path: str, form: str) -> tuple[Document, tuple[Fault, ...]]:  # noqa: ARG002 - was kept then
        """See `Files.document`. The lines of the file are not known."""
        return Document(path, json.loads(self.read(path)), {}), ()


def list_files(tree: Tree) -> Files:
    """A tree, listed once."""
    return Files(tree, {entry.path: entry for entry in tree.list()})


def read_artifact(files: Files, artifact: ArtifactId, manifest: Parsed[Manifest] | None = None) -> ArtifactFiles:
    """An artifact's files; only these are read, the manifest unless it was parsed before.

    Raises NotFound where the tree has no manifest of it.
    """
    if layout.manifest_path(artifact) not in files.entries:
        raise NotFound(f"{artifact} does not exist in {files.tree}", fix="registry list")

    def read(name: str, parse: Callable[[Files, str], Parsed[T]]) -> Parsed[T] | None:
        path = f"{artifact}/{name}"
        return parse(files, path) if path in files.entries else None

    manifest = manifest or read_manifest(files, artifact)
    if artifact.kind is Kind.DATASET:
        return ArtifactFiles(
            artifact, manifest, raw=read("raw.dvc", read_pointer), prepared=read("prepared.dvc", read_pointer)
        )
    pipeline = read("dvc.yaml", read_pipeline)
    declared = declared_results.find(pipeline.document if pipeline and pipeline.value else None, artifact)
    return ArtifactFiles(
        artifact,
        manifest,
        pipeline=pipeline,
        reported=tuple(read_reported(files, path) for path in declared.metrics if path in files.entries),
        lock=read("dvc.lock", read_lock),
        metrics=read("metrics.json", read_metrics),
        model=read("model.onnx.dvc", read_pointer),
        sidecar=read("model.onnx.data.dvc", read_pointer),
        params=read("params.yaml", read_parameters),
    )


_RELEASED = {
    Kind.DATASET: ("dataset.yaml", "raw.dvc", "prepared.dvc"),
    Kind.MODEL: ("model.yaml", "dvc.lock", "metrics.json", "model.onnx.dvc", "model.onnx.data.dvc"),
}


def read_release(artifact: ArtifactId, read: Callable[[str], bytes | None]) -> ArtifactFiles | None:
    """A version's files (not a model's pipeline), as `read` has them by path; None where it has no manifest."""
    paths = [f"{artifact}/{name}" for name in _RELEASED[artifact.kind]]
    found = {path: data for path in paths if (data := read(path)) is not None}
    files = list_files(DictTree(found))
    return read_artifact(files, artifact) if paths[0] in found else None


def read_sound_release(artifact: ArtifactId, data: Mapping[str, bytes]) -> ArtifactFiles:
    """A version's files from what `sound_data` gave."""
    tree = DictTree({f"{artifact}/{name}": text for name, text in data.items()})
    return read_artifact(SoundFiles(tree, {entry.path: entry for entry in tree.list()}), artifact)


def sound_data(files: ArtifactFiles) -> Mapping[str, bytes] | None:
    """The data of a version's files by their names in its folder, as JSON; None where one of them has a fault."""
    kept = (files.manifest, files.raw, files.prepared, files.lock, files.model, files.sidecar)
    data = {one.path: one.document.data for one in kept if one and one.document}
    data |= {files.metrics.path: files.metrics.value} if files.metrics else {}
    is_sound = not files.faulty and all(value is not None for value in data.values())
    start = f"{files.id}/"
    return {path.removeprefix(start): json.dumps(value).encode() for path, value in data.items()} if is_sound else None


def read_manifest(files: Files, artifact: ArtifactId) -> Parsed[Manifest]:
    """An artifact's manifest, which must exist."""
    path = layout.manifest_path(artifact)
    return _read_yaml(files, path, artifact.kind.value, lambda document: manifests.parse(document, artifact))


def read_pointer(files: Files, path: str) -> Parsed[Pointer]:
    """A `.dvc` file."""
    return _read_yaml(
        files,
        path,
        "pointer",
        lambda document: Pointer(pointers.parse_outputs(document), pointers.parse_build(document)),
    )


def read_pipeline(files: Files, path: str) -> Parsed[Pipeline]:
    """A model's `dvc.yaml`."""
    return _read_yaml(files, path, "pipeline", _parse_pipeline)


def _parse_pipeline(document: Document) -> Pipeline:
    declared_results.require_products(document)
    outputs, parameters = declared_results.stage_outputs, declared_results.stage_parameters
    stages = {
        name: Stage(_parse_command(one["cmd"]), tuple(one.get("deps", ())), outputs(one), parameters(one))
        for name, one in document.data["stages"].items()
    }
    variables = tuple(name.removeprefix("model.yaml:") for name in document.data.get("vars", ()))
    return Pipeline(variables, stages)


def _parse_command(command: str | list[str]) -> str | tuple[str, ...]:
    return command if isinstance(command, str) else tuple(command)


def read_lock(files: Files, path: str) -> Parsed[Lock]:
    """A model's `dvc.lock`."""
    return _read_yaml(files, path, "lock", _parse_lock)


def _parse_lock(document: Document) -> Lock:
    locked = pointers.parse_lock(document)
    params: dict[str, dict[str, Any]] = {}
    commands: dict[str, str | tuple[str, ...]] = {}
    paths: dict[str, frozenset[str]] = {}
    for name, stage in document.data["stages"].items():
        paths[name] = frozenset(one["path"] for kind in ("outs", "deps") for one in stage.get(kind, ()))
        commands[name] = _parse_command(stage["cmd"])
        for file, values in stage.get("params", {}).items():
            params.setdefault(file, {}).update(values)
    return Lock(locked.outs, locked.deps, json.dumps(params, sort_keys=True), commands, paths)


def read_parameters(files: Files, path: str) -> Parsed[None]:
    """A `params.yaml`, which may say anything, as long as it has one reading."""
    try:
        return Parsed(path, document=documents.read_yaml(files.read(path), path))
    except InvalidDocument as error:
        return unreadable(error)


def read_metrics(files: Files, path: str) -> Parsed[Metrics]:
    """A model's `metrics.json`, which must exist."""
    try:
        return parse_metrics(files.read(path), path)
    except InvalidDocument as error:
        return unreadable(error)


def read_reported(files: Files, path: str) -> Parsed[Metrics]:
    """Another file with metrics, which must exist; DVC reads JSON, YAML and TOML."""
    try:
        return Parsed(path, flatten_metrics(declared_results.read_metrics(files.read(path), path), path))
    except InvalidDocument as error:
        return unreadable(error)


def parse_metrics(data: bytes, path: str) -> Parsed[Metrics]:
    """The metrics in a JSON file."""
    try:
        values = documents.read_json(data, path)
        if not isinstance(values, dict):
            raise InvalidDocument(path, "not a mapping of names to numbers", fix="dvc repro")
        return Parsed(path, flatten_metrics(values, path))
    except InvalidDocument as error:
        return unreadable(error)


def flatten_metrics(values: Mapping[str, Any], path: str) -> Metrics:
    """Metrics with nested names joined by dots. Raises InvalidDocument for absurd nesting."""
    return dict(_flatten(values, path))


def _flatten(data: Mapping[str, Any], path: str, start: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    if len(start) > documents.MAX_DEPTH:
        raise InvalidDocument(path, f"nested deeper than {documents.MAX_DEPTH}", fix="dvc repro")
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flatten(value, path, (*start, name))
        else:
            yield ".".join((*start, name)), value


def unreadable(error: InvalidDocument) -> Parsed[Any]:
    """A file that could not be parsed at all."""
    return Parsed(error.path, faults=(Fault(error.fault, error.line or 1, error.fix),))


def _read_yaml(files: Files, path: str, form: str, parse: Callable[[Document], T]) -> Parsed[T]:
    try:
        document, faults = files.document(path, form)
    except InvalidDocument as error:
        return unreadable(error)
    parsed: Parsed[T] = Parsed(path, None, faults, document)
    if parsed.faults:
        return parsed
    try:
        return replace(parsed, value=parse(document))
    except InvalidDocument as error:
        return replace(parsed, faults=unreadable(error).faults)
