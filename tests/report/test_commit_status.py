"""The commit status of a report."""

import json

import pytest

from registry.errors import InvalidDocument
from registry.report.commit_status import commit_status


def report(verdict: object = "ready", headline: object = "one\nline") -> bytes:
    return json.dumps({"verdict": verdict, "headline": headline}).encode()


@pytest.mark.parametrize(
    ("verdict", "train", "state", "words"),
    [
        ("ready", "success", "success", "ready: one line"),
        ("needs an owner", "success", "success", "needs an owner: one line"),
        ("blocked", "success", "failure", "blocked: one line"),
        ("blocked", "failure", "failure", "blocked: one line"),
        ("ready", "failure", "failure", "train: failure (ready: one line)"),
    ],
)
def test_a_report_as_a_status(verdict: str, train: str, state: str, words: str) -> None:
    assert commit_status(report(verdict), {"train": train}) == (state, words)


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{}", report("fine"), report(["ready"]), report({})])
def test_what_is_no_report_sets_no_status(data: bytes) -> None:
    with pytest.raises(InvalidDocument, match="not a report"):
        commit_status(data, {})
