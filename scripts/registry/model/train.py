"""Trains the models that a change made stale: which models these are, and the data that they need."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from registry.core import artifact_files, layout, manifests
from registry.core.check_names import CheckName
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Outcome
from registry.integrations import dvc


class StaleModel(NamedTuple):
    """A model whose training is missing or not current, or that has to wait, and the reason."""

    id: ArtifactId
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Models to train and models to skip, each with the reason; `datasets` are the ones that the former train on."""

    models: tuple[StaleModel, ...]
    skipped: tuple[StaleModel, ...]
    datasets: tuple[ArtifactId, ...]

    def __str__(self) -> str:
        lines = [f"{model.id}: {model.reason}" for model in (*self.models, *self.skipped)]
        return "\n".join(lines if self.models else [*lines, "nothing to train"])

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets for `registry pull`: images to train on, and the previous outputs of the models."""
        return (*(f"{dataset}/prepared" for dataset in self.datasets), *(str(model.id) for model in self.models))


def plan(tree: Tree, outcomes: Iterable[Outcome]) -> Plan:
    """The models that were never trained, or whose code, parameters or data changed since, by the training check."""
    stale = {
        outcome.artifact: outcome.findings[0].message
        for outcome in outcomes
        if outcome.check == CheckName.TRAINING and outcome.artifact and outcome.findings
    }
    data = {model: dataset for model in stale if (dataset := manifests.load_model(tree, model).dataset)}
    built = {model for model, dataset in data.items() if tree.has(layout.prepared_pointer(dataset))}
    untested = {model for model in built if not _has_tests(tree, data[model])}
    skipped = [StaleModel(model, f"{data[model]} is not built yet") for model in data if model not in built]
    skipped += [StaleModel(model, f"{data[model]} has no test image to measure on") for model in sorted(untested)]
    return Plan(
        tuple(StaleModel(model, reason) for model, reason in stale.items() if model in built - untested),
        tuple(skipped),
        tuple(sorted({data[model] for model in built - untested})),
    )


def _has_tests(tree: Tree, dataset: ArtifactId) -> bool:
    """Whether a built dataset has a test image, as far as its pointer says."""
    path = layout.prepared_pointer(dataset)
    pointer = artifact_files.read_pointer(artifact_files.list_files(tree), path).value
    return pointer is None or pointer.build is None or any(pointer.build.counts.get("test", {}).values())


def apply(plan: Plan, root: Path) -> None:
    """Run the stale stages with DVC, which reuses results from its run cache. Raises ToolFailed."""
    for model in plan.models:
        dvc.repro(root, f"{model.id}/dvc.yaml")
