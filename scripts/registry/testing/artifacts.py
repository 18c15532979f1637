"""What a data test is given: a dataset or a model of the registry, with its rows, its images and its measurements."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from polars import DataFrame

from registry.cli import measuring, transferring
from registry.cli.workspace import Workspace
from registry.core import artifact_files, layout, manifests, names, parts, pointers
from registry.core.values import ArtifactId, DatasetManifest, Kind, ModelManifest
from registry.dataset import items, loaded_selection
from registry.errors import NotFound
from registry.integrations import git_trees
from registry.model.judge import Judgement
from registry.sync import pull


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset in the working tree; its images are below `folder / "prepared"` where they have been pulled."""

    id: ArtifactId
    manifest: DatasetManifest
    folder: Path

    def __str__(self) -> str:
        return str(self.id)


@dataclass(frozen=True, slots=True)
class Model:
    """A model in the working tree; its file is `folder / "model.onnx"` where it has been pulled."""

    id: ArtifactId
    manifest: ModelManifest
    folder: Path

    def __str__(self) -> str:
        return str(self.id)


def find_datasets(space: Workspace) -> tuple[Dataset, ...]:
    """The datasets that have been built, sorted. Raises InvalidDocument."""
    found = (one for one in layout.find(space.tree) if one.kind is Kind.DATASET)
    built = (one for one in found if space.tree.has(layout.prepared_pointer(one)))
    return tuple(Dataset(one, manifests.load_dataset(space.tree, one), space.root / str(one)) for one in built)


def find_models(space: Workspace) -> tuple[Model, ...]:
    """The models that are measured on a dataset and have been trained, sorted. Raises InvalidDocument."""
    found = (one for one in layout.find(space.tree) if one.kind is Kind.MODEL)
    trained = (
        one for one in found if space.tree.has(layout.lock_path(one)) or space.tree.has(layout.model_pointer(one))
    )
    models = (Model(one, manifests.load_model(space.tree, one), space.root / str(one)) for one in trained)
    return tuple(model for model in models if model.manifest.dataset)


def read_selection(space: Workspace, dataset: Dataset) -> DataFrame:
    """The rows of the selection, with the manifest's columns. Raises as `loaded_selection.read`."""
    stores = (*space.stores.caches, *space.stores.downloads)
    return loaded_selection.read(dataset.manifest, space.root, stores).rows


def read_items(space: Workspace, dataset: Dataset) -> DataFrame:
    """The images of the version: uuid, split, label, md5. Raises NotFound where no store has the list."""
    path = layout.prepared_pointer(dataset.id)
    return _read_list(space, dataset, space.tree.read(path))


def read_released(space: Workspace, dataset: Dataset) -> DataFrame:
    """The images of the latest release, as `read_items`; no row where there is none in this clone."""
    path = layout.prepared_pointer(dataset.id)
    with git_trees.History(space.root) as history:
        tags = [tag for tag in names.find_tags(history.tags) if tag.artifact == dataset.id]
        pointer = history.read(str(tags[-1]), path) if tags else None
    return _read_list(space, dataset, pointer) if pointer else read_items(space, dataset).clear()


def _read_list(space: Workspace, dataset: Dataset, pointer: bytes) -> DataFrame:
    outputs = pointers.read_outputs(pointer, layout.prepared_pointer(dataset.id))
    try:
        return items.read(parts.of_outputs(outputs), space.read_object).frame
    except NotFound as error:
        fault = f"{dataset.id}: no copy of the list of its images in DVC's cache, staging or production"
        raise NotFound(fault, fix=f"registry pull {dataset.id}") from error


def measure(space: Workspace, model: Model, folder: Path | None = None) -> Judgement:
    """The judgement of a model file on the test images of its dataset, or on the images <label>/<name> of a folder.

    What is missing is downloaded, and linked into the working tree. Raises as `measuring.measure`.
    """
    dataset = model.manifest.dataset
    assert dataset is not None  # see `find_models`
    test = f"{dataset}/prepared/test"
    files = artifact_files.read_artifact(artifact_files.list_files(space.tree), model.id).model_files
    beside = [file.path for file in files[1:]]  # a sidecar
    _pull(space, layout.product_path(model.id), *beside, *([] if folder else [test]))
    images, task = folder or space.root / test, model.manifest.task
    with TemporaryDirectory(prefix="registry-test-") as temporary:
        return measuring.measure(model.folder / "model.onnx", images, task, Path(temporary) / "predictions.parquet")


def _pull(space: Workspace, *targets: str) -> None:
    wants, _ = pull.wanted(space.tree, targets)
    plan = transferring.plan_pull(space, wants)
    fetched = transferring.fetch(plan, to_link=True)
    transferring.link(space, plan, set_aside=False)
    pull.require_all(plan, fetched)
