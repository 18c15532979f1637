"""Configures a repository on GitHub: branch protection, tag rules, environments, Actions, labels.

The tables here and in the modules beside it are the complete configuration. Other rulesets, environments and labels are
ignored; those named here are reset where they differ, so put stricter rules of your own into a ruleset of your own.
What GitHub refuses (a plan without rulesets, an organization's policy) is left open and told; the rest is configured.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from registry.core import reproductions
from registry.integrations import github
from registry.integrations.github import Repository, RequestRefused
from registry.release import github_actions, github_environments, github_owners, github_steps
from registry.release.github_owners import Owners
from registry.release.github_steps import Gap, Step

# The app of GITHUB_TOKEN on github.com: a status of that name from another app does not count. It cannot be a bypass
# actor of a repository's ruleset ("must be part of the ruleset source or owner organization", HTTP 422).
ACTIONS = 15368
GATE = "registry/gate"
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
class Label:
    """A label of issues."""

    name: str
    color: str
    description: str


_PUSHES = ({"type": "deletion"}, {"type": "non_fast_forward"})
TAGS = Ruleset(
    "registry: releases are immutable",
    "tag",
    RELEASES,
    ({"type": "deletion"}, {"type": "non_fast_forward"}, {"type": "update"}),
)
RECORDS = Ruleset("registry: reproductions are only added", "branch", (f"refs/heads/{reproductions.BRANCH}",), _PUSHES)
PUBLISHER = Ruleset("registry: releases by the publisher", "tag", RELEASES, ({"type": "creation"},))

LABELS = (
    Label("dataset", "1d76db", "A request for a dataset"),
    Label("drift", "b60205", "Published versions fail the nightly checks"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a registry asks for: its owners, the actions that its workflows use, and who may publish and merge.

    `publisher` is the only GitHub App that may create release tags. `solo`: no review is required, even if several can
    write.
    """

    owners: Sequence[str]
    actions: Sequence[str] = ()
    publisher: int | None = None
    solo: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests that remove every difference from the tables, in their order, and what no request can close."""

    repository: Repository
    steps: tuple[Step, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        lines = list(github_steps.descriptions(self.steps))
        return "\n".join(lines) or f"{self.repository}: nothing to change"


def plan(repository: Repository, wanted: Wanted) -> Plan:
    """What differs from the tables. Raises ServiceFailed; Refused for an organization as owner."""
    about = github.get(repository, f"repos/{repository}")
    owners = github_owners.find(repository, wanted.owners)
    solo = wanted.solo or bool(owners.sole_writer)
    found = [
        *github_environments.steps(repository, owners.reviewers, about["default_branch"]),
        *github_actions.steps(repository, private=about["private"]),
        *_rulesets(repository, rulesets(repository.host, wanted.publisher, solo=solo)),
        *_labels(repository),
        *owners.gaps,
        *([] if solo else github_owners.alone(owners)),
        *github_actions.refused_actions(repository, wanted.actions),
    ]
    steps = tuple(one for one in found if isinstance(one, Step))
    return Plan(repository, steps, tuple(one for one in found if isinstance(one, Gap)), _notes(wanted, owners))


def apply(plan: Plan) -> tuple[Gap, ...]:
    """Send the requests, past those that GitHub refuses; what stays open. Raises ServiceFailed for another failure."""
    return (*plan.gaps, *(gap for step in plan.steps for gap in github_steps.send(plan.repository, step)))


def _notes(wanted: Wanted, owners: Owners) -> tuple[str, ...]:
    notes = []
    if wanted.solo or owners.sole_writer:
        why = "--solo" if wanted.solo else f"only @{owners.sole_writer} can write here"
        notes.append(f"no review is required ({why}): whoever can write merges what passes {GATE}")
    if not wanted.publisher:
        notes.append("whoever can write can create a release tag; --publisher APP_ID leaves that to one GitHub App")
    return tuple(notes)


# --- rulesets ---------------------------------------------------------------------------------------------------------


def rulesets(host: str, publisher: int | None = None, *, solo: bool = False) -> tuple[Ruleset, ...]:
    """The rulesets of a repository on this host; `solo`: without a review, which an author cannot give."""
    gate = {"context": GATE} | ({"integration_id": ACTIONS} if host == "github.com" else {})
    checks = {"strict_required_status_checks_policy": False, "required_status_checks": [gate]}
    required = {"type": "required_status_checks", "parameters": checks}
    rules = (*_PUSHES, _pull_request(review=not solo), required)
    main = Ruleset("registry: main", "branch", ("~DEFAULT_BRANCH",), rules)
    return main, TAGS, RECORDS, *([replace(PUBLISHER, app=publisher)] if publisher else [])


def _pull_request(*, review: bool) -> Mapping[str, Any]:
    """The rule that main changes by pull requests only."""
    parameters = {
        "required_approving_review_count": int(review),
        "require_code_owner_review": review,
        "dismiss_stale_reviews_on_push": True,
        "require_last_push_approval": False,
        "required_review_thread_resolution": False,
    }
    return {"type": "pull_request", "parameters": parameters}


def _rulesets(repository: Repository, wanted: Iterable[Ruleset]) -> Iterator[Step | Gap]:
    path = f"repos/{repository}/rulesets"
    try:
        # Without `includes_parents=false` those of the organization are listed too, and cannot be changed here.
        rows = github.get_all(repository, f"{path}?includes_parents=false")
    except RequestRefused as refusal:
        yield github_steps.gap("main and release tags can be changed by everyone who can write", refusal)
        return
    numbers = {row["name"]: row["id"] for row in rows}
    for ruleset in wanted:
        name, body = ruleset.name, ruleset.body()
        consequence = f"the rules of {name!r} are not in force"
        if name not in numbers:
            yield Step(f"create the ruleset {name!r}", "POST", path, body, consequence)
        elif not covers(github.get(repository, f"{path}/{numbers[name]}"), body):
            yield Step(f"update the ruleset {name!r}", "PUT", f"{path}/{numbers[name]}", body, consequence)


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


# --- labels -----------------------------------------------------------------------------------------------------------


def _labels(repository: Repository) -> Iterator[Step]:
    path = f"repos/{repository}/labels"
    existing = {row["name"].lower() for row in github.get_all(repository, path)}
    for label in LABELS:
        if label.name not in existing:
            body = {"name": label.name, "color": label.color, "description": label.description}
            yield Step(
                f"create the label {label.name}", "POST", path, body, f"issues cannot have the label {label.name}"
            )
