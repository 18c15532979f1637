"""What GitHub is to keep of the promises: who may merge, who may move a tag, which jobs wait for a person.

The tables below are the whole of it. What else a repository has (other rulesets, environments, labels) is not looked
at; in those named here, what differs is put right, so stricter rules of your own belong in a ruleset of your own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry.integrations import github
from registry.integrations.github import Repository

# The app that GITHUB_TOKEN speaks for on github.com: no status of that name from anybody else counts. It can be no
# bypass actor of a repository's ruleset ("must be part of the ruleset source or owner organization", HTTP 422).
ACTIONS = 15368
GATE = "registry/gate"
REVIEWERS = 6  # the most that GitHub lets an environment have
# `**/*` is how GitHub writes "whatever depth": docs.github.com, «Creating rulesets for a repository».
RELEASES = ("refs/tags/datasets/**/*", "refs/tags/models/**/*")


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A ruleset as its API has it; `app` is a GitHub App that is exempt."""

    name: str
    target: str
    refs: tuple[str, ...]
    rules: tuple[Mapping[str, Any], ...]
    app: int | None = None

    def body(self) -> dict[str, Any]:
        """What is sent."""
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
    """An environment of jobs: whether the registry's owners let each job in, and whether it is for main alone."""

    name: str
    asks: bool
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
    "registry: releases stay", "tag", RELEASES, ({"type": "deletion"}, {"type": "non_fast_forward"}, {"type": "update"})
)
PUBLISHER = Ruleset("registry: releases come from the publisher", "tag", RELEASES, ({"type": "creation"},))

# gpu runs what a pull request brings, so a person looks first; what main holds was reviewed when it was merged.
ENVIRONMENTS = (
    Environment("gpu", asks=True, main_only=False),
    Environment("production", asks=False, main_only=True),
    Environment("refresh", asks=False, main_only=True),
    Environment("assign", asks=True, main_only=True),
)
LABELS = (
    Label("dataset", "1d76db", "A dataset that somebody asks for"),
    Label("drift", "b60205", "What is published is not as it was published"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One call that puts one thing right."""

    words: str
    method: str
    path: str
    body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs from the tables, in the order in which it is put right."""

    repository: Repository
    steps: tuple[Step, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.steps

    def __str__(self) -> str:
        return "\n".join(step.words for step in self.steps) or f"{self.repository} is protected: nothing to do"


def plan(repository: Repository, owners: Sequence[str], publisher: int | None = None) -> Plan:
    """What to do so that a repository is as the tables say. `publisher` is the App that alone may make release tags.

    `owners` are those of the registry, `@team` and `@user` alike. Raises ServiceFailed.
    """
    main = github.ask(repository, f"repos/{repository}")["default_branch"]
    steps = [
        *_rulesets(repository, rulesets(repository.host, publisher)),
        *_environments(repository, _reviewers(repository, owners), main),
        *_labels(repository),
    ]
    return Plan(repository, tuple(steps))


def apply(plan: Plan) -> None:
    """Put right what differs. Raises ServiceFailed; what was done by then stays done."""
    for step in plan.steps:
        github.tell(plan.repository, step.method, step.path, step.body)


# --- rulesets ---------------------------------------------------------------------------------------------------------


def rulesets(host: str, publisher: int | None) -> tuple[Ruleset, ...]:
    """The rulesets that a repository there is to have."""
    gate = {"context": GATE} | ({"integration_id": ACTIONS} if host == "github.com" else {})
    checks = {"strict_required_status_checks_policy": False, "required_status_checks": [gate]}
    required = {"type": "required_status_checks", "parameters": checks}
    main = replace(MAIN, rules=(*MAIN.rules, required))
    return main, TAGS, *([replace(PUBLISHER, app=publisher)] if publisher else [])


def _rulesets(repository: Repository, wanted: Iterable[Ruleset]) -> Iterator[Step]:
    path = f"repos/{repository}/rulesets"
    # Without `includes_parents=false` those of the organization are listed too, and cannot be changed here.
    numbers = {row["name"]: row["id"] for row in github.ask_all(repository, f"{path}?includes_parents=false")}
    for ruleset in wanted:
        name, body = ruleset.name, ruleset.body()
        if name not in numbers:
            yield Step(f"make the ruleset «{name}»", "POST", path, body)
        elif not covers(github.ask(repository, f"{path}/{numbers[name]}"), body):
            yield Step(f"put the ruleset «{name}» right", "PUT", f"{path}/{numbers[name]}", body)


def covers(actual: Any, wanted: Any) -> bool:
    """Whether what GitHub has says what is wanted; of mappings it may say more, since it fills in defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(covers(actual.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        rows, others = sorted(wanted, key=_rank), sorted(actual or [], key=_rank)
        return len(rows) == len(others) and all(map(covers, others, rows))
    return actual == wanted


def _rank(row: Any) -> str:
    return row.get("type") or row.get("context") or "" if isinstance(row, Mapping) else str(row)


# --- environments -----------------------------------------------------------------------------------------------------


def _reviewers(repository: Repository, owners: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for owner in [owner.removeprefix("@") for owner in owners if owner.startswith("@")][:REVIEWERS]:
        organization, _, team = owner.partition("/")
        path = f"orgs/{organization}/teams/{team}" if team else f"users/{owner}"
        found.append({"type": "Team" if team else "User", "id": github.ask(repository, path)["id"]})
    return found


def _environments(repository: Repository, reviewers: list[dict[str, Any]], main: str) -> Iterator[Step]:
    path = f"repos/{repository}/environments"
    there = {row["name"]: row for row in github.ask_all(repository, path, "environments")}
    for wanted in ENVIRONMENTS:
        itself, known = f"{path}/{wanted.name}", there.get(wanted.name)
        people = reviewers if wanted.asks else []
        policy = {"protected_branches": False, "custom_branch_policies": True} if wanted.main_only else None
        if known is None or _people(known) != _pairs(people) or known.get("deployment_branch_policy") != policy:
            words = [*(["asks its reviewers"] if people else []), *([f"for {main} alone"] if policy else [])]
            what = (
                f"{'make' if known is None else 'put'} the environment {wanted.name}{'' if known is None else ' right'}"
            )
            body = {"reviewers": people or None, "deployment_branch_policy": policy, "wait_timer": _wait(known or {})}
            yield Step(f"{what}: {', '.join(words)}", "PUT", itself, body)
        if policy:
            listed = known and known.get("deployment_branch_policy") == policy
            yield from _branches(repository, wanted.name, f"{itself}/deployment-branch-policies", main, listed)


def _people(environment: Mapping[str, Any]) -> set[tuple[str, int]]:
    rules = [rule for rule in environment["protection_rules"] if rule["type"] == "required_reviewers"]
    return {(one["type"], one["reviewer"]["id"]) for rule in rules for one in rule["reviewers"]}


def _pairs(people: Iterable[Mapping[str, Any]]) -> set[tuple[str, int]]:
    return {(one["type"], one["id"]) for one in people}


def _wait(environment: Mapping[str, Any]) -> int:
    """The minutes that jobs wait there; nobody's business here, but a change to the rest would forget them."""
    return next((rule["wait_timer"] for rule in environment.get("protection_rules", ()) if "wait_timer" in rule), 0)


def _branches(repository: Repository, name: str, path: str, main: str, listed: bool) -> Iterator[Step]:
    rows = github.ask_all(repository, path, "branch_policies") if listed else []
    kept = [row for row in rows if row["name"] == main and row.get("type", "branch") == "branch"]
    if not kept:
        yield Step(f"let {main} into the environment {name}", "POST", path, {"name": main, "type": "branch"})
    for row in (row for row in rows if row not in kept):
        yield Step(f"keep {row['name']} out of the environment {name}", "DELETE", f"{path}/{row['id']}", None)


# --- labels -----------------------------------------------------------------------------------------------------------


def _labels(repository: Repository) -> Iterator[Step]:
    path = f"repos/{repository}/labels"
    there = {row["name"].lower() for row in github.ask_all(repository, path)}
    for label in LABELS:
        if label.name not in there:
            body = {"name": label.name, "color": label.color, "description": label.description}
            yield Step(f"make the label {label.name}", "POST", path, body)
