"""Compares the models of two trees: plans what the judge has to measure, measures it, and compares the versions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from registry.core import layout, parts, settings, wording
from registry.core.artifact_files import Reader
from registry.core.settings import Template
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind
from registry.core.wording import plural
from registry.errors import InvalidData, RegistryError
from registry.model import comparison, gates, judge_run, model_file, reported_results
from registry.model.changes import ModelChange, Role
from registry.model.comparison import Judgements
from registry.model.judge import Judgement
from registry.model.judge_run import JudgeRun
from registry.model.version import Evaluable, TestSet, VersionPair, read_pair, reason
from registry.sync.inventory import Reached

TOOLING = "scripts/registry/"  # the template's own code; a copy has it pinned in registry.yaml
Progress = Callable[[int, int], None]  # the number of images and of bytes that were completed


@dataclass(frozen=True, slots=True, eq=False)
class PlannedRun:
    """A version's model file to be measured on test images of the new version."""

    model: Role
    test: TestSet
    run: JudgeRun
    needs: tuple[tuple[Reached, str], ...]  # outputs, each with the path of the part that is needed

    def __str__(self) -> str:
        return f"{self.run.artifact}: measure the {self.model} model on {plural(self.run.test.height, 'test image')}"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One model to compare: its two versions, and the measurements that the comparison needs.

    `tooling` are the files of the code that measures, where they differ between the trees.
    """

    pair: VersionPair
    runs: tuple[PlannedRun, ...] = ()
    tooling: tuple[str, ...] = ()


# --- what to measure --------------------------------------------------------------------------------------------------


def changed_models(old: Tree, new: Tree) -> tuple[ArtifactId, ...]:
    """The models whose folders differ between two trees, sorted."""
    both = sorted({*layout.find(old), *layout.find(new)})
    return tuple(one for one in both if one.kind is Kind.MODEL and _content(old, one) != _content(new, one))


def _content(tree: Tree, artifact: ArtifactId) -> dict[str, bytes]:
    return {entry.path: tree.read(entry.path) for entry in tree.list(str(artifact))}


def plan(old: Tree, new: Tree, artifact: ArtifactId, read: Reader) -> Plan:
    """What the judge has to measure to compare a model of two trees: the new model file on all test images of the new
    version, the base's on those that it was not trained on.

    `read` is asked for `.dir` objects and predictions. A version that cannot be read is a fault of the pair.
    """
    pair = read_pair(old, new, artifact, read)
    return Plan(pair, tuple(_runs(pair)), _changed_tooling(old, new))


def _changed_tooling(old: Tree, new: Tree) -> tuple[str, ...]:
    listed = [{entry.path for entry in tree.list() if _is_tooling(entry.path)} for tree in (old, new)]
    both = listed[0] & listed[1]
    changed = (listed[0] ^ listed[1]) | {path for path in both if old.read(path) != new.read(path)}
    return tuple(sorted(changed | ({settings.PATH} if _pinned(old) != _pinned(new) else set())))


def _pinned(tree: Tree) -> Template | None:
    """The tooling that a copy installs; None in the template, and where the file cannot be read, which a check says."""
    try:
        return settings.read(tree).template
    except RegistryError:
        return None


def _is_tooling(path: str) -> bool:
    return path in {"requirements.txt", "requirements-torch.txt"} or path.startswith(TOOLING)


def _measuring(plan: Plan, found: Judgements) -> Iterator[str]:
    """What a change does to how models are measured, beside the model itself."""
    if plan.tooling:
        yield f"the change also changes the code that measures: {wording.abbreviate(list(plan.tooling))}"
    base, new = (found.by_role.get(role) for role in Role)
    if isinstance(base, Judgement) and isinstance(new, Judgement) and base.input != new.input:
        before, after = (model_file.format_input(one.input) for one in (base, new))
        yield f"the model file declares another input: {before}, now {after}"
    if plan.pair.base and plan.pair.new and plan.pair.base.manifest.task != plan.pair.new.manifest.task:
        yield f"task was {plan.pair.base.manifest.task}, is {plan.pair.new.manifest.task}"
    if plan.pair.base and plan.pair.new:
        kept = plan.pair.new.manifest.gates
        rules = (gates.describe_rule(one) for one in plan.pair.base.manifest.gates if one not in kept)
        yield from (f"the manifest no longer has the gate: {rule}" for rule in rules)


def pending_runs(root: Path, plans: Iterable[Plan]) -> tuple[PlannedRun, ...]:
    """The measurements that this machine has not made before."""
    return tuple(one for plan in plans for one in plan.runs if judge_run.read_cached(root, one.run) is None)


def _runs(pair: VersionPair) -> Iterator[PlannedRun]:
    base, new = (version.evaluable if version else None for version in (pair.base, pair.new))
    if new is None or pair.is_same_training:
        return
    yield _planned(new, new.test_set)
    if base is None or base.version.manifest.task != new.version.manifest.task:
        return
    if (shared := comparison.shared_test(base.test_set, new.test_set)).frame.height:
        yield _planned(base, shared)


def _planned(model: Evaluable, test: TestSet) -> PlannedRun:
    artifact = model.version.manifest.id
    needs = [(Reached(artifact, out), out.path) for out in model.files]
    needs += [
        (Reached(artifact, out), out.path if parts.is_part(out.path) else f"{out.path}/test") for out in test.outputs
    ]
    return PlannedRun(
        model.version.role, test, JudgeRun(artifact, model.version.manifest.task, model.files, test.frame), tuple(needs)
    )


# --- measuring --------------------------------------------------------------------------------------------------------


def apply(plan: Plan, root: Path, cache: Path, read: Reader, progress: Progress = lambda *_: None) -> ModelChange:
    """Measure what the plan needs, with objects from the cache, and compare.

    A model file that cannot be measured is explained in `unknown` of the result, and raises nothing.
    """
    pair, found = plan.pair, Judgements({}, list(plan.pair.faults), [])
    for planned in plan.runs:
        if judgement := _measure(planned, found, root, cache, progress):
            found.by_role[planned.model] = judgement
    found.unknown[:0] = [one.unknown for one in pair.versions if one.unknown]
    if pair.base and pair.new and pair.base.manifest.task != pair.new.manifest.task:
        found.unknown.append(f"the base model's task is {pair.base.manifest.task}, not {pair.new.manifest.task}")
    reported = reported_results.collect(pair.base, pair.new, read)
    change = comparison.compare(pair, found, read)
    return replace(change, reported=reported, measuring=tuple(_measuring(plan, found)))


def _measure(planned: PlannedRun, found: Judgements, root: Path, cache: Path, progress: Progress) -> Judgement | None:
    try:
        cached = judge_run.read_cached(root, planned.run)
        return cached or judge_run.execute(root, planned.run, cache, lambda images: progress(images, 0))
    except InvalidData as error:
        found.unknown.append(f"the {planned.model} model could not be measured: {reason(error)}")
        if planned.model is Role.NEW:
            found.faults.extend(f"model.onnx is not a valid model file: {problem}" for problem in error.problems)
        return None
    except RegistryError as error:
        found.unknown.append(f"the {planned.model} model could not be measured: {reason(error)}")
        return None
