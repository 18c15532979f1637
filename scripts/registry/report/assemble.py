"""Assembles a report: the verdict, the tally of checks, every finding (worst first), and the sections."""

from collections.abc import Iterator, Sequence

from registry.checks import output, runner
from registry.core.check_names import CheckName
from registry.core.values import Outcome, Verdict
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange
from registry.report import dataset_section as dataset_sections
from registry.report import model_section as model_sections
from registry.report.run_info import RunInfo
from registry.report.summary import headline
from registry.report.values import Report, Tally, state_of


def assemble(
    outcomes: Sequence[Outcome], datasets: Sequence[DatasetChange], models: Sequence[ModelChange], run: RunInfo
) -> Report:
    """The report of a change: the results of `check`, `diff` and `compare`, sorted by name."""
    datasets = tuple(sorted(datasets, key=lambda one: one.id))
    models = tuple(sorted(models, key=lambda one: one.id))
    outcomes = (*_without_reevaluated(outcomes, models), *runner.run_on_changes(datasets, models))
    findings = output.findings(outcomes)
    not_run = tuple(one for one in outcomes if one.not_run)
    sections = (*map(dataset_sections.section, datasets), *map(model_sections.section, models))
    return Report(
        state_of(findings, not_run),
        headline(datasets, models),
        tally(outcomes),
        findings,
        not_run,
        sections,
        run,
        datasets,
        models,
    )


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """The number of checks by result."""
    ran = [one.verdict for one in outcomes if not one.not_run]
    return Tally(
        passed=ran.count(Verdict.OK),
        needs_owner=ran.count(Verdict.NEEDS_OWNER),
        failed=ran.count(Verdict.WRONG),
        not_run=len(outcomes) - len(ran),
    )


def _without_reevaluated(outcomes: Sequence[Outcome], models: Sequence[ModelChange]) -> Iterator[Outcome]:
    """The outcomes of `check`, without those on metrics and gates that the judge decided again."""
    judged = {(CheckName.GATES, one.id) for one in models if one.gates}
    judged |= {(CheckName.METRICS, one.id) for one in models if one.images or one.disagreements}
    yield from (one for one in outcomes if (one.check, one.artifact) not in judged or one.not_run)
