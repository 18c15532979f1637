"""The environments of the workflows: who is asked before a job runs, and from which branch it may run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from registry.integrations import github
from registry.integrations.github import Repository
from registry.release.github_steps import Step


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment: whether jobs need a review by the registry's owners, and whether it is limited to main."""

    name: str
    needs_review: bool
    main_only: bool


# gpu runs code of a pull request, so a person reviews each job; main's code was reviewed when it was merged.
ENVIRONMENTS = (
    Environment("gpu", needs_review=True, main_only=False),
    Environment("judge", needs_review=False, main_only=True),
    Environment("production", needs_review=False, main_only=True),
    Environment("refresh", needs_review=False, main_only=True),
    Environment("assign", needs_review=True, main_only=True),
)


def steps(repository: Repository, reviewers: Iterable[Mapping[str, Any]], main: str) -> Iterator[Step]:
    """What changes the environments. Raises ServiceFailed."""
    path = f"repos/{repository}/environments"
    existing = {row["name"]: row for row in github.get_all(repository, path, "environments")}
    people = tuple(reviewers)
    for wanted in ENVIRONMENTS:
        known = existing.get(wanted.name)
        change = _Change(wanted, f"{path}/{wanted.name}", known, people if wanted.needs_review else (), main)
        branches = tuple(_branches(repository, change)) if wanted.main_only else ()
        if known is None or change.people != _people(known) or known.get("deployment_branch_policy") != change.policy:
            yield _step(change, branches)
        else:
            yield from branches


@dataclass(frozen=True, slots=True)
class _Change:
    """An environment as it is wanted, beside GitHub's JSON of the one that exists."""

    wanted: Environment
    path: str
    known: Mapping[str, Any] | None
    reviewers: tuple[Mapping[str, Any], ...]
    main: str

    @property
    def policy(self) -> Mapping[str, bool] | None:
        return {"protected_branches": False, "custom_branch_policies": True} if self.wanted.main_only else None

    @property
    def people(self) -> set[tuple[str, int]]:
        return {(one["type"], one["id"]) for one in self.reviewers}

    @property
    def title(self) -> str:
        action = f"{'create' if self.known is None else 'update'} the environment {self.wanted.name}"
        limits = ["with required reviewers"] * bool(self.reviewers) + [f"limited to {self.main}"] * bool(self.policy)
        return f"{action}: {', '.join(limits)}" if limits else action

    def keeps(self, rules: "_Rules") -> bool:
        """Whether a request with fewer rules takes no protection away that there is."""
        known = self.known or {"protection_rules": ()}
        return not _people(known) and (rules.branches or not known.get("deployment_branch_policy"))


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules that one request sends."""

    reviewers: bool
    branches: bool


def _step(change: _Change, branches: tuple[Step, ...]) -> Step:
    """The request, with those instead of it where the plan has no reviewers, and then no limit to branches either."""
    asks, limits = bool(change.reviewers), change.policy is not None
    fewer = [_Rules(reviewers=False, branches=limits)] * asks + [_Rules(reviewers=False, branches=False)] * limits
    step = None
    for rules in reversed([_Rules(asks, limits), *filter(change.keeps, fewer)]):
        then = branches if rules.branches else ()
        step = Step(change.title, "PUT", change.path, _body(change, rules), _open(change, rules), then, step)
    assert step  # the first rules are always there
    return step


def _open(change: _Change, rules: _Rules) -> str:
    """What follows if GitHub refuses a request with these rules."""
    name = change.wanted.name
    if rules.reviewers:
        return f"jobs run in the environment {name}, and no person is asked"
    if rules.branches:
        return f"jobs of any branch get the secrets, the variables and the AWS role of the environment {name}"
    return f"the environment {name} is missing"


def _body(change: _Change, rules: _Rules) -> dict[str, Any]:
    # An update resets what it leaves out. But on private repositories below Enterprise, GitHub refuses reviewers and
    # wait_timer even as null and 0, so they are sent only where they are wanted or were set.
    known = change.known or {"protection_rules": ()}
    wait = next((rule["wait_timer"] for rule in known["protection_rules"] if "wait_timer" in rule), 0)
    body: dict[str, Any] = {"deployment_branch_policy": change.policy if rules.branches else None}
    if rules.reviewers or _people(known):
        body["reviewers"] = list(change.reviewers) or None
    return body | ({"wait_timer": wait} if wait else {})


def _branches(repository: Repository, change: _Change) -> Iterator[Step]:
    """What makes main the only branch of the environment."""
    path, name = f"{change.path}/deployment-branch-policies", change.wanted.name
    listed = change.known is not None and change.known.get("deployment_branch_policy") == change.policy
    rows = github.get_all(repository, path, "branch_policies") if listed else []
    kept = [row for row in rows if row["name"] == change.main and row.get("type", "branch") == "branch"]
    if not kept:
        body = {"name": change.main, "type": "branch"}
        unused = f"no job can run in the environment {name}"
        yield Step(f"allow {change.main} in the environment {name}", "POST", path, body, unused)
    for row in (row for row in rows if row not in kept):
        what = f"jobs of {row['name']} can run in the environment {name}"
        yield Step(f"disallow {row['name']} in the environment {name}", "DELETE", f"{path}/{row['id']}", None, what)


def _people(environment: Mapping[str, Any]) -> set[tuple[str, int]]:
    rules = [rule for rule in environment["protection_rules"] if rule["type"] == "required_reviewers"]
    return {(one["type"], one["reviewer"]["id"]) for rule in rules for one in rule["reviewers"]}
