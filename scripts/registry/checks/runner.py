"""Runs the table of checks over facts: what is required first, what each finds, and what could not run."""

from collections.abc import Iterable, Iterator, Sequence

from registry.checks.context import Facts
from registry.checks.findings import Diagnostic
from registry.checks.rules import changes
from registry.checks.table import CHECKS, ArtifactCheck, FilesCheck, RegistryCheck
from registry.core.check_names import CheckName
from registry.core.layout import owner_of
from registry.core.values import ArtifactId, Outcome, Verdict
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange, Refusal

Done = dict[tuple[CheckName, ArtifactId | None], Outcome]


def run(facts: Facts) -> tuple[Outcome, ...]:
    """The outcome of every check that applies, in the table's order."""
    done: Done = {}
    subjects = {subject.id: subject for subject in facts.subjects}
    for check in CHECKS:
        if isinstance(check, RegistryCheck) and check.applies(facts):
            done[check.name, None] = _run_once(check, facts, done)
        elif isinstance(check, FilesCheck):
            for files in (files for files in facts.checked if files.id.kind in check.kinds):
                done[check.name, files.id] = _outcome(check.name, files.id, check.rule(files))
        elif isinstance(check, ArtifactCheck) and check.applies(facts):
            for files in (files for files in facts.checked if files.id.kind in check.kinds):
                reason = _blocked(done, check.requires, files.id)
                found = () if reason else check.run(subjects.get(files.id), facts)
                done[check.name, files.id] = _outcome(check.name, files.id, found, reason)
    return tuple(done.values())


def _run_once(check: RegistryCheck, facts: Facts, done: Done) -> Outcome:
    if reason := _blocked(done, check.requires, None):
        return Outcome(check.name, None, not_run=reason)
    # A file of an artifact is a matter of its owners, although the check runs once for all files.
    findings = tuple(found.of(check.name, owner_of(found.path)) for found in check.rule(facts))
    return Outcome(check.name, None, findings)


def _blocked(done: Done, requires: Iterable[CheckName], artifact: ArtifactId | None) -> str:
    """Why a check cannot run: the first of the required ones that found something wrong, or could not run.

    A required check ran for the same artifact, or once for all.
    """
    required = (done[key] for name in requires for key in ((name, artifact), (name, None)) if key in done)
    blocking = (one.check for one in required if one.not_run or one.verdict is Verdict.WRONG)
    return next((f"requires {name} to pass" for name in blocking), "")


def _outcome(check: CheckName, artifact: ArtifactId, found: Iterable[Diagnostic], not_run: str = "") -> Outcome:
    return Outcome(check, artifact, tuple(one.of(check, artifact) for one in found), not_run)


def run_on_changes(datasets: Sequence[DatasetChange], models: Sequence[ModelChange]) -> Iterator[Outcome]:
    """The outcomes of what compares two versions by their objects; metrics and gates are judged again."""
    for dataset in datasets:
        if dataset.new is not None:
            found = changes.images_are_distinct(dataset)
            yield _outcome(CheckName.DUPLICATES, dataset.id, found, dataset.unknown)
    for model in models:
        if model.images or model.disagreements:
            yield _outcome(CheckName.METRICS, model.id, changes.metrics_are_measured(model))
        if model.gates:
            yield _outcome(CheckName.GATES, model.id, changes.gates_hold_against_base(model))
        if model.measuring:
            yield _outcome(CheckName.MEASUREMENT, model.id, changes.measurement_is_unchanged(model))
        if model.unknown or (model.trained and model.old is not None and model.new is not None):
            found = changes.versions_are_compared(model)
            yield _outcome(CheckName.COMPARISON, model.id, found, model.unknown)


def run_on_results(refusals: Sequence[Refusal]) -> Outcome:
    """The outcome of what a training job handed over."""
    return _once(CheckName.TRAINING_RESULTS, changes.results_are_accepted(refusals))


def run_on_jobs(refusals: Sequence[Refusal]) -> Outcome:
    """The outcome of the jobs of a run in CI."""
    return _once(CheckName.WORKFLOW_JOBS, changes.jobs_succeeded(refusals))


def _once(name: CheckName, found: Iterable[Diagnostic]) -> Outcome:
    return Outcome(name, None, tuple(one.of(name, owner_of(one.path)) for one in found))
