"""The commit status `registry/gate`: what a report and the jobs before it say in one word and one line."""

from collections.abc import Mapping
from typing import NamedTuple

from registry.report.values import Page, State

CONTEXT = "registry/gate"
STATES = {State.READY: "success", State.NEEDS_OWNER: "success", State.BLOCKED: "failure"}
DECIDED = frozenset({"success", "failure", "error"})  # states of a commit that was judged


class CommitStatus(NamedTuple):
    """A commit status at GitHub: its state (`success` or `failure`) and its description, one line."""

    state: str
    description: str


def commit_status(page: Page, jobs: Mapping[str, str]) -> CommitStatus:
    """The commit status for a report and the results of earlier jobs.

    A change that needs an owner succeeds, because branch protection requires the owner's review separately.
    """
    state, words = STATES[page.state], f"{page.state}: {page.headline}"
    failed = [f"{job}: {result}" for job, result in jobs.items() if result != "success"]
    if failed:
        state, words = "failure", f"{', '.join(failed)} ({words})"
    return CommitStatus(state, " ".join(words.split()))
