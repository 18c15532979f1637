"""Runs of GitHub Actions: what a run did, job by job."""

from dataclasses import dataclass

from registry.integrations import github
from registry.integrations.github import Repository


@dataclass(frozen=True, slots=True)
class Job:
    """A job of a run, in its latest attempt; `conclusion` is empty until it ends."""

    name: str
    conclusion: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the workflow in the file `workflow`; `conclusion` is empty until it ends."""

    workflow: str
    conclusion: str
    url: str
    jobs: tuple[Job, ...]


def read_run(repository: Repository, number: int) -> Run:
    """A run, with the jobs that ran or were skipped. Raises ServiceFailed."""
    path = f"repos/{repository}/actions/runs/{number}"
    found = github.get(repository, path)
    # A job that is not run again keeps the result of its attempt.
    rows = github.get_all(repository, f"{path}/jobs?filter=all", "jobs")
    jobs = [Job(row["name"], row["conclusion"] or "", row.get("run_attempt", 1)) for row in rows]
    latest = {job.name: max(one.attempt for one in jobs if one.name == job.name) for job in jobs}
    # The path of a workflow is followed by `@` and a ref in some responses.
    return Run(
        found["path"].partition("@")[0],
        found["conclusion"] or "",
        found["html_url"],
        tuple(job for job in jobs if job.attempt == latest[job.name]),
    )
