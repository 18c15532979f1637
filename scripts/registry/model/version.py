"""One version of a model, read from its tree and its objects: its training, its test set, and its predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from polars import DataFrame, col

from registry.core import artifact_files, item_paths, layout
from registry.core.artifact_files import Lock, Reader
from registry.core.tree import Tree
from registry.core.values import ArtifactId, ModelManifest, Output
from registry.dataset import items
from registry.errors import NotFound, Refused, RegistryError
from registry.model import evaluation_run, predictions
from registry.model.changes import Role
from registry.storage.reader import require_object
from registry.sync import dir_listing, inventory


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """A version's test images: columns uuid, label, md5, relpath; `table` is the md5 of their metadata.parquet."""

    output: Output
    frame: DataFrame
    table: str | None

    def lacks(self, other: "TestSet") -> bool:
        """Whether `other` has images (by uuid and md5) that this one does not have."""
        return other.frame.join(self.frame, on=("uuid", "md5"), how="anti").height > 0

    def equals(self, other: "TestSet") -> bool:
        """Whether both have the same images with the same labels."""
        columns = ["uuid", "label", "md5"]
        return self.frame.select(columns).sort("uuid").equals(other.frame.select(columns).sort("uuid"))


class Evaluable(NamedTuple):
    """A version that can be run: its training is recorded and its test set could be read."""

    version: "ModelVersion"
    lock: Lock
    test_set: TestSet


@dataclass(frozen=True, slots=True, eq=False)
class ModelVersion:
    """One version of a model: its files, its test set, and its recorded predictions (see `predictions.read`).

    `unknown` gives the reason why something that is None could not be read.
    """

    role: Role
    files: artifact_files.Files
    manifest: ModelManifest
    lock: Lock | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    test_set: TestSet | None = None
    predictions: DataFrame | None = None
    unknown: str = ""

    @property
    def weights(self) -> str:
        """The md5 of the model file; empty before the first training."""
        product = layout.product_path(self.manifest.id)
        return next((out.md5 for out in self.lock.outs if out.path == product), "") if self.lock else ""

    @property
    def evaluable(self) -> Evaluable | None:
        """The version with all that a run needs; None where something is missing."""
        return Evaluable(self, self.lock, self.test_set) if self.lock and self.test_set else None


@dataclass(frozen=True, slots=True, eq=False)
class VersionPair:
    """The two versions of a model to compare (None: missing); `faults` are the reasons why one cannot be read."""

    artifact: ArtifactId
    base: ModelVersion | None
    new: ModelVersion | None
    faults: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[ModelVersion, ...]:
        """The versions that exist, base first."""
        return tuple(version for version in (self.base, self.new) if version)

    @property
    def is_same_training(self) -> bool:
        """Whether the new version is the base's training: same outputs, dependencies and parameters."""
        if not (self.base and self.new and self.base.lock and self.new.lock):
            return False
        base, new = self.base.lock, self.new.lock
        return (base.outs, base.deps, base.recipe) == (new.outs, new.deps, new.recipe)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_pair(old: Tree, new: Tree, artifact: ArtifactId, read: Reader) -> VersionPair:
    """Both versions of a model; a version that cannot be read becomes a fault, and raises nothing.

    `read` is asked for `.dir` objects and predictions.
    """
    faults: list[str] = []
    versions: dict[Role, ModelVersion] = {}
    for role, tree in ((Role.BASE, old), (Role.NEW, new)):
        try:
            if tree.has(layout.manifest_path(artifact)):
                versions[role] = read_version(role, tree, artifact, read)
        except RegistryError as error:
            faults.append(f"the {role} version cannot be read: {evaluation_run.reason(error)}")
    return VersionPair(artifact, versions.get(Role.BASE), versions.get(Role.NEW), tuple(faults))


def read_version(role: Role, tree: Tree, artifact: ArtifactId, read: Reader) -> ModelVersion:
    """One version, from its tree and the objects.

    Raises NotFound and InvalidDocument for its manifest; anything else that cannot be read is explained in `unknown`.
    """
    tree_files = artifact_files.list_files(tree)
    files = artifact_files.read_artifact(tree_files, artifact)
    metrics = (files.metrics.value if files.metrics else None) or {}
    version = ModelVersion(role, tree_files, files.require_model(), metrics=metrics)
    lock = files.lock
    if lock is None:
        return replace(version, unknown=f"the {role} model was never trained")
    if lock.value is None:
        return replace(version, unknown=f"dvc.lock of the {role} version: {lock.faults[0].message}")
    version = replace(version, lock=lock.value)
    try:
        test_set = _test_set(tree, version.manifest, read)
        version = replace(version, test_set=test_set)
        return replace(version, predictions=_recorded_predictions(artifact, lock.value, test_set, read))
    except RegistryError as error:
        return replace(version, unknown=f"the {role} version: {evaluation_run.reason(error)}")


def _test_set(tree: Tree, manifest: ModelManifest, read: Reader) -> TestSet:
    path = f"{manifest.trained_on}/prepared"
    output = next((out for out in inventory.read_tracked(tree, manifest.id).inputs if out.path == path), None)
    if output is None:
        raise NotFound(f"dvc.lock has no dependency {path}")
    listed = dir_listing.read(require_object(read, output.md5, path), output.md5)
    listed = listed.filter(col("relpath").str.starts_with("test/"))
    found = items.parse(listed)
    named = col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("label", "uuid")
    frame = found.frame.join(listed.select("relpath", named), on=("label", "uuid"))
    if frame.is_empty():
        raise NotFound(f"{path}/test contains no images")
    if twice := items.find_repeated(found)["uuid"].to_list():
        raise Refused(f"{path}/test contains duplicate images, such as {twice[0]}", fix="registry check")
    return TestSet(output, frame.select("uuid", "label", "md5", "relpath").sort("uuid"), found.tables.get("test"))


def _recorded_predictions(artifact: ArtifactId, lock: Lock, test_set: TestSet, read: Reader) -> DataFrame | None:
    """The predictions that the training's evaluation stored; None where it stores none."""
    path = f"{artifact}/{evaluation_run.PREDICTIONS}"
    out = next((out for out in lock.outs if out.path == path), None)
    return predictions.read(require_object(read, out.md5, path), test_set.frame, path) if out else None
