"""Registers a model that was trained elsewhere: its file, the pointer to it, and the folder around it."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent

from registry.core import documents, layout, manifests, pointers, schema
from registry.core.model_values import DEFAULT_TASK, FEATURES
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Output
from registry.core.wording import join
from registry.errors import InvalidData, NotFound, Refused, StorageFailed
from registry.model import file_formats, model_file, onnx_process, tasks
from registry.model.model_file import ModelFile
from registry.scaffold import new
from registry.scaffold.new import Words
from registry.storage import proofs
from registry.storage.cache import Cache

READ_ONLY = 0o444  # what DVC gives the objects of its cache
FOLDER = ".dvc/tmp/registry"  # ignored by Git, and on the disk of the checkout
SMALLER = "convert its weights to half precision, or train it here (docs/models.md)"
_CHUNK = 1 << 22  # bytes that are copied at a time


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be registered: a file, where it comes from, and the dataset it is measured on (features: None)."""

    artifact: ArtifactId
    file: Path
    url: str
    dataset: ArtifactId | None
    task: str


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy of the file, below the checkout, and what its pointer says of it."""

    path: Path
    output: Output


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, by path from the root, and the copy that becomes the model file.

    `remarks` are what a person should know of the model's classes, or of its features.
    """

    artifact: ArtifactId
    files: Mapping[str, bytes]
    copied: Copied
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        paths = [*self.files, self.copied.output.path]
        return "\n".join([*(f"write {path}" for path in sorted(paths)), *self.remarks])


def require_onnx(file: Path) -> None:
    """Raise Refused for a file that is of another kind, and NotFound for none."""
    try:
        found = file_formats.recognise(file)
    except FileNotFoundError as error:
        raise NotFound(f"{file} does not exist", fix="name the .onnx file") from error
    except OSError as error:
        raise StorageFailed(f"{file} cannot be read: {error.strerror}") from error
    if found:
        raise Refused(f"{file} is {found.name}, expected an ONNX file", fix=found.fix)


def plan(tree: Tree, request: Request, copied: Copied, owners: tuple[str, ...], words: Words) -> Plan:
    """The files of a new model. Raises Refused for one that exists, or whose dataset does not; InvalidData for a file
    that is not a model file, NotFound and InvalidDocument for the dataset's manifest.
    """
    artifact, dataset = request.artifact, request.dataset
    declared = _inspect(request, copied.path)
    remarks: tuple[str, ...] = (_describe(declared),) if request.task == FEATURES else ()
    if dataset and declared.classes:
        remarks = _compare_classes(tree, dataset, declared, request.file)
    values = {
        **new.describe(artifact, words, owners),
        **_describe_task(request.task),
        "url": json.dumps(request.url),
        "origin": request.url,
        "dataset": str(dataset),
    }
    files = new.render("features" if request.task == FEATURES else "external", artifact, values)
    path = layout.manifest_path(artifact)
    for fault in schema.find_faults(documents.read_yaml(files[path], path), artifact.kind.value):
        if fault.message.startswith("origin."):
            raise Refused(f"--origin: {fault.message.partition(': ')[2]}", fix=fault.fix)
    pointer = {layout.model_pointer(artifact): pointers.write_pointer(copied.output, {})}
    return Plan(artifact, {**files, **pointer}, copied, remarks)


def _describe_task(task: str) -> dict[str, str]:
    """What the templates say of a task that is measured: its name, a gate, and the plots of the pipeline, as YAML."""
    if task == FEATURES:
        return {}
    chosen, is_default = tasks.TASKS[task], task == DEFAULT_TASK
    plots = [{f"plots/{name}": {"cache": False, **properties}} for name, properties in chosen.PLOTS.items()]
    return {
        "task": "" if is_default else f"task: {task}\n",
        "option": "" if is_default else f" --task {task}",
        "gate": chosen.GATE,
        "plots": indent(documents.write_yaml({"plots": plots}).decode(), "    ") if plots else "",
    }


def _inspect(request: Request, copied: Path) -> ModelFile:
    """What the file declares. Raises InvalidData where it is not a model file."""
    try:
        return onnx_process.inspect(copied, tasks.outputs(request.task), name=str(request.file))
    except InvalidData as error:
        if any(model_file.SIDECAR in problem for problem in error.problems):
            error.fix = _join_weights(request.file)
        raise


def _join_weights(file: Path) -> str:
    """The way to one file for a model whose weights lie beside it."""
    size = sum(path.stat().st_size for path in (file, file.with_name(model_file.SIDECAR)) if path.is_file())
    if size > model_file.MAX_BYTES:
        return SMALLER
    return "save it as one file, onnx.save(onnx.load(FILE), TARGET), and name that"


def _describe(declared: ModelFile) -> str:
    size = declared.input.size
    return f"the model gives {declared.features:,} features for an image of {size} × {size} pixels"


def require_place(tree: Tree, request: Request) -> None:
    """Raise Refused where the model exists, or the dataset that it is to be measured on does not."""
    new.require_unused(tree, request.artifact)
    if request.dataset and not tree.has(layout.manifest_path(request.dataset)):
        fix = f"registry new dataset {request.dataset.name}, or choose one with --measured-on"
        raise Refused(f"{request.dataset} does not exist: a model is measured on a dataset", fix=fix)


def _compare_classes(tree: Tree, dataset: ArtifactId, declared: ModelFile, file: Path) -> tuple[str, ...]:
    """How the model's classes differ from the dataset's. Raises Refused where they have none in common."""
    theirs, ours = declared.classes, manifests.load_dataset(tree, dataset).classes
    missing = [name for name in ours if name not in theirs]
    more = [name for name in theirs if name not in ours]
    if len(missing) == len(ours):
        fault = f"{file} has the classes {_some(theirs)}, and none of {_some(ours)} of {dataset}"
        fix = "write the dataset's names into `classes` of the file's metadata, in the order of the scores"
        raise Refused(fault, fix=fix)
    remarks = []
    if missing:
        remarks.append(f"the model does not know {_some(missing)} of {dataset}: images of it count as wrong")
    if more:
        remarks.append(f"the model also knows {_some(more)}, which {dataset} does not have")
    return tuple(remarks)


def _some(names: Sequence[str]) -> str:
    shown = [*names[:5], *([f"{len(names) - 5:,} more"] if len(names) > 5 else [])]
    return join(shown, "and")


@contextmanager
def copy(file: Path, artifact: ArtifactId, root: Path, progress: Callable[[int], None]) -> Iterator[Copied]:
    """A copy of the file in a temporary folder; `progress` is called with the bytes that are done.

    What is judged and stored is this copy: the file may change meanwhile. Raises Refused, StorageFailed.
    """
    if file.stat().st_size > model_file.MAX_BYTES:
        raise Refused(f"{file} has 2 GB or more, expected less: --from takes one file", fix=SMALLER)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root / FOLDER, prefix="new-", ignore_cleanup_errors=True) as folder:
        target, md5, size = Path(folder) / model_file.NAME, hashlib.md5(usedforsecurity=False), 0
        try:
            with file.open("rb") as source, target.open("wb") as copied:
                while chunk := source.read(_CHUNK):
                    md5.update(chunk)
                    size += copied.write(chunk)
                    progress(len(chunk))
        except OSError as error:
            raise StorageFailed(f"{file} cannot be copied: {error.strerror}") from error
        yield Copied(target, Output(layout.product_path(artifact), md5.hexdigest(), size))


def apply(plan: Plan, root: Path, cache: Path) -> None:
    """Put the model file into DVC's cache, then the whole folder in its place, in one step. Raises StorageFailed.

    The file in the folder is a copy: writing to it does not change the object in the cache.
    """
    output, folder = plan.copied.output, plan.copied.path.parent
    try:
        _store(plan.copied.path, output.md5, Cache(cache, root / proofs.PATH), cache)
        made = folder / plan.artifact.name
        made.mkdir()
        for path, data in plan.files.items():
            (made / path.removeprefix(f"{plan.artifact}/")).write_bytes(data)
        plan.copied.path.rename(made / model_file.NAME)
        place = root / str(plan.artifact)
        place.parent.mkdir(exist_ok=True)
        made.rename(place)
    except OSError as error:
        raise StorageFailed(f"{plan.artifact} cannot be written: {error.strerror}") from error


def _store(file: Path, md5: str, objects: Cache, cache: Path) -> None:
    """Write an object of DVC's cache; another one under its name is set aside."""
    key = pointers.object_key(md5)
    if os.path.lexists(cache / key):
        if md5 in objects.prove([md5]):
            return
        objects.set_aside(cache / key, key)
    (cache / key).parent.mkdir(parents=True, exist_ok=True)
    partial = (cache / key).with_name(f".{file.parent.name}.tmp")
    shutil.copyfile(file, partial)
    partial.chmod(READ_ONLY)
    partial.rename(cache / key)
    objects.record([md5])
