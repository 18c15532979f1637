"""What `registry protect` does, and what stays open: steps, and gaps that no step closes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from registry.integrations import github
from registry.integrations.github import Repository, RequestRefused

PAGE = "docs/first-pull-request.md"
_PLAN = f"a public repository or a larger plan has it: {PAGE}, «What your plan gives»"
_ADMINISTRATOR = "gh auth login as an administrator of the repository, then run the same command again"
_ORGANIZATION = "an owner of the organization allows it: Settings → Actions → General"
_REPORT = "GitHub's words name the value that it refused; correct it, then run the same command again"


@dataclass(frozen=True, slots=True)
class Gap:
    """A protection that is missing: what follows from that, why it is so, and how to change it."""

    consequence: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"open: {self.consequence}: {self.reason}\n  hint: {self.fix}"


@dataclass(frozen=True, slots=True)
class Step:
    """One request. `open` is what follows if GitHub refuses it; then `instead` is sent, otherwise `then`."""

    description: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    open: str
    then: "tuple[Step, ...]" = ()
    instead: "Step | None" = None


def descriptions(steps: Iterable[Step]) -> Iterator[str]:
    """A line for each request that is sent if GitHub refuses none."""
    for step in steps:
        yield step.description
        yield from descriptions(step.then)


def send(repository: Repository, step: Step) -> Iterator[Gap]:
    """Send a step with what follows it. Raises ServiceFailed for anything but a refusal of this one request."""
    try:
        github.send(repository, step.method, step.path, step.body)
    except RequestRefused as refusal:
        yield gap(step.open, refusal)
        if step.instead:
            yield from send(repository, step.instead)
        return
    for following in step.then:
        yield from send(repository, following)


def gap(consequence: str, refusal: RequestRefused) -> Gap:
    """The gap that a refusal leaves."""
    return Gap(consequence, refusal.said, _fix(refusal))


def _fix(refusal: RequestRefused) -> str:
    # GitHub's words: «Upgrade to GitHub Pro or make this repository public to enable this feature» (rulesets), «Please
    # ensure the billing plan supports the required reviewers protection rule» (environments).
    if "Upgrade to GitHub" in refusal.said or "billing plan" in refusal.said:
        return _PLAN
    if refusal.status == 409:
        return _ORGANIZATION
    return _REPORT if refusal.status == 422 else _ADMINISTRATOR
