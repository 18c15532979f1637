"""Which jobs a run of the workflow of pull requests must have done, for the change that it was started for.

A pull request can change that workflow. So what is required is decided here, by the default branch's code, and a run
that left a job out has not done it.
"""

from collections.abc import Iterator

from registry.integrations.github_runs import Run
from registry.model.changes import Refusal

WORKFLOW = ".github/workflows/pull-request.yml"
# The names of its jobs: the one that always runs, and the one that runs the project's own tests.
VALIDATE, TESTS = "Validate", "Tests and linters"
_PASSED = frozenset({"success", "skipped"})


def faults(run: Run, *, touches_programs: bool) -> Iterator[Refusal]:
    """Why the run is no ground for a merge; each names the job."""
    if run.workflow != WORKFLOW:
        fix = f"give that workflow another name: the one of {WORKFLOW} is judged"
        yield Refusal(f"the judged run is of {run.workflow}, expected {WORKFLOW}", run.workflow, fix)
        return
    failed = [job for job in run.jobs if job.conclusion not in _PASSED]
    for job in failed:
        yield Refusal(f"the job {job.name} ended with {job.conclusion or 'no result'}", "", f"read its log: {run.url}")
    if not failed and run.conclusion != "success":
        yield Refusal(f"the run ended with {run.conclusion or 'no result'}", "", f"read its log: {run.url}")
    if failed or run.conclusion != "success":
        return
    done = {job.name for job in run.jobs if job.conclusion == "success"}
    fix = f"restore the job in {WORKFLOW}, and push"
    if VALIDATE not in done:
        yield Refusal(f"the job {VALIDATE} did not run", WORKFLOW, fix)
    if touches_programs and TESTS not in done:
        yield Refusal(f"programs changed, and the job {TESTS} did not run", WORKFLOW, fix)
