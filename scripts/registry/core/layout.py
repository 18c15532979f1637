"""The paths of an artifact's files in a registry, and the artifact that a path belongs to."""

from registry.core import names
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Tag

SPLITS = ("train", "val", "test")
FOLDERS = tuple(f"{kind.folder}/" for kind in Kind)  # what has artifacts below it


def manifest_path(artifact: ArtifactId) -> str:
    """`datasets/cats_dogs/dataset.yaml` or `models/cats_dogs/model.yaml`."""
    return f"{artifact}/{artifact.kind}.yaml"


def card_path(artifact: ArtifactId) -> str:
    """The artifact's card, `…/README.md`."""
    return f"{artifact}/README.md"


def raw_pointer(artifact: ArtifactId) -> str:
    """A dataset's pointer to its selection."""
    return f"{artifact}/raw.dvc"


def prepared_pointer(artifact: ArtifactId) -> str:
    """A dataset's pointer to its images."""
    return f"{artifact}/prepared.dvc"


def selection_path(artifact: ArtifactId) -> str:
    """A dataset's selection."""
    return f"{artifact}/raw/selection.parquet"


def lock_path(artifact: ArtifactId) -> str:
    """A model's `dvc.lock`."""
    return f"{artifact}/dvc.lock"


def model_pointer(artifact: ArtifactId) -> str:
    """The pointer to the model file of a model that was trained elsewhere; otherwise `dvc.lock` has it."""
    return f"{artifact}/model.onnx.dvc"


def sidecar_path(model: ArtifactId) -> str:
    """The weights of a model that does not have them in its file."""
    return f"{model}/model.onnx.data"


def sidecar_pointer(artifact: ArtifactId) -> str:
    """The pointer to the sidecar of a model that was trained elsewhere; otherwise `dvc.lock` has it."""
    return f"{sidecar_path(artifact)}.dvc"


def product_path(artifact: ArtifactId) -> str:
    """What `dvc artifacts get` downloads: a dataset's images, a model file."""
    return f"{artifact}/prepared" if artifact.kind is Kind.DATASET else f"{artifact}/model.onnx"


def release_page(tag: Tag) -> str:
    """The page of a release in the catalog, relative to that."""
    return f"{tag.artifact}/v{tag.version}/index.html"


def release_sheet(tag: Tag) -> str:
    """The contact sheet of a dataset's release in the catalog, which cards show; relative to that."""
    return f"{tag.artifact}/v{tag.version}/sheet.webp"


def owner_of(path: str) -> ArtifactId | None:
    """The artifact whose folder a path is in; None where the folder's name is not a valid id."""
    parts = path.split("/")
    if len(parts) < 3:
        return None
    try:
        return names.parse_id(f"{parts[0]}/{parts[1]}")
    except names.InvalidName:
        return None


def find(tree: Tree) -> tuple[ArtifactId, ...]:
    """The artifacts of a tree: folders with a manifest and a valid name, sorted."""
    found = (owner_of(entry.path) for kind in Kind for entry in tree.list(kind.folder))
    return tuple(sorted({artifact for artifact in found if artifact and tree.has(manifest_path(artifact))}))
