"""What keeps the workflows safe, asserted on their YAML: act proves that steps work and ignores every rule of these."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from registry.cli.main import COMMANDS, cli
from registry.core.documents import read_yaml
from support import workflow_files
from support.cloudformation import REQUIRED, Stack
from support.workflow_files import GITHUB, ROOT, SAME_REPOSITORY, WORKFLOWS, jobs, of_forks, steps, triggers

BIN = Path(sys.executable).parent
JOBS = dict(jobs())
STEPS = dict(steps())
RUNS = {place: step["run"] for place, step in STEPS.items() if "run" in step}
# Whoever wants more for a job says so here too.
PERMISSIONS = {
    "assign/assign": {"contents": "write"},
    "catalog/build": {"contents": "read", "id-token": "write"},
    "catalog/publish": {"id-token": "write", "pages": "write"},
    "docs/build": {"contents": "read"},
    "docs/publish": {"id-token": "write", "pages": "write"},
    "nightly/models": {"contents": "read", "id-token": "write"},
    "nightly/stores": {"contents": "read", "id-token": "write"},
    "nightly/issue": {"contents": "read", "issues": "write"},
    "nightly/record": {"contents": "write"},
    "nightly/published": {"contents": "read"},
    "publish/attest": {"attestations": "write", "contents": "write", "id-token": "write"},
    "publish/publish": {"contents": "write", "id-token": "write"},
    "pull-request/tests": {"contents": "read"},
    "pull-request/train": {"contents": "read", "id-token": "write"},
    "pull-request/validate": {"contents": "read"},
    "refresh/list": {"contents": "read"},
    "refresh/refresh": {"contents": "write", "id-token": "write", "pull-requests": "write"},
    "release/build": {"contents": "read"},
    "release/release": {"contents": "write"},
    "review/announce": {"contents": "read", "pull-requests": "write", "statuses": "write"},
    "review/comment": {"contents": "write", "pull-requests": "write", "statuses": "write"},
    "review/judge": {"actions": "read", "contents": "read", "id-token": "write", "pull-requests": "read"},
    "template/configure": {"actions": "write", "contents": "write"},
    "upgrade/upgrade": {"contents": "write", "pull-requests": "write"},
}
ENVIRONMENTS = {
    "assign/assign": "assign",
    "catalog/build": "refresh",
    "catalog/publish": "github-pages",
    "docs/publish": "github-pages",
    "nightly/models": "refresh",
    "nightly/stores": "refresh",
    "publish/attest": "production",
    "publish/publish": "production",
    "pull-request/train": "gpu",
    "refresh/refresh": "refresh",
    "review/judge": "judge",
    "upgrade/upgrade": "refresh",
}


def each(values: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", list(values))


# --- what a job may do ------------------------------------------------------------------------------------------------


@each(WORKFLOWS)
def test_a_workflow_gives_nothing_to_all_its_jobs(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}


def test_each_job_may_do_what_the_table_says() -> None:
    assert {name: job["permissions"] for name, job in JOBS.items()} == PERMISSIONS


def test_each_job_is_in_the_environment_that_its_role_asks_for() -> None:
    assert {name: job["environment"] for name, job in JOBS.items() if "environment" in job} == ENVIRONMENTS
    assert all(name in ENVIRONMENTS for name, job in JOBS.items() if "id-token" in job["permissions"])


@each(sorted({step["with"]["role-to-assume"] for step in STEPS.values() if "role-to-assume" in step.get("with", {})}))
def test_the_roles_are_those_that_infra_puts_out(name: str) -> None:
    variable = re.fullmatch(r"\$\{\{ vars\.(\w+) \}\}", name)[1]
    assert f"gh variable set {variable} --body" in (ROOT / "infra/aws.yaml").read_text()


def test_only_the_jobs_that_run_queries_and_upgrades_have_a_secret() -> None:
    text = {path.stem: path.read_text() for path in GITHUB.rglob("*.yml")}
    assert [name for name, words in text.items() if "secrets." in words] == ["refresh", "upgrade"]
    assert not any("pull_request" in triggers(WORKFLOWS[name]) for name in ("refresh", "upgrade"))


# --- forks ------------------------------------------------------------------------------------------------------------


def test_what_a_fork_starts() -> None:
    assert dict(of_forks()).keys() == {"docs/build", "pull-request/tests", "pull-request/validate"}


@each(dict(of_forks()))
def test_a_fork_reaches_no_credential_and_no_machine_of_ours(name: str) -> None:
    job = JOBS[name]
    assert job["runs-on"] == "ubuntu-latest"
    assert job["permissions"] in ({"contents": "read"}, {})
    assert "environment" not in job
    assert not re.search(r"secrets\.|github\.token|vars\.|GITHUB_TOKEN", str(job))


@each(WORKFLOWS)
def test_no_trigger_gives_code_of_a_fork_our_rights(name: str) -> None:
    started = {"pull_request_target", "workflow_run", "issue_comment", "issues"} & triggers(WORKFLOWS[name]).keys()
    assert started == ({"workflow_run"} if name in {"catalog", "review"} else set())


FOLLOWED = ["Publish", "Assign a stage"]


def test_the_catalog_follows_workflows_that_no_pull_request_starts_and_reads_only_how_they_ended() -> None:
    assert triggers(WORKFLOWS["catalog"])["workflow_run"] == {"workflows": FOLLOWED, "types": ["completed"]}
    followed = [flow for flow in WORKFLOWS.values() if flow["name"] in FOLLOWED]
    assert [triggers(flow).keys() <= {"push", "workflow_dispatch"} for flow in followed] == [True, True]
    text = (GITHUB / "workflows/catalog.yml").read_text()
    assert re.findall(r"github\.event\.workflow_run\.([\w.]+)", text) == ["conclusion"]
    assert JOBS["catalog/publish"]["needs"] == "build"
    assert "vars.CATALOG_URL != ''" in JOBS["catalog/build"]["if"]


# No machine that has run a pull request's code is ever given a job with a role that can do more: the labels are apart,
# and so is the runner group of the trusted one, which accepts nightly.yml of the default branch alone (docs/runner.md).
OWN_MACHINES = {"pull-request/train": ["self-hosted", "gpu"], "nightly/models": ["self-hosted", "trusted-gpu"]}


def test_pull_requests_and_trusted_jobs_run_on_machines_apart() -> None:
    assert {name: job["runs-on"] for name, job in JOBS.items() if job["runs-on"] != "ubuntu-latest"} == OWN_MACHINES
    wanted = [set(labels) for labels in OWN_MACHINES.values()]
    assert not any(one < other or one == other for one in wanted for other in wanted if one is not other)
    assert SAME_REPOSITORY in JOBS["pull-request/train"]["if"]
    assert "pull_request" not in triggers(WORKFLOWS["nightly"])
    for name in OWN_MACHINES:
        assert JOBS[name]["steps"][-1] == {
            "name": "Clean the workspace", "if": "always()", "run": "git clean -ffdxq"
        }  # fmt: skip


def test_nightly_waits_for_no_runner_that_does_not_exist_and_does_nothing_where_nothing_is_published() -> None:
    conditions = {name: job.get("if", "") for name, job in WORKFLOWS["nightly"]["jobs"].items()}
    assert "!github.event.repository.is_template" in conditions["published"]
    assert "vars.TRUSTED_RUNNER == 'true'" in conditions["models"]
    for name in ("stores", "models"):
        assert WORKFLOWS["nightly"]["jobs"][name]["needs"] == "published"
        assert conditions[name].startswith("needs.published.outputs.")
    told = STEPS["nightly/published: Determine what is published"]
    assert told["env"] == {"TRUSTED_RUNNER": "${{ vars.TRUSTED_RUNNER }}"}


def test_trust_levels_share_no_cache() -> None:
    caches = {place.partition(":")[0]: run for place, run in RUNS.items() if "dvc cache dir" in run}
    assert caches.keys() == {"pull-request/train", "nightly/models"}
    assert len(set(caches.values())) == 2
    assert len({JOBS[name]["env"]["PIP_CACHE_DIR"] for name in caches}) == 2
    every = [*STEPS.values(), *(step for action in workflow_files.ACTIONS.values() for step in action["runs"]["steps"])]
    assert not any("cache" in step.get("with", {}) for step in every)  # jobs of one pull request would share it
    site = "${{ github.workspace }}/.dvc/tmp/site"
    uses_dvc = {"catalog", "pull-request", "review", "publish", "nightly", "refresh"}
    assert {name for name, flow in WORKFLOWS.items() if "DVC_NO_ANALYTICS" in flow.get("env", {})} == uses_dvc
    assert {WORKFLOWS[name]["env"]["DVC_SITE_CACHE_DIR"] for name in uses_dvc} == {site}


def test_each_job_installs_only_what_it_needs() -> None:
    groups = {
        place.partition(":")[0]: step["with"]["groups"]
        for place, step in STEPS.items()
        if step.get("uses") == "./.github/actions/setup" and "with" in step
    }
    assert groups == {
        "docs/build": "docs",
        "nightly/models": "train",
        "pull-request/train": "train",
        "pull-request/validate": "hooks",
    }


# --- who may do what with a pull request ------------------------------------------------------------------------------

DEFAULT = "${{ github.event.repository.default_branch }}"
REVIEW = {name: job for name, job in JOBS.items() if name.startswith("review/")}
# Of a run of `pull-request.yml`: what names a commit, a branch or a run. What a person can write freely is not here.
OF_RUN = {
    "actor.login", "conclusion", "event", "head_branch", "head_repository.full_name", "head_sha", "id",
}  # fmt: skip


def test_the_verdict_is_written_under_the_workflow_of_the_default_branch_alone() -> None:
    writers = {name for name, job in JOBS.items() if {"statuses", "pull-requests"} & _written(job)}
    assert writers == {"review/announce", "review/comment", "refresh/refresh", "upgrade/upgrade"}
    assert triggers(WORKFLOWS["review"]) == {
        "workflow_run": {"workflows": [WORKFLOWS["pull-request"]["name"]], "types": ["requested", "completed"]}
    }


def _written(job: dict[str, Any]) -> set[str]:
    return {name for name, access in job["permissions"].items() if access == "write"}


@each(name for name in JOBS if name.startswith("pull-request/"))
def test_what_runs_a_pull_requests_code_writes_nothing_on_github(name: str) -> None:
    assert _written(JOBS[name]) <= {"id-token"}
    assert not re.search(r"secrets\.|github\.token|GH_TOKEN", str(JOBS[name]))


def test_the_judge_writes_nothing_at_all() -> None:
    assert _written(REVIEW["review/judge"]) == {"id-token"}
    policy = Stack(**REQUIRED).of_type("AWS::IAM::ManagedPolicy")["JudgePolicy"]["PolicyDocument"]
    assert {action for one in policy["Statement"] for action in _listed(one["Action"])} == {
        "s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject"
    }  # fmt: skip


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@each(name for name in REVIEW if name != "review/judge")
def test_what_writes_on_github_reaches_no_storage(name: str) -> None:
    assert "environment" not in REVIEW[name]
    assert "id-token" not in REVIEW[name]["permissions"]
    assert not any("credentials" in step.get("uses", "") for step in REVIEW[name]["steps"])


@each(REVIEW)
def test_a_job_that_reviews_checks_out_the_default_branch_and_nothing_else(name: str) -> None:
    found = [step["with"]["ref"] for step in REVIEW[name]["steps"] if "checkout@" in step.get("uses", "")]
    assert found == [DEFAULT]
    runs = [step["run"] for step in REVIEW[name]["steps"] if "run" in step]
    assert not any(re.search(r"\bgit (checkout|switch|worktree|pull|merge)\b", run) for run in runs)


@each(REVIEW)
def test_nothing_of_an_artifact_is_run(name: str) -> None:
    """Commands are those of the default branch's checkout; artifacts lie in a folder that none of them runs from."""
    own = (".venv/bin/registry ", "gh api ", "gh auth ", "gh release download ", "cat ", "test ")
    for step in REVIEW[name]["steps"]:
        assert "working-directory" not in step
        assert step.get("run", "test ").startswith(own)
        if "download-artifact@" in step.get("uses", ""):
            assert step["with"]["path"] == "received"


@each(REVIEW)
def test_a_review_is_of_this_repository_alone_and_not_of_a_run_that_waits(name: str) -> None:
    condition = REVIEW[name]["if"]
    if name == "review/comment":
        assert REVIEW[name]["needs"] == "judge"
        assert "needs.judge.result != 'skipped'" in condition
        return
    assert "github.event.workflow_run.head_repository.full_name == github.repository" in condition
    expected = "github-actions[bot]" if name == "review/announce" else "action_required"
    assert expected in condition


def test_no_expression_reads_what_a_person_can_write_freely() -> None:
    text = (GITHUB / "workflows/review.yml").read_text()
    assert set(re.findall(r"github\.event\.workflow_run\.([\w.]+)", text)) == OF_RUN
    assert "github.event.pull_request" not in text


def test_the_bots_own_push_ends_no_run() -> None:
    group = WORKFLOWS["pull-request"]["concurrency"]["group"]
    assert "github.actor == 'github-actions[bot]'" in group
    assert "github.run_id" in group


# --- time -------------------------------------------------------------------------------------------------------------


@each([place for place, step in STEPS.items() if "configure-aws-credentials@" in step.get("uses", "")])
def test_keys_last_as_long_as_the_job(name: str) -> None:
    seconds = STEPS[name]["with"]["role-duration-seconds"]
    assert seconds == 60 * JOBS[name.partition(":")[0]]["timeout-minutes"]
    assert all(seconds <= role["MaxSessionDuration"] for role in Stack(**REQUIRED).of_type("AWS::IAM::Role").values())


# --- steps ------------------------------------------------------------------------------------------------------------


@each([place for place, step in STEPS.items() if "uses" in step])
def test_actions_are_pinned_by_commit(name: str) -> None:
    uses = STEPS[name]["uses"]
    assert uses.startswith("./.github/actions/") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", uses)


def test_every_pin_says_its_version_and_is_the_same_everywhere() -> None:
    lines = [line for path in GITHUB.rglob("*.yml") for line in path.read_text().splitlines() if " uses: " in line]
    pins = [line.split("uses: ")[1] for line in lines if " ./" not in line]
    assert [pin for pin in pins if not re.search(r" # v\d+\.\d+\.\d+$", pin)] == []
    assert len({pin.partition("@")[0] for pin in pins}) == len(set(pins))


@each([place for place, step in STEPS.items() if "checkout@" in step.get("uses", "")])
def test_no_checkout_leaves_a_token_behind(name: str) -> None:
    assert STEPS[name]["with"]["persist-credentials"] is False


@each(RUNS)
def test_a_step_is_one_command_that_a_person_can_type(name: str) -> None:
    run = RUNS[name]
    assert "${{" not in run
    assert "\n" not in run
    assert re.sub(r"\| tee (-a )?[\w.\"$]+$", "", run).count("|") == 0
    assert not re.search(r"&&|;|\$\(|`", run)


@each([place for place, run in RUNS.items() if run.startswith(".venv/bin/registry ")])
def test_the_command_of_a_step_exists(name: str) -> None:
    words = RUNS[name].split()[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    known = {option for param in command.params for option in param.opts}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_commands_for_workflows_are_listed() -> None:
    assert {"ci", "train", "refresh"} <= dict(COMMANDS).keys()


# --- the default branch, whatever its name ----------------------------------------------------------------------------


def test_no_workflow_is_bound_to_the_name_of_a_branch() -> None:
    """An expression is not allowed under `on`, so these run for every push, and their jobs for the default branch."""
    pushed = {name: on["push"] for name, flow in WORKFLOWS.items() if "push" in (on := flow.get("on", flow.get(True)))}
    assert pushed.pop("release") == {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}  # of the tooling; no tag of an artifact
    assert pushed == {name: {"branches": ["**"]} for name in ("docs", "publish", "template")}
    for name in pushed:
        assert WORKFLOWS[name]["concurrency"]["group"] == f"{name}-${{{{ github.ref }}}}"
        for job in WORKFLOWS[name]["jobs"].values():
            assert "github.ref_name == github.event.repository.default_branch" in job["if"]


# --- order ------------------------------------------------------------------------------------------------------------


@each(JOBS)
def test_a_job_ends(name: str) -> None:
    assert 0 < JOBS[name]["timeout-minutes"] <= 720


@each(WORKFLOWS)
def test_runs_do_not_race(name: str) -> None:
    reads_only = {"pull-request"}
    assert WORKFLOWS[name]["concurrency"]["cancel-in-progress"] is (name in reads_only)
    assert "${{" in WORKFLOWS[name]["concurrency"]["group"] or name not in {*reads_only, "review"}


@each([place for place, step in STEPS.items() if "uses" in step and "checkout@" in step["uses"]])
def test_jobs_that_look_at_versions_have_history(name: str) -> None:
    needs_none = {"docs/build", "nightly/issue", "refresh/list"}
    assert (STEPS[name]["with"].get("fetch-depth") == 0) is (name.partition(":")[0] not in needs_none)


# --- linters ----------------------------------------------------------------------------------------------------------

FILES = {
    "vendor.github-workflows": sorted(GITHUB.glob("workflows/*.yml")),
    "custom.github-workflows-require-timeout": sorted(GITHUB.glob("workflows/*.yml")),
    "vendor.github-actions": sorted(GITHUB.glob("actions/*/action.yml")),
    "vendor.github-issue-forms": [GITHUB / "ISSUE_TEMPLATE/new-dataset.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE/config.yml"],
}


def lint(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / str(command[0]), *map(str, command[1:])], cwd=ROOT, capture_output=True, text=True)


@each(FILES)
def test_files_keep_githubs_schemas(name: str) -> None:
    done = lint("check-jsonschema", "--builtin-schema", name, *FILES[name])
    assert done.returncode == 0, done.stdout


def test_actionlint_has_nothing_to_say() -> None:
    done = lint("actionlint", "-no-color")
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_has_nothing_to_say_and_the_exceptions_are_named() -> None:
    done = lint("zizmor", "--offline", "--persona", "pedantic", "--color", "never", ".github")
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout
    rules = read_yaml((GITHUB / "zizmor.yml").read_bytes(), "zizmor.yml").data
    assert rules == {
        "rules": {"dangerous-triggers": {"ignore": ["catalog.yml", "review.yml"]}, "self-repository": {"disable": True}}
    }
    assert not any("zizmor:" in path.read_text() for path in GITHUB.rglob("*.yml"))


def test_the_pull_request_template_is_five_lines() -> None:
    assert len((GITHUB / "pull_request_template.md").read_text().splitlines()) == 5
