"""What a run of `pull-request.yml` has to have done."""

import re
from pathlib import Path

import pytest
import yaml

from registry.integrations import github, github_runs
from registry.integrations.github_runs import Job, Run
from registry.report import required_jobs
from registry.report.required_jobs import TESTS, WORKFLOW
from support.servers.github import GitHub, serve
from support.servers.github_runs import add_run
from support.workflow_files import ROOT

DONE = {"Validate": "success", TESTS: "success", "Train": "skipped"}


def said(jobs: dict[str, str], *, programs: bool, workflow: str = WORKFLOW, conclusion: str = "success") -> list[str]:
    run = Run(workflow, conclusion, "https://x/1", tuple(Job(*job) for job in jobs.items()))
    return [one.message for one in required_jobs.faults(run, touches_programs=programs)]


@pytest.mark.parametrize(
    ("jobs", "programs"),
    [(DONE, True), (DONE, False), (DONE | {TESTS: "skipped"}, False), ({"Validate": "success"}, False)],
)
def test_a_run_that_did_what_the_change_needs(jobs: dict[str, str], programs: bool) -> None:
    assert said(jobs, programs=programs) == []


@pytest.mark.parametrize(
    "jobs",
    [DONE | {TESTS: "skipped"}, {"Validate": "success"}, {"Validate": "success", "tests and linters": "success"}],
)
def test_tests_that_did_not_run(jobs: dict[str, str]) -> None:
    assert said(jobs, programs=True) == [f"programs changed, and the job {TESTS} did not run"]


@pytest.mark.parametrize("result", ["failure", "cancelled", "timed_out", "action_required", "neutral", ""])
def test_a_job_that_did_not_succeed(result: str) -> None:
    words = f"ended with {result or 'no result'}"
    for name in DONE:
        for programs in (True, False):
            assert said(DONE | {name: result}, programs=programs, conclusion="failure") == [f"the job {name} {words}"]


def test_a_validation_that_did_not_run() -> None:
    assert said({"Fine": "success"}, programs=False) == ["the job Validate did not run"]
    assert said(DONE | {"Validate": "skipped"}, programs=True) == ["the job Validate did not run"]


def test_a_run_without_jobs_or_of_another_workflow() -> None:
    assert said({}, programs=False, conclusion="startup_failure") == ["the run ended with startup_failure"]
    [words] = said(DONE, programs=True, workflow=".github/workflows/other.yml")
    assert words.startswith("the judged run is of .github/workflows/other.yml, expected")


def test_the_names_are_those_of_the_workflow() -> None:
    jobs = yaml.safe_load((ROOT / WORKFLOW).read_text())["jobs"]
    assert [jobs[name]["name"] for name in ("validate", "tests", "train")] == list(DONE)
    assert jobs["tests"]["if"] == "needs.validate.outputs.tooling == 'true'"
    assert [step["run"] for step in jobs["tests"]["steps"] if "make" in step.get("run", "")] == ["make ci"]
    for makefile in (ROOT / "Makefile", ROOT / "scripts/registry/scaffold/templates/copy/Makefile"):
        assert re.search(r"^ci: check (coverage|test) ", makefile.read_text(), re.MULTILINE)


def test_jobs_of_several_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that another attempt did not run keeps its result, and is listed or not."""
    with serve(GitHub()) as hub:
        for name, value in hub.env().items():
            monkeypatch.setenv(name, value)
        add_run(hub, 7, f"{WORKFLOW}@refs/pull/1/merge", "failure", DONE | {TESTS: "failure"})
        add_run(hub, 7, f"{WORKFLOW}@refs/pull/1/merge", "success", {TESTS: "success"}, attempt=2)
        for number in range(120):  # more than a page
            add_run(hub, 8, WORKFLOW, "success", {f"Job {number}": "success"})
        found = github_runs.read_run(github.connect(tmp_path), 7)
        assert (found.workflow, found.conclusion) == (WORKFLOW, "success")
        assert {job.name: job.conclusion for job in found.jobs} == DONE
        assert len(github_runs.read_run(github.connect(tmp_path), 8).jobs) == 120
