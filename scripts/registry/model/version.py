"""One version of a model, as its tree and its objects have it: what it was judged on, and what it answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from polars import DataFrame, col

from registry.core import artifact_files, item_paths, layout, manifests
from registry.core.artifact_files import Lock, Reader
from registry.core.tree import Tree
from registry.core.values import ArtifactId, ModelManifest, Output
from registry.dataset import items
from registry.errors import NotFound, Refused, RegistryError
from registry.model import evaluation_run, predictions
from registry.storage.reader import require_object
from registry.sync import dir_listing, inventory


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """The test images that a version was judged on: columns uuid, label, md5, relpath; `table` is its metadata.csv."""

    output: Output
    frame: DataFrame
    table: str | None  # md5

    def lacks(self, other: "TestSet") -> bool:
        """Whether `other` has images (by uuid and bytes) that this one does not have."""
        return other.frame.join(self.frame, on=("uuid", "md5"), how="anti").height > 0

    def equals(self, other: "TestSet") -> bool:
        """Whether both have the same images under the same labels."""
        columns = ["uuid", "label", "md5"]
        return self.frame.select(columns).sort("uuid").equals(other.frame.select(columns).sort("uuid"))


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One version of a model: what its tree says, its test set, and its locked answers (see `predictions.read`).

    `unknown` says why what is None could not be had.
    """

    which: str
    files: artifact_files.Files
    manifest: ModelManifest
    lock: Lock | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    test: TestSet | None = None
    answers: DataFrame | None = None
    unknown: str = ""

    @property
    def weights(self) -> str:
        """The md5 of the model's product; empty before it was trained."""
        product = layout.product_path(self.manifest.id)
        return next((out.md5 for out in self.lock.outs if out.path == product), "") if self.lock else ""


# --- reading ----------------------------------------------------------------------------------------------------------


def read_side(which: str, tree: Tree, artifact: ArtifactId, read: Reader) -> Side:
    """A version as its tree and the objects have it; `read` is asked for lists of files and for predictions.

    Raises what `artifacts.load_model` raises; anything else that cannot be read is said in `unknown`.
    """
    files = artifact_files.files(tree)
    side = Side(which, files, manifests.load_model(tree, artifact))
    if (path := f"{artifact}/metrics.json") in files.entries:
        side = replace(side, metrics=artifact_files.metrics(files, path).value or {})
    if (path := layout.lock_path(artifact)) not in files.entries:
        return replace(side, unknown=f"the {which} model was never trained")
    lock = artifact_files.lock(files, path)
    if lock.value is None:
        return replace(side, unknown=f"the {which} version's dvc.lock: {lock.faults[0].message}")
    side = replace(side, lock=lock.value)
    try:
        side = replace(side, test=_test_set(tree, side.manifest, read))
        return replace(side, answers=_locked_answers(side, read))
    except RegistryError as error:
        return replace(side, unknown=f"the {which} version: {evaluation_run.reason(error)}")


def _test_set(tree: Tree, manifest: ModelManifest, read: Reader) -> TestSet:
    path = f"{manifest.trained_on}/prepared"
    output = next((out for out in inventory.inputs(tree, manifest.id) if out.path == path), None)
    if output is None:
        raise NotFound(f"its dvc.lock does not name {path}")
    listed = dir_listing.read(require_object(read, output.md5, path), output.md5)
    listed = listed.filter(col("relpath").str.starts_with("test/"))
    found = items.parse(listed)
    named = col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("label", "uuid")
    frame = found.frame.join(listed.select("relpath", named), on=("label", "uuid"))
    if frame.is_empty():
        raise NotFound(f"{path}/test has no images")
    if twice := items.find_repeated(found)["uuid"].to_list():
        raise Refused(f"{path}/test has images twice, such as {twice[0]}", fix="registry check")
    return TestSet(output, frame.select("uuid", "label", "md5", "relpath").sort("uuid"), found.tables.get("test"))


def _locked_answers(side: Side, read: Reader) -> DataFrame | None:
    """The answers that the training's evaluation left; None where it keeps none."""
    path = f"{side.manifest.id}/{evaluation_run.PREDICTIONS}"
    out = next((out for out in side.lock.outs if out.path == path), None)
    return predictions.read(require_object(read, out.md5, path), side.test.frame, path) if out else None


def is_same(base: Side, new: Side) -> bool:
    """Whether the new version is the base's training."""
    return (base.lock.outs, base.lock.deps, base.lock.recipe) == (new.lock.outs, new.lock.deps, new.lock.recipe)
