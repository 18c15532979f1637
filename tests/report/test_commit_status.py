"""The commit status of a report."""

from dataclasses import replace

import pytest

from registry.core.check_names import CheckName
from registry.core.values import Finding, Verdict
from registry.report.commit_status import commit_status
from registry.report.values import State
from support import report_situations


def finding(message: str, verdict: Verdict = Verdict.WRONG) -> Finding:
    return Finding(CheckName.ITEMS, None, verdict, message)


A_JOB = Finding(CheckName.WORKFLOW_JOBS, None, Verdict.WRONG, "the job Train ended with failure")


@pytest.mark.parametrize(
    ("verdict", "findings", "state", "words"),
    [
        (State.READY, (), "success", "ready: one line"),
        (State.NEEDS_OWNER, (finding("x", Verdict.NEEDS_OWNER),), "success", "needs an owner: one line"),
        (State.BLOCKED, (finding("lost\nimages"),), "failure", "blocked: lost images"),
        (State.BLOCKED, (finding("a"), finding("b")), "failure", "blocked: a (and 1 more)"),
        (State.BLOCKED, (A_JOB, finding("b")), "failure", "blocked: b (and 1 more)"),
        (State.BLOCKED, (A_JOB,), "failure", "blocked: the job Train ended with failure"),
    ],
)
def test_a_report_as_a_status(verdict: State, findings: tuple[Finding, ...], state: str, words: str) -> None:
    page = replace(report_situations.trained(), state=verdict, headline="one\nline", findings=findings)
    assert commit_status(page) == (state, words)
