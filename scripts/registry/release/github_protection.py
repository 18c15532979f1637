"""Configures a repository on GitHub: branch protection, tag rules, environments with reviewers, labels.

The tables below are the complete configuration. Other rulesets, environments and labels are ignored; those named here
are reset where they differ, so put stricter rules of your own into a ruleset of your own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry.integrations import github
from registry.integrations.github import Repository

# The app of GITHUB_TOKEN on github.com: a status of that name from another app does not count. It cannot be a bypass
# actor of a repository's ruleset ("must be part of the ruleset source or owner organization", HTTP 422).
ACTIONS = 15368
GATE = "registry/gate"
REVIEWERS = 6  # the most that GitHub accepts for an environment
# `**/*` matches any depth: docs.github.com, «Creating rulesets for a repository».
RELEASES = ("refs/tags/datasets/**/*", "refs/tags/models/**/*")


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A ruleset in the terms of GitHub's API; `app` is a GitHub App that is exempt."""

    name: str
    target: str
    refs: tuple[str, ...]
    rules: tuple[Mapping[str, Any], ...]
    app: int | None = None

    def body(self) -> dict[str, Any]:
        """The body of the request."""
        bypass = [{"actor_id": self.app, "actor_type": "Integration", "bypass_mode": "always"}] if self.app else []
        return {
            "name": self.name,
            "target": self.target,
            "enforcement": "active",
            "conditions": {"ref_name": {"include": list(self.refs), "exclude": []}},
            "rules": list(self.rules),
            "bypass_actors": bypass,
        }


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment: whether jobs need a review by the registry's owners, and whether it is limited to main."""

    name: str
    needs_review: bool
    main_only: bool


@dataclass(frozen=True, slots=True)
class Label:
    """A label of issues."""

    name: str
    color: str
    description: str


MAIN = Ruleset(
    "registry: main", "branch", ("~DEFAULT_BRANCH",),
    (
        {"type": "deletion"},
        {"type": "non_fast_forward"},
        {"type": "pull_request", "parameters": {
            "required_approving_review_count": 1,
            "require_code_owner_review": True,
            "dismiss_stale_reviews_on_push": True,
            "require_last_push_approval": False,
            "required_review_thread_resolution": False,
        }},
    ),
)  # fmt: skip
TAGS = Ruleset(
    "registry: releases are immutable",
    "tag",
    RELEASES,
    ({"type": "deletion"}, {"type": "non_fast_forward"}, {"type": "update"}),
)
PUBLISHER = Ruleset("registry: releases by the publisher", "tag", RELEASES, ({"type": "creation"},))

# gpu runs code of a pull request, so a person reviews each job; main's code was reviewed when it was merged.
ENVIRONMENTS = (
    Environment("gpu", needs_review=True, main_only=False),
    Environment("judge", needs_review=False, main_only=True),
    Environment("production", needs_review=False, main_only=True),
    Environment("refresh", needs_review=False, main_only=True),
    Environment("assign", needs_review=True, main_only=True),
)
LABELS = (
    Label("dataset", "1d76db", "A request for a dataset"),
    Label("drift", "b60205", "Published versions fail the nightly checks"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what it does."""

    description: str
    method: str
    path: str
    body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests that remove every difference from the tables, in their order."""

    repository: Repository
    steps: tuple[Step, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.steps

    def __str__(self) -> str:
        return "\n".join(step.description for step in self.steps) or f"{self.repository}: protection is up to date"


def plan(repository: Repository, owners: Sequence[str], publisher: int | None = None) -> Plan:
    """The differences between a repository and the tables. `publisher` is the only App that may create release tags.

    `owners` are those of the registry, `@org/team` or `@user`. Raises ServiceFailed.
    """
    main = github.get(repository, f"repos/{repository}")["default_branch"]
    steps = [
        *_rulesets(repository, rulesets(repository.host, publisher)),
        *_environments(repository, _reviewers(repository, owners), main),
        *_labels(repository),
    ]
    return Plan(repository, tuple(steps))


def apply(plan: Plan) -> None:
    """Send the requests. Raises ServiceFailed; changes made until then stay."""
    for step in plan.steps:
        github.send(plan.repository, step.method, step.path, step.body)


# --- rulesets ---------------------------------------------------------------------------------------------------------


def rulesets(host: str, publisher: int | None) -> tuple[Ruleset, ...]:
    """The rulesets of a repository on this host."""
    gate = {"context": GATE} | ({"integration_id": ACTIONS} if host == "github.com" else {})
    checks = {"strict_required_status_checks_policy": False, "required_status_checks": [gate]}
    required = {"type": "required_status_checks", "parameters": checks}
    main = replace(MAIN, rules=(*MAIN.rules, required))
    return main, TAGS, *([replace(PUBLISHER, app=publisher)] if publisher else [])


def _rulesets(repository: Repository, wanted: Iterable[Ruleset]) -> Iterator[Step]:
    path = f"repos/{repository}/rulesets"
    # Without `includes_parents=false` those of the organization are listed too, and cannot be changed here.
    numbers = {row["name"]: row["id"] for row in github.get_all(repository, f"{path}?includes_parents=false")}
    for ruleset in wanted:
        name, body = ruleset.name, ruleset.body()
        if name not in numbers:
            yield Step(f"create the ruleset {name!r}", "POST", path, body)
        elif not covers(github.get(repository, f"{path}/{numbers[name]}"), body):
            yield Step(f"update the ruleset {name!r}", "PUT", f"{path}/{numbers[name]}", body)


def covers(actual: Any, wanted: Any) -> bool:
    """Whether GitHub's JSON has all that is wanted; its mappings may have more keys, since it fills in defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(covers(actual.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        rows, others = sorted(wanted, key=_rank), sorted(actual or [], key=_rank)
        return len(rows) == len(others) and all(map(covers, others, rows))
    return bool(actual == wanted)


def _rank(row: Any) -> str:
    return row.get("type") or row.get("context") or "" if isinstance(row, Mapping) else str(row)


# --- environments -----------------------------------------------------------------------------------------------------


def _reviewers(repository: Repository, owners: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for owner in [owner.removeprefix("@") for owner in owners if owner.startswith("@")][:REVIEWERS]:
        organization, _, team = owner.partition("/")
        path = f"orgs/{organization}/teams/{team}" if team else f"users/{owner}"
        found.append({"type": "Team" if team else "User", "id": github.get(repository, path)["id"]})
    return found


def _environments(repository: Repository, reviewers: list[dict[str, Any]], main: str) -> Iterator[Step]:
    path = f"repos/{repository}/environments"
    existing = {row["name"]: row for row in github.get_all(repository, path, "environments")}
    for wanted in ENVIRONMENTS:
        url, known = f"{path}/{wanted.name}", existing.get(wanted.name)
        people = reviewers if wanted.needs_review else []
        policy = {"protected_branches": False, "custom_branch_policies": True} if wanted.main_only else None
        if known is None or _people(known) != _pairs(people) or known.get("deployment_branch_policy") != policy:
            rules = [*(["with required reviewers"] if people else []), *([f"limited to {main}"] if policy else [])]
            action = f"{'create' if known is None else 'update'} the environment {wanted.name}"
            body = {"reviewers": people or None, "deployment_branch_policy": policy, "wait_timer": _wait(known or {})}
            yield Step(f"{action}: {', '.join(rules)}", "PUT", url, body)
        if policy:
            listed = known is not None and known.get("deployment_branch_policy") == policy
            yield from _branches(repository, wanted.name, f"{url}/deployment-branch-policies", main, listed)


def _people(environment: Mapping[str, Any]) -> set[tuple[str, int]]:
    rules = [rule for rule in environment["protection_rules"] if rule["type"] == "required_reviewers"]
    return {(one["type"], one["reviewer"]["id"]) for rule in rules for one in rule["reviewers"]}


def _pairs(people: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    return {(one["type"], one["id"]) for one in people}


def _wait(environment: Mapping[str, Any]) -> int:
    """The minutes that jobs wait in an environment: not configured here, but an update without them resets them."""
    return next((rule["wait_timer"] for rule in environment.get("protection_rules", ()) if "wait_timer" in rule), 0)


def _branches(repository: Repository, name: str, path: str, main: str, listed: bool) -> Iterator[Step]:
    rows = github.get_all(repository, path, "branch_policies") if listed else []
    kept = [row for row in rows if row["name"] == main and row.get("type", "branch") == "branch"]
    if not kept:
        yield Step(f"allow {main} in the environment {name}", "POST", path, {"name": main, "type": "branch"})
    for row in (row for row in rows if row not in kept):
        yield Step(f"disallow {row['name']} in the environment {name}", "DELETE", f"{path}/{row['id']}", None)


# --- labels -----------------------------------------------------------------------------------------------------------


def _labels(repository: Repository) -> Iterator[Step]:
    path = f"repos/{repository}/labels"
    existing = {row["name"].lower() for row in github.get_all(repository, path)}
    for label in LABELS:
        if label.name not in existing:
            body = {"name": label.name, "color": label.color, "description": label.description}
            yield Step(f"create the label {label.name}", "POST", path, body)
