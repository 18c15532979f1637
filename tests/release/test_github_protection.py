"""What GitHub is to keep of the promises, told to it through the real gh."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from registry.integrations import github
from registry.release import drift_issue, github_environments, github_protection
from support.repositories import Run
from support.servers.github import Fault, GitHub, serve

PROJECT = Path(__file__).parents[2]
NOTE = "note: whoever can write can create a release tag; --publisher APP_ID leaves that to one GitHub App"
DONE = f"acme/registry: nothing to change\n{NOTE}\nacme/registry: protection is complete\n"
KEPT = (
    "rulesets", "environments", "policies", "labels", "fork_policy", "private_forks", "token_rights"
)  # fmt: skip
OTHER = {"ref_name": {"include": ["refs/heads/next"], "exclude": []}}


def team() -> GitHub:
    """A GitHub on which nothing is protected."""
    members = {"acme/data": ("ada", "bob")}
    users = {"ada": 11, "bob": 12}
    return GitHub(teams={"acme/data": 7}, members=members, users=users, writers=["acme/data"])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub on which nothing is protected; its team acme/data, of ada and bob, owns the registry."""
    with serve(team()) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def _rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a GitHub holds that is protected; made once."""
    with serve(team()) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.env().items():
            patch.setenv(name, value)
        wanted = github_protection.Wanted(["@acme/data"])
        assert (
            github_protection.apply(github_protection.plan(github.connect(tmp_path_factory.mktemp("clone")), wanted))
            == ()
        )
    return {name: getattr(running, name) for name in KEPT}


@pytest.fixture
def protected(hub: GitHub, _rules: dict[str, object]) -> GitHub:
    """`hub`, protected."""
    for name, rows in deepcopy(_rules).items():
        setattr(hub, name, rows)
    return hub


def test_a_plan_lists_every_difference_and_changes_nothing(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    done = run_registry(registry_repo, "protect", "--plan")
    assert (done.code, hub.made()) == (0, [])
    assert done.out.splitlines() == [
        "create the environment gpu: with required reviewers",
        "create the environment judge: limited to main",
        "allow main in the environment judge",
        "create the environment production: limited to main",
        "allow main in the environment production",
        "create the environment refresh: limited to main",
        "allow main in the environment refresh",
        "create the environment assign: with required reviewers, limited to main",
        "allow main in the environment assign",
        "let every run of a fork's pull request wait for an approval",
        "let workflows open pull requests, with tokens that read by default",
        "create the ruleset 'registry: main'",
        "create the ruleset 'registry: releases are immutable'",
        "create the ruleset 'registry: reproductions are only added'",
        "create the label dataset",
        "create the label drift",
        NOTE,
    ]


def test_after_apply_the_plan_is_empty_and_other_rules_stay(
    protected: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    own = {"id": 50, "name": "ours", "target": "branch", "enforcement": "active", "rules": [], "conditions": OTHER}
    protected.rulesets.append({**own, "source": "acme/registry", "source_type": "Repository"})
    protected.labels["drift"]["color"] = "ffffff"
    done = run_registry(registry_repo, "protect", "--apply")
    assert (done.code, done.out, protected.made()) == (0, DONE, [])
    main, tags, records, _ = protected.rulesets
    assert {rule["type"] for rule in records["rules"]} == {"deletion", "non_fast_forward"}
    assert records["conditions"]["ref_name"]["include"] == ["refs/heads/registry-reproductions"]
    assert (main["enforcement"], main["conditions"]["ref_name"]["include"]) == ("active", ["~DEFAULT_BRANCH"])
    rules = {rule["type"]: rule.get("parameters", {}) for rule in main["rules"]}
    assert rules.keys() == {"deletion", "non_fast_forward", "pull_request", "required_status_checks"}
    assert rules["pull_request"]["require_code_owner_review"] is True
    assert rules["required_status_checks"]["required_status_checks"] == [{"context": "registry/gate"}]
    assert {rule["type"] for rule in tags["rules"]} == {"deletion", "non_fast_forward", "update"}
    assert tags["conditions"]["ref_name"]["include"] == ["refs/tags/datasets/**/*", "refs/tags/models/**/*"]
    assert main["bypass_actors"] == tags["bypass_actors"] == []
    assert {name: [row["name"] for row in rows] for name, rows in protected.policies.items()} == {
        "judge": ["main"], "production": ["main"], "refresh": ["main"], "assign": ["main"],
    }  # fmt: skip
    (asks,) = protected.environments["gpu"]["protection_rules"]
    assert [one["reviewer"]["id"] for one in asks["reviewers"]] == [7]
    assert protected.environments["gpu"]["deployment_branch_policy"] is None
    assert protected.fork_policy == "all_external_contributors"
    assert protected.token_rights == {
        "default_workflow_permissions": "read", "can_approve_pull_request_reviews": True,
    }  # fmt: skip


def test_what_differs_is_set_and_nothing_else(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    protected.rulesets[0]["enforcement"] = "disabled"
    protected.rulesets[1]["bypass_actors"] = [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]
    protected.environments["gpu"]["protection_rules"] = []
    protected.environments["production"]["deployment_branch_policy"] = None
    protected.policies["production"] = []
    protected.policies["assign"].append({"id": 99, "name": "topic", "type": "branch"})
    protected.labels.pop("drift")
    protected.fork_policy = "first_time_contributors"
    protected.token_rights = protected.token_rights | {"default_workflow_permissions": "write"}
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.out.splitlines() == [
        "update the environment gpu: with required reviewers",
        "update the environment production: limited to main",
        "allow main in the environment production",
        "disallow topic in the environment assign",
        "let every run of a fork's pull request wait for an approval",
        "let workflows open pull requests, with tokens that read by default",
        "update the ruleset 'registry: main'",
        "update the ruleset 'registry: releases are immutable'",
        "create the label drift",
        NOTE,
        "acme/registry: protection is complete",
    ]
    assert len(protected.made()) == 9
    assert run_registry(registry_repo, "protect", "--apply").out == DONE


WANTED = github_protection.rulesets("github.com")[0].body()


def changed(*path: object, to: object) -> dict[str, object]:
    """The ruleset of main with one value changed."""
    body = node = deepcopy(WANTED)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = to
    return body


@pytest.mark.parametrize(
    ("actual", "same"),
    [
        (WANTED, True),
        (WANTED | {"id": 1, "source": "acme/registry"}, True),
        (changed("rules", to=WANTED["rules"][::-1]), True),
        (changed("rules", 2, "parameters", "required_reviewers", to=[]), True),
        ({name: value for name, value in WANTED.items() if name != "bypass_actors"}, True),  # not shown to everybody
        (changed("enforcement", to="evaluate"), False),
        (changed("rules", to=WANTED["rules"][:-1]), False),
        (changed("rules", to=[*WANTED["rules"], {"type": "creation"}]), False),
        (changed("rules", 2, "parameters", "require_code_owner_review", to=False), False),
        (changed("rules", 3, "parameters", "required_status_checks", to=[{"context": "registry/gate"}]), False),
        (changed("conditions", "ref_name", "exclude", to=["refs/heads/main"]), False),
        (changed("bypass_actors", to=[{"actor_type": "OrganizationAdmin"}]), False),
    ],
)
def test_a_ruleset_covers_what_is_wanted(actual: dict[str, object], same: bool) -> None:
    assert github_protection.covers(actual, WANTED) is same


def test_only_the_publishers_app_can_create_tags(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    done = run_registry(registry_repo, "protect", "--apply", "--publisher", "4711")
    assert done.out.splitlines()[0] == "create the ruleset 'registry: releases by the publisher'"
    assert protected.rulesets[-1]["rules"] == [{"type": "creation"}]
    assert protected.rulesets[-1]["bypass_actors"] == [
        {"actor_id": 4711, "actor_type": "Integration", "bypass_mode": "always"}
    ]
    assert NOTE not in done.out
    refused = run_registry(registry_repo, "protect", "--apply", "--publisher", str(github_protection.ACTIONS))
    assert "must be part of the ruleset source or owner organization" in refused.out
    assert refused.refused("acme/registry: 1 protection is left open")


def test_on_github_com_only_jobs_can_set_the_gate() -> None:
    main, *_ = github_protection.rulesets("github.com")
    checks = main.body()["rules"][-1]["parameters"]["required_status_checks"]
    assert checks == [{"context": "registry/gate", "integration_id": 15368}]


def test_one_of_plan_and_apply(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    assert "--plan" in run_registry(registry_repo, "protect").err
    assert hub.calls == []


# --- what GitHub refuses ----------------------------------------------------------------------------------------------

UNASKED = ["gpu", "assign"]
PLAN = "hint: a public repository or a larger plan has it: docs/first-pull-request.md, «What your plan gives»"


def opened(out: str) -> list[str]:
    """What is left open, without the reasons."""
    return [line.split(": ")[1] for line in out.splitlines() if line.startswith("open: ")]


def test_a_private_repository_of_enterprise_has_everything(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    hub.is_private = True
    hub.private_forks["run_workflows_from_fork_pull_requests"] = True
    hub.private_forks["send_secrets_and_variables"] = True
    assert run_registry(registry_repo, "protect", "--apply").code == 0
    assert hub.private_forks == {
        "run_workflows_from_fork_pull_requests": True, "require_approval_for_fork_pr_workflows": True,
        "send_write_tokens_to_workflows": False, "send_secrets_and_variables": False,
    }  # fmt: skip
    assert run_registry(registry_repo, "protect", "--apply").out == DONE


def test_a_private_repository_of_team_has_everything_but_reviewers(
    hub: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    hub.is_private, hub.plan = True, "team"
    for _ in range(2):  # again says the same, and changes nothing
        done = run_registry(registry_repo, "protect", "--apply")
        assert opened(done.out) == [f"jobs run in the environment {name}, and no person is asked" for name in UNASKED]
        assert done.out.count("ensure the billing plan supports the required reviewers protection rule") == 2
        assert done.out.count(PLAN) == 2
        assert done.refused("acme/registry: 2 protections are left open")
        assert [row["name"] for row in hub.rulesets] == [
            "registry: main", "registry: releases are immutable", "registry: reproductions are only added"
        ]  # fmt: skip
        assert {name: row["deployment_branch_policy"] is not None for name, row in hub.environments.items()} == {
            "gpu": False, "judge": True, "production": True, "refresh": True, "assign": True,
        }  # fmt: skip
        assert [row["name"] for row in hub.policies["assign"]] == ["main"]
        assert set(hub.labels) == {"dataset", "drift"}


def test_a_private_repository_of_free_is_told_what_is_missing(
    hub: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    hub.is_private, hub.plan = True, "free"
    planned = run_registry(registry_repo, "protect", "--plan")
    assert (planned.code, opened(planned.out)) == (
        0, ["main and release tags can be changed by everyone who can write"]
    )  # fmt: skip
    done = run_registry(registry_repo, "protect", "--apply")
    role = "jobs of any branch get the secrets, the variables and the AWS role of the environment"
    unasked = "jobs run in the environment {}, and no person is asked"
    assert opened(done.out) == [
        "main and release tags can be changed by everyone who can write",
        unasked.format("gpu"), f"{role} judge", f"{role} production", f"{role} refresh",
        unasked.format("assign"), f"{role} assign",
    ]  # fmt: skip
    assert done.out.count(PLAN) == 7
    assert done.refused("acme/registry: 7 protections are left open")
    assert set(hub.environments) == {"gpu", "judge", "production", "refresh", "assign"}
    assert set(hub.labels) == {"dataset", "drift"}
    assert hub.token_rights["can_approve_pull_request_reviews"] is True


def test_a_refusal_for_another_reason_takes_no_protection_away(
    protected: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    protected.teams["acme/data"] = 8  # was made again
    protected.faults.append(Fault("/environments/assign", 422, "Reviewers must have read access", "PUT", times=9))
    before = protected.environments["assign"]
    done = run_registry(registry_repo, "protect", "--apply")
    assert opened(done.out) == ["jobs run in the environment assign, and no person is asked"]
    assert "hint: GitHub's words name the value" in done.out
    assert protected.environments["assign"] is before


def test_a_setting_of_the_organization_is_left_open(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    hub.holds_token = True
    hub.faults.append(Fault("/fork-pr-contributor-approval", 404, "Not Found", times=9))
    done = run_registry(registry_repo, "protect", "--apply")
    assert opened(done.out) == [
        "a pull request from a fork runs its own workflows, on your runners too, and no person is asked",
        "the workflow refresh cannot open pull requests",
    ]
    assert "hint: an owner of the organization allows it: Settings → Actions → General" in done.out
    assert done.code == 1


def test_a_token_without_rights_changes_what_it_may(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    hub.faults.append(Fault("/environments", 403, "Resource not accessible by personal access token", "PUT", times=99))
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.out.count("Resource not accessible") == 11
    assert "hint: gh auth login as an administrator of the repository" in done.out
    assert len(hub.rulesets) == 3


def test_a_failure_that_is_no_refusal_stops_and_the_next_run_goes_on(
    protected: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    protected.rulesets.clear()
    protected.labels.clear()
    limit = "API rate limit exceeded for user ID 1."
    protected.faults += [Fault("/labels", 502, "Server Error", "POST"), Fault("/labels", 403, limit, "POST")]
    assert run_registry(registry_repo, "protect", "--apply").refused("Server Error", "githubstatus")
    assert run_registry(registry_repo, "protect", "--apply").refused(limit, "gh api rate_limit")
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.out.splitlines() == [
        "create the label dataset",
        "create the label drift",
        NOTE,
        "acme/registry: protection is complete",
    ]


# --- actions ----------------------------------------------------------------------------------------------------------


def test_actions_that_a_policy_refuses_are_named(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    workflow = registry_repo / ".github/workflows/publish.yml"
    workflow.parent.mkdir(parents=True, exist_ok=True)
    names = ("actions/checkout", "aws-actions/configure-aws-credentials", "acme/own/tool")
    workflow.write_text("".join(f"      - uses: {name}@{'0' * 40} # v1.0.0\n" for name in names))
    consequence = "workflows do not start, so registry/gate never comes"
    refused = {
        "selected": "aws-actions/configure-aws-credentials@*",
        "local_only": "actions/checkout@*, aws-actions/configure-aws-credentials@*",
    }
    protected.selected_actions = {"github_owned_allowed": True, "patterns_allowed": ["aws-actions/nothing@*"]}
    for policy, named in refused.items():
        protected.actions["allowed_actions"] = policy
        done = run_registry(registry_repo, "protect", "--plan")
        assert f"open: {consequence}: only some actions are allowed, without {named}\n" in done.out
    protected.selected_actions["patterns_allowed"] = ["aws-actions/*"]
    protected.actions["allowed_actions"] = "selected"
    assert run_registry(registry_repo, "protect", "--apply").out == DONE
    protected.actions = {"enabled": False}
    assert f"open: {consequence}: GitHub Actions are disabled\n" in run_registry(registry_repo, "protect", "--plan").out


# --- owners -----------------------------------------------------------------------------------------------------------


def test_an_organization_cannot_own(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    hub.organizations.append("acme")
    own(registry_repo, "@acme")
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.refused("owner @acme is an organization", "@acme/TEAM")
    assert hub.made() == []


def test_owners_that_github_does_not_know_are_told_and_others_review(
    hub: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    own(registry_repo, "@acme/data", "@acme/gone", "@carol-gone", "@ada")
    done = run_registry(registry_repo, "protect", "--apply")
    assert opened(done.out) == ["@acme/gone reviews nothing", "@carol-gone reviews nothing"]
    (rule,) = hub.environments["gpu"]["protection_rules"]
    assert [(one["type"], one["reviewer"]["id"]) for one in rule["reviewers"]] == [("Team", 7), ("User", 11)]


def test_code_owners_that_cannot_write_are_told(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    protected.code_owners = "# generated\n* @acme/data\n/datasets/pets/ @acme/vision @carol\n"
    done = run_registry(registry_repo, "protect", "--apply")
    assert opened(done.out) == ["changes are merged without their code owners"] * 2
    assert "code owners: CODEOWNERS: Unknown owner on line 3: " in done.out
    assert done.code == 1
    protected.code_owners = None
    assert opened(run_registry(registry_repo, "protect", "--plan").out) == [
        "changes are merged without their code owners"
    ]


# --- one person -------------------------------------------------------------------------------------------------------


def reviews(hub: GitHub) -> tuple[int, bool]:
    """How many approvals main needs, and whether one is a code owner's."""
    [rule] = [rule for rule in hub.rulesets[0]["rules"] if rule["type"] == "pull_request"]
    return rule["parameters"]["required_approving_review_count"], rule["parameters"]["require_code_owner_review"]


def test_a_registry_of_one_person_can_merge_until_a_second_can_write(
    hub: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    own(registry_repo, "@ada")
    hub.writers = ["ada"]
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.code == 0
    assert "note: no review is required (only @ada can write here): whoever can write merges what passes" in done.out
    assert reviews(hub) == (0, False)
    assert "required_status_checks" in {rule["type"] for rule in hub.rulesets[0]["rules"]}
    hub.writers = ["ada", "bob"]
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.out.startswith("update the ruleset 'registry: main'\n")
    assert reviews(hub) == (1, True)
    assert opened(done.out) == ["pull requests by @ada cannot be merged"]
    own(registry_repo, "@ada", "@bob")
    assert opened(run_registry(registry_repo, "protect", "--plan").out) == []


def test_a_team_may_do_without_reviews(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    done = run_registry(registry_repo, "protect", "--apply", "--solo")
    assert done.out.startswith("update the ruleset 'registry: main'\nnote: no review is required (--solo)")
    assert reviews(protected) == (0, False)


def own(root: Path, *owners: str) -> None:
    """Set the owners in registry.yaml."""
    path = root / "registry.yaml"
    listed = ", ".join(f'"{owner}"' for owner in owners)
    path.write_text(re.sub(r"^owners: .*$", f"owners: [{listed}]", path.read_text(), flags=re.MULTILINE))


def test_without_github_the_missing_part_is_named(
    hub: GitHub, registry_repo: Path, run_registry: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GH_REPO")
    assert run_registry(registry_repo, "protect", "--plan").refused("origin is not on GitHub", "GH_REPO=OWNER/NAME")
    assert hub.calls == []


# --- what the workflows count on --------------------------------------------------------------------------------------


def test_the_tables_name_what_the_workflows_use() -> None:
    texts = [path.read_text() for path in (PROJECT / ".github").rglob("*.yml")]
    used = {name for text in texts for name in re.findall(r"^    environment: (\w+)$", text, re.MULTILINE)}
    assert used == {environment.name for environment in github_environments.ENVIRONMENTS}
    listed = (names for text in texts for names in re.findall(r"^labels: \[(.+)\]$", text, re.MULTILINE))
    labels = {name for names in listed for name in names.split(", ")}
    assert labels | {drift_issue.LABEL} == {label.name for label in github_protection.LABELS}
    assert any(f"context={github_protection.GATE}" in text for text in texts)
