"""The commit status `registry/gate`: what a report and the jobs before it say in one word and one line."""

from collections.abc import Mapping
from typing import NamedTuple

from registry.core import documents
from registry.errors import InvalidDocument

CONTEXT = "registry/gate"
STATES = {"ready": "success", "needs an owner": "success", "blocked": "failure"}
FIX = "check the log of the job that made the report; no status was set"


class CommitStatus(NamedTuple):
    """A commit status at GitHub: its state (`success` or `failure`) and its description, one line."""

    state: str
    description: str


def commit_status(data: bytes, jobs: Mapping[str, str]) -> CommitStatus:
    """The commit status for a report.json and the results of earlier jobs.

    A change that needs an owner succeeds, because branch protection requires the owner's review separately. Raises
    InvalidDocument where `data` is not a report.
    """
    try:
        report = documents.read_json(data, "report.json")
        state, words = STATES[report["verdict"]], f"{report['verdict']}: {report['headline']}"
    except (InvalidDocument, KeyError, TypeError) as error:
        raise InvalidDocument("report.json", "is not a report of `registry report`", fix=FIX) from error
    failed = [f"{job}: {result}" for job, result in jobs.items() if result != "success"]
    if failed and state == "success":
        state, words = "failure", f"{', '.join(failed)} ({words})"
    return CommitStatus(state, " ".join(words.split()))
