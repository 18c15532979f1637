"""Registers a model that was trained elsewhere: its files, the pointers to them, and the folder around them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent

from registry.core import digests, documents, layout, manifests, pointers, schema
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
JOIN = "save it as one file, onnx.save(onnx.load(FILE), TARGET), and name that"
ONE_SIDECAR = (
    "save its weights in one file, in an empty folder: "
    f'onnx.save(onnx.load(FILE), TARGET, save_as_external_data=True, location="{model_file.SIDECAR}"), and name TARGET'
)
Counter = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]  # what is counted, and how many bytes
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
    """Copies of the model file and, where it has one, its sidecar, in a folder below the checkout.

    `outputs` are what their pointers say of them, the model file's first.
    """

    folder: Path
    outputs: tuple[Output, ...]

    @property
    def model(self) -> Path:
        """The copy of the model file."""
        return self.folder / model_file.NAME


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, by path from the root, and the copies that become the model's files.

    `remarks` are what a person should know of the model's classes, its features, or its files.
    """

    artifact: ArtifactId
    files: Mapping[str, bytes]
    copied: Copied
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        paths = [*self.files, *(output.path for output in self.copied.outputs)]
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
    declared = _inspect(request, copied)
    remarks: tuple[str, ...] = (_describe(declared),) if request.task == FEATURES else ()
    if dataset and declared.classes:
        remarks = _compare_classes(tree, dataset, declared, request.file)
    values = {
        **new.describe(artifact, words, owners),
        **_describe_task(request.task),
        "url": json.dumps(request.url),
        "origin": request.url,
        "dataset": str(dataset),
        "sidecar": "".join(f"      - {Path(output.path).name}\n" for output in copied.outputs[1:]),
    }
    files = new.render("features" if request.task == FEATURES else "external", artifact, values)
    path = layout.manifest_path(artifact)
    for fault in schema.find_faults(documents.read_yaml(files[path], path), artifact.kind.value):
        if fault.message.startswith("origin."):
            raise Refused(f"--origin: {fault.message.partition(': ')[2]}", fix=fault.fix)
    found = {f"{output.path}.dvc": pointers.write_pointer(output, {}) for output in copied.outputs}
    return Plan(artifact, {**files, **found}, copied, (*remarks, *_describe_sidecar(copied)))


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
        "plots": f"\n{indent(documents.write_yaml({'plots': plots}).decode(), '    ').rstrip()}" if plots else "",
    }


def _inspect(request: Request, copied: Copied) -> ModelFile:
    """What the file declares. Raises InvalidData where it is not a model file."""
    try:
        return onnx_process.inspect(copied.model, tasks.outputs(request.task), name=str(request.file))
    except InvalidData as error:
        if request.task == FEATURES and len(copied.outputs) > 1:
            error.fix = JOIN
        raise


def _describe_sidecar(copied: Copied) -> tuple[str, ...]:
    """What who has two files in place of one should know."""
    if len(copied.outputs) == 1:
        return ()
    size = sum(output.size for output in copied.outputs)
    smaller = f"; below 2 GB they may be one: {JOIN}" if size <= model_file.MAX_BYTES else ""
    return (f"its weights are in {model_file.SIDECAR}, so whoever uses the model needs both files{smaller}",)


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
def copy(file: Path, artifact: ArtifactId, root: Path, counting: Counter) -> Iterator[Copied]:
    """A copy of the file, and of its weights where they lie beside it, in a temporary folder.

    What is judged and stored are these copies: the files may change meanwhile. Weights in one file of another name get
    the sidecar's; otherwise both files are as they were given. Raises Refused, InvalidData, StorageFailed.
    """
    if file.stat().st_size > model_file.MAX_BYTES:
        raise Refused(f"{file} has more than 2 GB, as no ONNX file can have", fix=ONE_SIDECAR)
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root / FOLDER, prefix="new-", ignore_cleanup_errors=True) as folder:
        copied = Copied(Path(folder), ())
        model = _copy(file, copied.model, layout.product_path(artifact), counting)
        weights = _find_weights(file, onnx_process.name_sidecar(copied.model, name=str(file)))
        if weights is None:
            yield Copied(copied.folder, (model,))
            return
        if weights.name != model_file.SIDECAR:
            model = Output(model.path, _md5(copied.model), copied.model.stat().st_size)
        sidecar = copied.folder / model_file.SIDECAR
        yield Copied(copied.folder, (model, _copy(weights, sidecar, layout.sidecar_path(artifact), counting)))


def _copy(file: Path, target: Path, path: str, counting: Counter) -> Output:
    """Copy a file; the output for its pointer. Raises StorageFailed."""
    md5, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with (
            file.open("rb") as source,
            target.open("wb") as copied,
            counting(f"copying {file.name}", file.stat().st_size) as progress,
        ):
            while chunk := source.read(_CHUNK):
                md5.update(chunk)
                size += copied.write(chunk)
                progress(len(chunk))
    except OSError as error:
        raise StorageFailed(f"{file} cannot be copied: {error.strerror}") from error
    return Output(path, md5.hexdigest(), size)


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()


def _find_weights(file: Path, names: Sequence[str]) -> Path | None:
    """The file with the weights of a model that has them beside it; None where it has them inside.

    Raises Refused for several files, and for a place that could be any file of this machine; NotFound.
    """
    if not names:
        return None
    outside = [name for name in names if "\\" in name or name.startswith("/") or ".." in name.split("/")]
    if outside or not all(names):
        place = (outside or [""])[0][:80]
        fix = "have it exported again, with its weights in one file beside it"
        raise Refused(f"{file} reads weights from {place!r}, expected a file beside it", fix=fix)
    if len(names) > 1 or "/" in names[0]:
        raise Refused(
            f"{file} reads weights from {_some([name[:80] for name in names])}, expected one file beside it",
            fix=ONE_SIDECAR,
        )
    found = file.with_name(names[0])
    if found.is_symlink():
        fix = f"copy both files to another folder, without links: cp --dereference {file} {found} FOLDER"
        raise Refused(f"{found}, the weights of {file.name}, is a link, which could lead to any file", fix=fix)
    if not found.is_file():
        raise NotFound(f"{found}, the weights of {file.name}, does not exist", fix="put it beside the model")
    return found


def apply(plan: Plan, root: Path, cache: Path) -> None:
    """Put the model's files into DVC's cache, then the whole folder in its place, in one step. Raises StorageFailed.

    The files in the folder are copies: writing to one does not change the object in the cache.
    """
    folder, objects = plan.copied.folder, Cache(cache, root / proofs.PATH)
    try:
        made = folder / plan.artifact.name
        made.mkdir()
        for path, data in plan.files.items():
            (made / path.removeprefix(f"{plan.artifact}/")).write_bytes(data)
        for output in plan.copied.outputs:
            copied = folder / Path(output.path).name
            _store(copied, output.md5, objects, cache)
            copied.rename(made / copied.name)
        place = root / str(plan.artifact)
        place.parent.mkdir(exist_ok=True)
        made.rename(place)
    except OSError as error:
        raise StorageFailed(f"{plan.artifact} cannot be written: {error.strerror}") from error


def _store(file: Path, md5: str, objects: Cache, cache: Path) -> None:
    """Write an object of DVC's cache; another one under its name is set aside."""
    key = digests.object_key(md5)
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
