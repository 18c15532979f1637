"""What a report holds: the part that is shown, and what it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from registry.core.values import Finding, Outcome, Verdict
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange
from registry.report.blocks import Section
from registry.report.run_info import RunInfo


class State(StrEnum):
    """The verdict on a pull request."""

    READY = "ready"
    NEEDS_OWNER = "needs an owner"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many checks passed, need an owner, failed, or could not run; a check is counted once."""

    passed: int
    needs_owner: int
    failed: int
    not_run: int


@dataclass(frozen=True, slots=True)
class Page:
    """What Markdown and HTML show of a report; `sections` are the datasets, then the models."""

    state: State
    headline: str
    tally: Tally
    findings: tuple[Finding, ...]
    not_run: tuple[Outcome, ...]
    sections: tuple[Section, ...]
    run: RunInfo


@dataclass(frozen=True, slots=True)
class Report(Page):
    """A whole report: what it shows, and the changes that it was made of."""

    datasets: tuple[DatasetChange, ...]
    models: tuple[ModelChange, ...]


def state_of(findings: Sequence[Finding], not_run: Sequence[Outcome]) -> State:
    """The verdict that findings make; a check that could not run needs an owner."""
    if any(one.verdict is Verdict.WRONG for one in findings):
        return State.BLOCKED
    return State.NEEDS_OWNER if findings or not_run else State.READY
