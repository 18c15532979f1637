"""One version of a model, read from its tree and its objects: its model file, its images, and its predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from polars import DataFrame, String, col, concat

from registry.core import artifact_files, declared_results, item_paths, layout, lineage, parts
from registry.core.artifact_files import Lock, Reader
from registry.core.declared_results import Declared
from registry.core.documents import Document
from registry.core.lineage import Backbone
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, ModelManifest, Output
from registry.core.wording import plural
from registry.dataset import items, metadata_tables, version_files
from registry.errors import NotFound, Refused, RegistryError
from registry.model import tasks, training_images
from registry.model.changes import Role
from registry.storage.reader import require_object
from registry.sync import inventory

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """A version's test images: columns uuid, label, md5, relpath, and those that its task needs, sorted by uuid.

    `outputs` have them, `tables` has the md5 of each metadata.parquet by its folder. `seen` are images on which the
    version was trained, columns uuid and md5: the others of the dataset, or of a model that was trained elsewhere those
    test images that its list names.
    """

    outputs: tuple[Output, ...]
    frame: DataFrame
    tables: Mapping[str, str]
    seen: DataFrame


NONE_SEEN = DataFrame(schema={"uuid": String, "md5": String})


class Evaluable(NamedTuple):
    """A version that can be measured: its model file is recorded and its test set could be read.

    `files` are the model file, and its sidecar where it has one.
    """

    version: "ModelVersion"
    files: tuple[Output, ...]
    test_set: TestSet


@dataclass(frozen=True, slots=True, eq=False)
class ModelVersion:
    """One version of a model: its files, its test set, and its recorded predictions (see `tasks.Task.read`).

    `stored` is its `predictions.parquet`; the predictions of a base are not read, because it is measured again.
    `declared` is what its pipeline declares beside the judge's metrics, `reported` those metrics by file. `model_files`
    are the model file and, where it has one, its sidecar; nothing before the first training. `backbones` is all that it
    builds on.
    `unknown` gives the reason why something that is None could not be read, `fault` what is wrong with the predictions.
    """

    role: Role
    files: artifact_files.Files
    manifest: ModelManifest
    lock: Lock | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    declared: Declared = field(default_factory=Declared)
    reported: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    test_set: TestSet | None = None
    stored: Output | None = None
    predictions: DataFrame | None = None
    model_files: tuple[Output, ...] = ()
    backbones: tuple[Backbone, ...] = ()
    unknown: str = ""
    fault: str = ""

    @property
    def made_of(self) -> tuple[ModelManifest, ...]:
        """Its manifest, and those of the models that it builds on."""
        return (self.manifest, *(one.manifest for one in self.backbones if one.manifest))

    @property
    def evaluable(self) -> Evaluable | None:
        """The version with all that the judge needs; None where something is missing."""
        return Evaluable(self, self.model_files, self.test_set) if self.model_files and self.test_set else None


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
        same = self.base.model_files == self.new.model_files
        return same and (base.outs, base.deps, base.recipe) == (new.outs, new.deps, new.recipe)


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
            faults.append(f"the {role} version cannot be read: {reason(error)}")
    frames = [one.test_set.frame.select("uuid", "md5") for one in versions.values() if one.test_set]
    tested = concat([NONE_SEEN, *frames]).unique()
    versions = {role: _with_listed(version, tested, read) for role, version in versions.items()}
    return VersionPair(artifact, versions.get(Role.BASE), versions.get(Role.NEW), tuple(faults))


def read_version(role: Role, tree: Tree, artifact: ArtifactId, read: Reader) -> ModelVersion:
    """One version, from its tree and the objects.

    Raises NotFound and InvalidDocument for its manifest; anything else that cannot be read is explained in `unknown`.
    """
    tree_files = artifact_files.list_files(tree)
    files = artifact_files.read_artifact(tree_files, artifact)
    metrics = (files.metrics.value if files.metrics else None) or {}
    pipeline = files.pipeline.document if files.pipeline and files.pipeline.value else None
    reported = {file.path: file.value for file in files.reported if file.value is not None}
    manifest = files.require_model()
    elsewhere = _plots_elsewhere(tree_files, artifact, pipeline)
    declared = declared_results.find(pipeline, artifact, elsewhere, tasks.judged_plots(manifest.task))
    version = ModelVersion(
        role,
        tree_files,
        manifest,
        metrics=metrics,
        declared=declared,
        reported=reported,
        model_files=files.model_files,
        backbones=lineage.read(tree_files, manifest),
    )
    lock = files.lock
    if lock is None:
        done = "measured" if manifest.origin else "trained"
        known = manifest.origin and not manifest.is_measured
        return version if known else replace(version, unknown=f"the {role} model was never {done}")
    if lock.value is None:
        return replace(version, unknown=f"dvc.lock of the {role} version: {lock.faults[0].message}")
    stored = next((out for out in lock.value.outs if out.path == f"{artifact}/{PREDICTIONS}"), None)
    version = replace(version, lock=lock.value, stored=stored)
    if not manifest.is_measured:
        return version
    try:
        test_set = _test_set(tree, version.manifest, read)
        version = replace(version, test_set=test_set)
        return replace(version, predictions=read_recorded(version, test_set, read)) if role is Role.NEW else version
    except Refused as error:
        if version.test_set is None:
            return replace(version, unknown=f"the {role} version: {reason(error)}")
        return replace(version, fault=reason(error))
    except RegistryError as error:
        return replace(version, unknown=f"the {role} version: {reason(error)}")


def _plots_elsewhere(files: artifact_files.Files, artifact: ArtifactId, pipeline: Document | None) -> frozenset[str]:
    """The ids of plots in other models' pipelines; they are read only where this one has an id."""
    if not declared_results.plot_ids(pipeline):
        return frozenset()
    others = [path for path in files.entries if path.startswith("models/") and path.endswith("/dvc.yaml")]
    parsed = [artifact_files.read_pipeline(files, path) for path in others if path != f"{artifact}/dvc.yaml"]
    return frozenset().union(*(declared_results.plot_ids(one.document) for one in parsed if one.value))


def _with_listed(version: ModelVersion, tested: DataFrame, read: Reader) -> ModelVersion:
    """The version, with those test images of both that lists of training images name: its own, those of backbones."""
    if version.test_set is None:
        return version
    try:
        read_lists = (training_images.read(version.files, manifest) for manifest in version.made_of)
        lists = [listed for listed in read_lists if listed is not None]
    except RegistryError as error:
        return replace(version, unknown=version.unknown or f"the {version.role} version: {reason(error)}")
    found = [training_images.seen(listed, tested, read) for listed in lists]
    unread = max((number for _, number in found), default=0)
    unknown = (
        f"{plural(unread, 'test image')} could not be compared with the training images of the {version.role} model"
    )
    seen = concat([version.test_set.seen, *(images for images, _ in found)]).unique(maintain_order=True)
    test_set = replace(version.test_set, seen=seen)
    return replace(version, test_set=test_set, unknown=version.unknown or (unknown if unread else ""))


def _test_set(tree: Tree, manifest: ModelManifest, read: Reader) -> TestSet:
    path = f"{manifest.dataset}/prepared"
    outputs = tuple(out for out in inventory.read_tracked(tree, manifest.id).inputs if under(out.path, path))
    if not outputs:
        raise NotFound(f"dvc.lock has no dependency {path}")
    listed = version_files.read(parts.of_outputs(outputs), read, path)
    found = items.parse(listed)
    if twice := items.find_repeated(found)["uuid"].to_list():
        raise Refused(f"{path} contains duplicate images, such as {twice[0]}", fix="registry check")
    is_test = col("split") == "test"
    named = listed.select("relpath", col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("uuid"))
    frame = found.frame.filter(is_test).join(named, on="uuid").select("uuid", "label", "md5", "relpath").sort("uuid")
    if frame.is_empty():
        raise NotFound(f"{path}/test contains no images")
    seen = NONE_SEEN if manifest.origin else found.frame.filter(~is_test).select("uuid", "md5")
    tables = {folder: md5 for folder, md5 in found.tables.items() if under(folder, "test")}
    for name in tasks.of(manifest).TRUTH:
        frame = frame.join(_truth(read, tables, path, name), on="uuid", how="left", maintain_order="left")
    tested = tuple(out for out in outputs if out.path == path or under(out.path, f"{path}/test"))
    return TestSet(tested, frame, tables, seen)


def _truth(read: Reader, tables: Mapping[str, str], path: str, name: str) -> DataFrame:
    """A column of the test set's metadata that a task needs: uuid and the column. Raises Refused and NotFound."""
    found = [
        metadata_tables.read_texts(require_object(read, md5, f"{path}/{folder}/{item_paths.METADATA}"), name)
        for folder, md5 in tables.items()
    ]
    values = [one for one in found if one is not None]
    if not values or len(values) < len(found):
        fault = f"{path}/test/{item_paths.METADATA} has no column {name}, which the task needs"
        raise Refused(fault, fix="add it to columns in dataset.yaml")
    return concat(values).rename({"value": name})


def read_recorded(version: ModelVersion, test_set: TestSet, read: Reader) -> DataFrame | None:
    """The predictions that the pipeline's evaluation stored; None where it stores none."""
    if version.stored is None:
        return None
    data = require_object(read, version.stored.md5, version.stored.path)
    return tasks.of(version.manifest).read(data, test_set.frame, version.stored.path)


def reason(error: Exception) -> str:
    """An error on one line: its message, and the first detail below it."""
    lines = str(error.message if isinstance(error, RegistryError) else error).splitlines()
    return ": ".join(line.strip() for line in lines[:2])[:300]
