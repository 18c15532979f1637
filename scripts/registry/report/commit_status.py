"""The commit status `registry/gate`: what a report says in one word and one line."""

from typing import NamedTuple

from registry.core.check_names import CheckName
from registry.core.values import Verdict
from registry.report.values import Page, State

CONTEXT = "registry/gate"
STATES = {State.READY: "success", State.NEEDS_OWNER: "success", State.BLOCKED: "failure"}
DECIDED = frozenset({"success", "failure", "error"})  # states of a commit that was judged


class CommitStatus(NamedTuple):
    """A commit status at GitHub: its state (`success` or `failure`) and its description, one line."""

    state: str
    description: str


def commit_status(page: Page) -> CommitStatus:
    """The commit status for a report; of one that blocks, it says the first reason, before jobs that failed for it.

    A change that needs an owner succeeds, because branch protection requires the owner's review separately.
    """
    blocking = [one for one in page.findings if one.verdict is Verdict.WRONG]
    wrong = [one.message for one in sorted(blocking, key=lambda one: one.check is CheckName.WORKFLOW_JOBS)]
    words = f"{wrong[0]} (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else wrong[0] if wrong else page.headline
    return CommitStatus(STATES[page.state], " ".join(f"{page.state}: {words}".split()))
