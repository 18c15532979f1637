"""Training what a change made stale: which models those are, and what they need."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.core import layout, manifests
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Outcome
from registry.integrations import dvc

CHECK = "training"  # the check that knows which models are stale


@dataclass(frozen=True, slots=True)
class Plan:
    """Models to train and those that cannot be, each with the reason; `datasets` are what the first learn from."""

    models: tuple[tuple[ArtifactId, str], ...]
    skipped: tuple[tuple[ArtifactId, str], ...]
    datasets: tuple[ArtifactId, ...]

    def __str__(self) -> str:
        lines = [f"{model}: {why}" for model, why in (*self.models, *self.skipped)]
        return "\n".join(lines if self.models else [*lines, "nothing to train"])

    @property
    def targets(self) -> tuple[str, ...]:
        """What `registry pull` has to bring: images to learn from, and what the models wrote before."""
        return (*(f"{dataset}/prepared" for dataset in self.datasets), *(str(model) for model, _ in self.models))


def plan(tree: Tree, outcomes: Iterable[Outcome]) -> Plan:
    """The models that, as the check says, were never trained, or before a change of what they need."""
    stale = {
        outcome.artifact: outcome.findings[0].message
        for outcome in outcomes
        if outcome.check == CHECK and outcome.artifact and outcome.findings
    }
    learns_from = {model: manifests.load_model(tree, model).trained_on for model in stale}
    built = {model for model, dataset in learns_from.items() if tree.has(layout.prepared_pointer(dataset))}
    return Plan(
        tuple((model, why) for model, why in stale.items() if model in built),
        tuple((model, f"{learns_from[model]} is not built yet") for model in stale if model not in built),
        tuple(sorted({learns_from[model] for model in built})),
    )


def apply(plan: Plan, root: Path) -> None:
    """Run the stages that are stale; DVC takes what its run cache knows from there. Raises ToolFailed."""
    for model, _ in plan.models:
        dvc.repro(root, f"{model}/dvc.yaml")
