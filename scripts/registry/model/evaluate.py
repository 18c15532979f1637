"""Compares the models of two trees: plans the evaluations that are missing, runs them, and compares the versions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from polars import DataFrame

from registry.core import artifact_files, item_paths, layout
from registry.core.artifact_files import Reader
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind
from registry.errors import RegistryError
from registry.model import comparison, evaluation_run, predictions
from registry.model.changes import ModelChange, Role
from registry.model.comparison import Evaluations
from registry.model.evaluation_run import EvaluationRun
from registry.model.version import Evaluable, TestSet, VersionPair, read_pair
from registry.sync import inventory
from registry.sync.inventory import Reached

Progress = Callable[[int, int], None]  # the number of runs and of bytes that were completed


@dataclass(frozen=True, slots=True, eq=False)
class PlannedRun:
    """A model to be run on a test set that its recorded predictions do not cover."""

    model: Role
    test_set: Role
    test: TestSet
    run: EvaluationRun
    needs: tuple[tuple[Reached, str], ...]  # outputs, each with the path of the part that is needed

    def __str__(self) -> str:
        return f"{self.run.artifact}: run the {self.model} model on the {self.test_set} test set"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One model to compare: its two versions, and the runs that the comparison needs."""

    pair: VersionPair
    runs: tuple[PlannedRun, ...] = ()


# --- what to run ------------------------------------------------------------------------------------------------------


def changed_models(old: Tree, new: Tree) -> tuple[ArtifactId, ...]:
    """The models whose folders differ between two trees, sorted."""
    both = sorted({*layout.find(old), *layout.find(new)})
    return tuple(one for one in both if one.kind is Kind.MODEL and _content(old, one) != _content(new, one))


def _content(tree: Tree, artifact: ArtifactId) -> dict[str, bytes]:
    return {entry.path: tree.read(entry.path) for entry in tree.list(str(artifact))}


def plan(old: Tree, new: Tree, artifact: ArtifactId, read: Reader) -> Plan:
    """The runs that comparing a model of two trees needs; none where the recorded predictions suffice.

    `read` is asked for `.dir` objects and predictions. A version that cannot be read is a fault of the pair.
    """
    pair = read_pair(old, new, artifact, read)
    return Plan(pair, tuple(_runs(pair)))


def pending_runs(root: Path, plans: Iterable[Plan]) -> tuple[PlannedRun, ...]:
    """The runs whose result is not cached."""
    return tuple(one for plan in plans for one in plan.runs if evaluation_run.read_cached(root, one.run) is None)


def _runs(pair: VersionPair) -> Iterator[PlannedRun]:
    base, new = (version.evaluable if version else None for version in (pair.base, pair.new))
    if base is None or new is None or pair.is_same_training:
        return
    for model in (base, new):
        for data in (base, new):
            is_own = model is data
            if model.version.predictions is None if is_own else model.test_set.lacks(data.test_set):
                yield _planned(model, data)


def _planned(model: Evaluable, data: Evaluable) -> PlannedRun:
    tree, artifact = model.version.files.tree, model.version.manifest.id
    own = f"/{evaluation_run.PREDICTIONS}"
    outputs = tuple(out for out in inventory.outputs(tree, artifact) if not out.path.endswith(own))
    code = tuple(sorted({dep.path for dep in model.lock.deps if tree.list(dep.path)}))
    test = data.test_set
    files = test.frame.select("relpath", "md5")
    if test.table:
        files = files.vstack(DataFrame({"relpath": [item_paths.METADATA_FORMAT.format("test")], "md5": [test.table]}))
    needs = [(Reached(artifact, out), out.path) for out in outputs]
    needs.append((Reached(artifact, test.output), f"{test.output.path}/test"))
    run = EvaluationRun(artifact, tree, code, outputs, files)
    return PlannedRun(model.version.role, data.version.role, test, run, tuple(needs))


# --- running ----------------------------------------------------------------------------------------------------------


def apply(plan: Plan, root: Path, cache: Path, read: Reader, progress: Progress = lambda *_: None) -> ModelChange:
    """Run what the plan needs, with objects from the cache, and compare.

    A model whose code fails is explained in `unknown` of the result, and raises nothing.
    """
    pair, found = plan.pair, Evaluations({}, {}, list(plan.pair.faults))
    for version in pair.versions:
        if version.predictions is not None:
            own = (version.role, version.role)
            found.predictions[own] = version.predictions
            found.metrics[own] = comparison.finite_metrics(version.metrics)
    for planned in plan.runs:
        _evaluate(planned, found, root, cache)
        progress(1, 0)
    # Predictions that were lost are no gap where the model could be run instead.
    lost = [one.unknown for one in pair.versions if one.unknown and (one.role, one.role) not in found.predictions]
    found.unknown[:0] = lost
    return comparison.compare(pair, found, read)


def _evaluate(planned: PlannedRun, found: Evaluations, root: Path, cache: Path) -> None:
    pair = (planned.model, planned.test_set)
    try:
        result = evaluation_run.read_cached(root, planned.run) or evaluation_run.execute(root, planned.run, cache)
        found.predictions[pair] = predictions.read(result.predictions, planned.test.frame, "its predictions.parquet")
        measured = artifact_files.parse_metrics(result.metrics, "metrics.json").value
        found.metrics[pair] = comparison.finite_metrics(measured or {})
    except RegistryError as error:
        reason = evaluation_run.reason(error)
        found.unknown.append(f"the {planned.model} model could not be run on the {planned.test_set} test set: {reason}")
