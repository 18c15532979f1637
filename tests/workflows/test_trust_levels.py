"""The levels of trust: whose code each job runs, with which role, and which artifacts it takes and leaves."""

from typing import Any, NamedTuple

import pytest

from registry.release.github_environments import ENVIRONMENTS
from support.workflow_files import WORKFLOWS, jobs, triggers

JOBS = dict(jobs())

DEFAULT = "${{ github.event.repository.default_branch }}"
EVENT = ""  # what the event is about: the merge result of a pull request, or the branch that was pushed or chosen
BRANCH = "${{ github.ref_name }}"  # the default branch as it is now: nothing else starts that job
HEAD = "${{ github.event.pull_request.head.sha }}"
RUN = "${{ github.event.workflow_run.id }}"
NONE = "none"  # nothing is checked out


class Level(NamedTuple):
    """A job: whose code it checks out, the role that it takes, and the artifacts that cross its border."""

    code: str
    role: str = ""
    brings: tuple[tuple[str, str], ...] = ()  # name and run, which is its own where it is empty
    leaves: tuple[str, ...] = ()


LEVELS = {
    "catalog/build": Level(EVENT, "AWS_REFRESH_ROLE", (), ("github-pages",)),
    "catalog/publish": Level(NONE),
    "docs/build": Level(EVENT, "", (), ("github-pages",)),
    "docs/publish": Level(NONE),  # the action takes the artifact github-pages of its run
    "pull-request/validate": Level(EVENT),
    "pull-request/tests": Level(EVENT),
    "pull-request/train": Level(HEAD, "AWS_PULL_REQUEST_ROLE", (), ("results",)),
    "review/announce": Level(DEFAULT),
    "review/judge": Level(DEFAULT, "AWS_JUDGE_ROLE", (("results", RUN),), ("report",)),
    "review/comment": Level(DEFAULT, "", (("report", ""),)),
    "publish/attest": Level(EVENT),
    "publish/publish": Level(EVENT, "AWS_PUBLISH_ROLE"),
    "refresh/list": Level(EVENT),
    "refresh/refresh": Level(EVENT, "AWS_REFRESH_ROLE"),
    "nightly/published": Level(EVENT),
    "nightly/stores": Level(EVENT, "AWS_REFRESH_ROLE", (), ("drift-stores",)),
    "nightly/models": Level(EVENT, "AWS_REFRESH_ROLE", (), ("reproduced", "drift-models")),
    "nightly/record": Level(EVENT, "", (("reproduced", ""),)),
    "nightly/issue": Level(EVENT, "", (("drift-*", ""),)),
    "assign/assign": Level(EVENT),
    "release/build": Level(EVENT, "", (), ("release",)),
    "release/release": Level(EVENT, "", (("release", ""),)),
    "template/configure": Level(BRANCH),
    "upgrade/upgrade": Level(EVENT),
}


def test_each_job_is_the_level_that_the_table_says() -> None:
    assert {name: level(job) for name, job in JOBS.items()} == LEVELS


def level(job: dict[str, Any]) -> Level:
    used = {kind: [step["with"] for step in job["steps"] if f"{kind}@" in step.get("uses", "")] for kind in (
        "actions/checkout", "configure-aws-credentials", "download-artifact", "upload-artifact",
    )}  # fmt: skip
    [code] = used["actions/checkout"] or [{"ref": NONE}]
    assert not code.keys() & {"repository", "path", "token", "submodules"}
    roles = [one["role-to-assume"].removeprefix("${{ vars.")[:-3] for one in used["configure-aws-credentials"]]
    brings = tuple((one.get("name") or one["pattern"], one.get("run-id", "")) for one in used["download-artifact"])
    return Level(code.get("ref", EVENT), "".join(roles), brings, tuple(one["name"] for one in used["upload-artifact"]))


@pytest.mark.parametrize("name", [*JOBS])
def test_a_job_has_no_other_way_in(name: str) -> None:
    """No service, container or reusable workflow, no token besides the job's, no action beside the known ones."""
    job = JOBS[name]
    assert job.keys() <= {
        "name", "needs", "if", "strategy", "runs-on", "timeout-minutes", "environment", "permissions", "outputs",
        "env", "steps",
    }  # fmt: skip
    known = ("actions/checkout@", "actions/download-artifact@", "actions/upload-artifact@", "./.github/actions/setup",
             "actions/attest@", "actions/deploy-pages@", "aws-actions/configure-aws-credentials@")  # fmt: skip
    assert all(step.get("uses", known[0]).startswith(known) for step in job["steps"])
    tokens = {value for step in job["steps"] for value in (step.get("env", {}) | step.get("with", {})).values()}
    assert not any("token" in str(value) and value != "${{ github.token }}" for value in tokens)
    uses = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
    assert name in {"catalog/publish", "docs/publish"} or uses[:2] == [
        "actions/checkout",
        "./.github/actions/setup",
    ]  # `./` is of that code


@pytest.mark.parametrize(
    "name", [name for name, workflow in WORKFLOWS.items() if "workflow_dispatch" in triggers(workflow)]
)
def test_a_branch_that_is_chosen_by_hand_gets_no_right_of_the_default_branch(name: str) -> None:
    """Whoever can write can run a branch's own version of a workflow: an environment of main alone is what refuses."""
    limited = {"github-pages", *(one.name for one in ENVIRONMENTS if one.main_only)}  # GitHub limits its own
    for job in WORKFLOWS[name]["jobs"].values():
        if "id-token" in job["permissions"]:
            assert job["environment"] in limited


def test_only_the_job_that_runs_pull_requests_code_is_in_an_environment_of_any_branch() -> None:
    open_to_all = {one.name for one in ENVIRONMENTS if not one.main_only}
    used = {name: job["environment"] for name, job in JOBS.items() if "environment" in job}
    assert {name for name, environment in used.items() if environment in open_to_all} == {"pull-request/train"}
    pages = {"github-pages"}  # which GitHub makes, limited to the default branch, where Pages are switched on
    assert set(used.values()) - pages == {one.name for one in ENVIRONMENTS}
