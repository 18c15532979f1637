"""What GitHub is to keep of the promises, told to it through the real gh."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from registry.integrations import github
from registry.release import drift_issue, github_protection
from support.repositories import Run
from support.servers.github import Fault, GitHub, serve

PROJECT = Path(__file__).parents[2]
DONE = "acme/registry: protection is up to date\n"
OTHER = {"ref_name": {"include": ["refs/heads/next"], "exclude": []}}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """A GitHub on which nothing is protected; its team acme/data owns the registry."""
    with serve(GitHub(teams={"acme/data": 7})) as running:
        for name, value in running.env().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def _rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a GitHub holds that is protected; made once."""
    with serve(GitHub(teams={"acme/data": 7})) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.env().items():
            patch.setenv(name, value)
        github_protection.apply(
            github_protection.plan(github.connect(tmp_path_factory.mktemp("clone")), ["@acme/data"])
        )
    return {name: getattr(running, name) for name in ("rulesets", "environments", "policies", "labels")}


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
        "create the ruleset 'registry: main'",
        "create the ruleset 'registry: releases are immutable'",
        "create the environment gpu: with required reviewers",
        "create the environment judge: limited to main",
        "allow main in the environment judge",
        "create the environment production: limited to main",
        "allow main in the environment production",
        "create the environment refresh: limited to main",
        "allow main in the environment refresh",
        "create the environment assign: with required reviewers, limited to main",
        "allow main in the environment assign",
        "create the label dataset",
        "create the label drift",
    ]


def test_after_apply_the_plan_is_empty_and_other_rules_stay(
    protected: GitHub, registry_repo: Path, run_registry: Run
) -> None:
    own = {"id": 50, "name": "ours", "target": "branch", "enforcement": "active", "rules": [], "conditions": OTHER}
    protected.rulesets.append({**own, "source": "acme/registry", "source_type": "Repository"})
    protected.labels["drift"]["color"] = "ffffff"
    done = run_registry(registry_repo, "protect", "--apply")
    assert (done.code, done.out, protected.made()) == (0, DONE, [])
    main, tags, _ = protected.rulesets
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


def test_what_differs_is_set_and_nothing_else(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    protected.rulesets[0]["enforcement"] = "disabled"
    protected.rulesets[1]["bypass_actors"] = [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]
    protected.environments["gpu"]["protection_rules"] = []
    protected.environments["production"]["deployment_branch_policy"] = None
    protected.policies["production"] = []
    protected.policies["assign"].append({"id": 99, "name": "topic", "type": "branch"})
    protected.labels.pop("drift")
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.out.splitlines() == [
        "update the ruleset 'registry: main'",
        "update the ruleset 'registry: releases are immutable'",
        "update the environment gpu: with required reviewers",
        "update the environment production: limited to main",
        "allow main in the environment production",
        "disallow topic in the environment assign",
        "create the label drift",
        "acme/registry: protection configured",
    ]
    assert len(protected.made()) == 7
    assert run_registry(registry_repo, "protect", "--plan").out == DONE


WANTED = github_protection.rulesets("github.com", None)[0].body()


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
    refused = run_registry(registry_repo, "protect", "--apply", "--publisher", str(github_protection.ACTIONS))
    assert refused.refused("must be part of the ruleset source or owner organization", "(HTTP 422)")


def test_on_github_com_only_jobs_can_set_the_gate() -> None:
    main, _ = github_protection.rulesets("github.com", None)
    checks = main.body()["rules"][-1]["parameters"]["required_status_checks"]
    assert checks == [{"context": "registry/gate", "integration_id": 15368}]


def test_refused(hub: GitHub, registry_repo: Path, run_registry: Run) -> None:
    assert "--plan" in run_registry(registry_repo, "protect").err
    hub.teams.clear()
    assert run_registry(registry_repo, "protect", "--plan").refused("GET orgs/acme/teams/data: Not Found (HTTP 404)")


def test_stopped_half_way_the_next_run_goes_on(protected: GitHub, registry_repo: Path, run_registry: Run) -> None:
    protected.rulesets.clear()
    protected.labels.clear()
    protected.faults.append(Fault("/labels", 403, "Resource not accessible by personal access token", "POST"))
    assert run_registry(registry_repo, "protect", "--apply").refused("Resource not accessible", "token")
    done = run_registry(registry_repo, "protect", "--apply")
    assert done.out.splitlines() == [
        "create the label dataset",
        "create the label drift",
        "acme/registry: protection configured",
    ]


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
    assert used == {environment.name for environment in github_protection.ENVIRONMENTS}
    listed = (names for text in texts for names in re.findall(r"^labels: \[(.+)\]$", text, re.MULTILINE))
    labels = {name for names in listed for name in names.split(", ")}
    assert labels | {drift_issue.LABEL} == {label.name for label in github_protection.LABELS}
    assert any(f"context={github_protection.GATE}" in text for text in texts)
