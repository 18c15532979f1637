"""Trains the models that a change made stale: which models these are, and the data that they need."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from registry.core import artifact_files, layout
from registry.core.artifact_files import Files
from registry.core.check_names import CheckName
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind, Manifest, ModelManifest, Outcome, Verdict
from registry.integrations import dvc


class StaleModel(NamedTuple):
    """A model whose training is missing or not current, or that has to wait, and the reason."""

    id: ArtifactId
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Models to train and models to skip, each with the reason; `datasets` are the ones that the former train on.

    `backbones` are the models that they build on.
    """

    models: tuple[StaleModel, ...]
    skipped: tuple[StaleModel, ...]
    datasets: tuple[ArtifactId, ...]
    backbones: tuple[ArtifactId, ...] = ()

    def __str__(self) -> str:
        lines = [f"{model.id}: {model.reason}" for model in (*self.models, *self.skipped)]
        return "\n".join(lines if self.models else [*lines, "nothing to train"])

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets for `registry pull`: images to train on, files to build on, previous outputs of the models."""
        datasets, files = (map(layout.product_path, needed) for needed in (self.datasets, self.backbones))
        return (*datasets, *files, *(str(model.id) for model in self.models))


def plan(tree: Tree, outcomes: Iterable[Outcome], wanted: Collection[ArtifactId] = ()) -> Plan:
    """The models that were never trained, or whose code, parameters or data changed since, by the training check.

    With them come the models that build on one of them, after it; of the `wanted` ones only, and the models that these
    build on, where any is given. One whose pipeline or lock is invalid is skipped, with the fault.
    """
    outcomes = tuple(outcomes)
    stale = {
        outcome.artifact: outcome.findings[0].message
        for outcome in outcomes
        if outcome.check == CheckName.TRAINING and outcome.artifact and outcome.findings
    }
    files, invalid = artifact_files.list_files(tree), _invalid(outcomes)
    known = _manifests(files)
    ready: dict[ArtifactId, ModelManifest] = {}
    skipped: dict[ArtifactId, str] = {}
    models = list[StaleModel]()
    for manifest in _backbones_first(known, sorted(wanted or known)):
        model, wait = manifest.id, invalid.get(manifest.id, "")
        reason = stale.get(model) or _retrained(manifest, ready)
        if wait or (reason and (wait := _not_ready(files, manifest, ready, skipped))):
            skipped[model] = wait
        elif reason:
            ready[model] = manifest
            models.append(StaleModel(model, reason))
    datasets = {manifest.dataset for manifest in ready.values() if manifest.dataset}
    backbones = {one for manifest in ready.values() for one in manifest.builds_on if one not in ready}
    waiting = tuple(StaleModel(model, reason) for model, reason in skipped.items())
    return Plan(tuple(models), waiting, tuple(sorted(datasets)), tuple(sorted(backbones)))


def _invalid(outcomes: Iterable[Outcome]) -> Mapping[ArtifactId, str]:
    """The models whose pipeline or lock is invalid, each with a fault."""
    return {
        outcome.artifact: f"{finding.path}{f':{finding.line}' if finding.line else ''}: {finding.message}"
        for outcome in outcomes
        if outcome.check == CheckName.PIPELINE and outcome.artifact
        for finding in outcome.findings
        if finding.verdict is Verdict.WRONG
    }


def _manifests(files: Files) -> Mapping[ArtifactId, ModelManifest]:
    """The models of a tree whose manifest is valid."""
    models = (one for one in layout.find(files.tree) if one.kind is Kind.MODEL)
    found = (artifact_files.read_manifest(files, one).value for one in models)
    return {manifest.id: manifest for manifest in found if isinstance(manifest, ModelManifest)}


def _backbones_first(
    known: Mapping[ArtifactId, ModelManifest], wanted: Iterable[ArtifactId]
) -> tuple[ModelManifest, ...]:
    """The wanted models and all that they build on, each after what it builds on; a circle ends where it began."""
    found: dict[ArtifactId, ModelManifest] = {}
    begun = set[ArtifactId]()

    def visit(model: ArtifactId) -> None:
        if model in known and model not in begun:
            begun.add(model)
            for one in known[model].builds_on:
                visit(one)
            found[model] = known[model]

    for model in wanted:
        visit(model)
    return tuple(found.values())


def _retrained(manifest: ModelManifest, ready: Mapping[ArtifactId, ModelManifest]) -> str:
    """The reason to train a model after one that it builds on; an empty string where there is none."""
    found = (one for one in manifest.builds_on if one in ready and ready[one].origin is None)
    return next((f"builds on {one}, which is trained first" for one in found), "")


def _not_ready(
    files: Files, manifest: ModelManifest, ready: Collection[ArtifactId], skipped: Collection[ArtifactId]
) -> str:
    """What a model has to wait for before it can be trained; an empty string where it can be."""
    dataset = manifest.dataset
    if dataset and layout.prepared_pointer(dataset) not in files.entries:
        return f"{dataset} is not built yet"
    if dataset and manifest.is_measured and not _has_tests(files, dataset):
        return f"{dataset} has no test image to measure on"
    for backbone in manifest.builds_on:
        if backbone in skipped:
            return f"{backbone}, which it builds on, has to wait"
        known = layout.manifest_path(backbone) in files.entries
        if backbone not in ready and not (known and artifact_files.read_artifact(files, backbone).model_files):
            return f"{backbone}, which it builds on, has no model file yet"
    return ""


def concerned(tree: Tree, paths: Collection[str]) -> frozenset[ArtifactId]:
    """The models of a tree that a change of `paths` concerns.

    These are the models that it touches, those of datasets that it touches, and those that build on any of them.
    """
    touched = {owner for owner in map(layout.owner_of, paths) if owner}
    files = artifact_files.list_files(tree)
    models = {one for one in layout.find(tree) if one.kind is Kind.MODEL}
    manifest_of = {one: artifact_files.read_manifest(files, one).value for one in models}
    found = touched
    while more := {one for one in models - found if _depends_on(manifest_of[one], found)}:
        found = found | more
    return frozenset(found & models)


def _depends_on(manifest: Manifest | None, found: Collection[ArtifactId]) -> bool:
    return isinstance(manifest, ModelManifest) and any(one in found for one in (manifest.dataset, *manifest.builds_on))


def _has_tests(files: Files, dataset: ArtifactId) -> bool:
    """Whether a built dataset has a test image, as far as its pointer says."""
    pointer = artifact_files.read_pointer(files, layout.prepared_pointer(dataset)).value
    return pointer is None or pointer.build is None or any(pointer.build.counts.get("test", {}).values())


def apply(plan: Plan, root: Path) -> None:
    """Run the stale stages with DVC, which reuses results from its run cache. Raises ToolFailed."""
    for model in plan.models:
        dvc.repro(root, f"{model.id}/dvc.yaml")
