"""The commit status of a report."""

from dataclasses import replace

import pytest

from registry.report.commit_status import commit_status
from registry.report.values import State
from support import report_situations


@pytest.mark.parametrize(
    ("verdict", "run", "state", "words"),
    [
        (State.READY, "success", "success", "ready: one line"),
        (State.NEEDS_OWNER, "success", "success", "needs an owner: one line"),
        (State.BLOCKED, "success", "failure", "blocked: one line"),
        (State.BLOCKED, "failure", "failure", "run: failure (blocked: one line)"),
        (State.READY, "failure", "failure", "run: failure (ready: one line)"),
        (State.READY, "cancelled", "failure", "run: cancelled (ready: one line)"),
    ],
)
def test_a_report_as_a_status(verdict: State, run: str, state: str, words: str) -> None:
    page = replace(report_situations.trained(), state=verdict, headline="one\nline")
    assert commit_status(page, {"run": run}) == (state, words)
