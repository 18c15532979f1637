"""Who decides on GitHub: the registry's owners, whether GitHub accepts them as code owners, and who can write."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from registry.errors import Refused, ServiceFailed
from registry.integrations import github
from registry.integrations.github import Repository, RequestRefused
from registry.release.github_steps import Gap, gap

MOST = 6  # the most reviewers that GitHub accepts for an environment


@dataclass(frozen=True, slots=True)
class Owners:
    """The reviewers of environments as GitHub's API takes them, the people behind them, and who can write."""

    reviewers: tuple[dict[str, Any], ...]
    people: frozenset[str]
    writers: frozenset[str]
    gaps: tuple[Gap, ...]

    @property
    def sole_writer(self) -> str:
        """The only person who can write: no other could review. Empty where there are more."""
        return next(iter(self.writers)) if len(self.writers) == 1 else ""


@dataclass(frozen=True, slots=True)
class _Owner:
    reviewer: dict[str, Any]
    people: frozenset[str]


def find(repository: Repository, owners: Sequence[str]) -> Owners:
    """What GitHub knows of the owners, `@org/team` or `@user`. Raises ServiceFailed; Refused for an organization."""
    found: list[_Owner] = []
    gaps: list[Gap] = []
    for owner in (owner.removeprefix("@") for owner in owners if owner.startswith("@")):
        try:
            found.append(_team(repository, owner) if "/" in owner else _user(repository, owner))
        except RequestRefused as refusal:
            fix = "correct `owners` in registry.yaml, then registry check --fix; teams need a token with read:org"
            gaps.append(Gap(f"@{owner} reviews nothing", f"GitHub shows no such owner: {refusal.said}", fix))
    people: frozenset[str] = frozenset().union(*(owner.people for owner in found))
    rows = github.get_all(repository, f"repos/{repository}/collaborators?permission=push")
    writers = frozenset(row["login"] for row in rows if row["type"] == "User")
    reviewers = tuple(owner.reviewer for owner in found[:MOST])
    return Owners(reviewers, people, writers, (*gaps, *_code_owner_errors(repository)))


def alone(owners: Owners) -> Iterator[Gap]:
    """The gap where one of several writers owns everything: a code owner cannot approve a change of their own."""
    if len(owners.people) == 1 and len(owners.writers) > 1:
        (person,) = owners.people
        what = f"pull requests by @{person} cannot be merged"
        fix = "add a second owner to `owners` in registry.yaml, then registry check --fix"
        yield Gap(what, "they are the only code owner, and authors cannot approve their own changes", fix)


def _team(repository: Repository, owner: str) -> _Owner:
    organization, _, team = owner.partition("/")
    path = f"orgs/{organization}/teams/{team}"
    number = github.get(repository, path)["id"]
    members = github.get_all(repository, f"{path}/members")
    return _Owner({"type": "Team", "id": number}, frozenset(row["login"] for row in members))


def _user(repository: Repository, owner: str) -> _Owner:
    row = github.get(repository, f"users/{owner}")
    if row["type"] == "Organization":
        fix = f"name a team (@{owner}/TEAM) or people as `owners` in registry.yaml, then registry check --fix"
        raise Refused(f"registry.yaml: owner @{owner} is an organization, and no code owner can be one", fix=fix)
    return _Owner({"type": "User", "id": row["id"]}, frozenset({owner}))


@dataclass(frozen=True, slots=True)
class Verified:
    """Which owners cannot be code owners, and why; `unknown` is why that could not be asked, or empty."""

    unfit: Mapping[str, Refused]
    unknown: str = ""


def verify(root: Path | None, owners: Iterable[str]) -> Verified:
    """Ask the GitHub of a clone, if there is one, about owners: only it knows whether `@acme` is an organization."""
    people = sorted({owner for owner in owners if owner.startswith("@") and "/" not in owner})
    unfit: dict[str, Refused] = {}
    if not people:
        return Verified(unfit)
    try:
        if root is None:
            raise github.Unreachable("there is no clone yet")
        repository = github.connect(root)
        for owner in people:
            if fault := _unfit(repository, owner):
                unfit[owner] = fault
    except (github.Unreachable, ServiceFailed) as error:
        what = f"not verified whether {', '.join(people)} can be a code owner, which no organization can"
        return Verified(unfit, f"{what}: {error.message}")
    return Verified(unfit)


def _unfit(repository: Repository, owner: str) -> Refused | None:
    fix = f"name a team ({owner}/TEAM) or people as owners, then registry check --fix"
    try:
        _user(repository, owner.removeprefix("@"))
    except Refused:
        return Refused(f"owner {owner} is an organization, and no code owner can be one", fix=fix)
    except RequestRefused as refusal:
        if refusal.status != HTTPStatus.NOT_FOUND:
            raise
        return Refused(f"owner {owner} cannot be a code owner: GitHub has no such user", fix=fix)
    return None


def _code_owner_errors(repository: Repository) -> Iterator[Gap]:
    """What GitHub itself finds wrong with CODEOWNERS, such as a team that cannot write."""
    consequence = "changes are merged without their code owners"
    try:
        rows = github.get(repository, f"repos/{repository}/codeowners/errors")["errors"]
    except RequestRefused as refusal:
        if refusal.status != 404:
            raise
        yield gap(consequence, refusal)
        return
    for row in rows:
        message = " ".join(row["message"].split("\n")[0].split())
        fix = "give that team or user write access (Settings → Collaborators and teams), or change the owners"
        yield Gap(consequence, f"{row['path']}: {message}", fix)
