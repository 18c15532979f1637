"""The settings of GitHub Actions: which runs wait for a person, what a job's token may do, which actions may run."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from registry.integrations import github
from registry.integrations.github import Repository, RequestRefused
from registry.release.github_steps import Gap, Step, gap

FORKS = {"approval_policy": "all_external_contributors"}
# An update of the settings for private repositories resets what it leaves out.
PRIVATE_FORKS = {
    "run_workflows_from_fork_pull_requests": True,
    "send_write_tokens_to_workflows": False,
    "send_secrets_and_variables": False,
    "require_approval_for_fork_pr_workflows": True,
}
TOKEN = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": True}
_FORKS_OPEN = "a pull request from a fork runs its own workflows, on your runners too, and no person is asked"
_TOKEN_OPEN = "the workflow refresh cannot open pull requests"  # noqa: S105 - no secret
_SETTINGS = "Settings → Actions → General"


def steps(repository: Repository, *, private: bool) -> Iterator[Step | Gap]:
    """What changes the settings of Actions. Raises ServiceFailed."""
    path = f"repos/{repository}/actions/permissions"
    forks = f"{path}/fork-pr-workflows-private-repos" if private else f"{path}/fork-pr-contributor-approval"
    try:
        now = github.get(repository, forks)
    except RequestRefused as refusal:
        yield gap(_FORKS_OPEN, refusal)
    else:
        if not _forks_wait(now, private=private):
            what = "let every run of a fork's pull request wait for an approval"
            yield Step(what, "PUT", forks, PRIVATE_FORKS if private else FORKS, _FORKS_OPEN)
    token = f"{path}/workflow"
    if github.get(repository, token) != TOKEN:
        what = "let workflows open pull requests, with tokens that read by default"
        yield Step(what, "PUT", token, TOKEN, _TOKEN_OPEN)


def _forks_wait(now: Mapping[str, Any], *, private: bool) -> bool:
    if not private:
        return now == FORKS
    return not now["run_workflows_from_fork_pull_requests"] or now == PRIVATE_FORKS


def refused_actions(repository: Repository, used: Iterable[str]) -> Iterator[Gap]:
    """The gap where Actions are off, or a policy refuses some of the actions `OWNER/NAME@COMMIT` that are used."""
    path = f"repos/{repository}/actions/permissions"
    policy = github.get(repository, path)
    consequence = "workflows do not start, so registry/gate never comes"
    if not policy["enabled"]:
        yield Gap(consequence, "GitHub Actions are disabled", f"enable them: {_SETTINGS}")
        return
    allowed = policy.get("allowed_actions", "all")
    if allowed == "all":
        return
    selected = github.get(repository, f"{path}/selected-actions") if allowed == "selected" else {}
    refused = sorted(name for name in used if not _is_allowed(name, selected, repository))
    if refused:
        names = ", ".join(f"{name.partition('@')[0]}@*" for name in refused)
        yield Gap(consequence, f"only some actions are allowed, without {names}", f"allow these: {_SETTINGS}")


def _is_allowed(name: str, selected: Mapping[str, Any], repository: Repository) -> bool:
    owner = name.partition("/")[0]
    if owner == repository.owner or (selected.get("github_owned_allowed") and owner in {"actions", "github"}):
        return True
    return any(fnmatchcase(name, pattern) for pattern in selected.get("patterns_allowed", ()))
