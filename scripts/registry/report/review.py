"""Which pull request a run of CI judges."""

from dataclasses import dataclass
from pathlib import Path

from registry.integrations import git, github
from registry.integrations.github import Repository
from registry.model import training_results


@dataclass(frozen=True, slots=True)
class Found:
    """A pull request to judge, or why there is none; `waits`: it is judged once it is ready or retargeted."""

    number: int | None = None
    reason: str = ""
    waits: bool = False


def find(root: Path, repository: Repository, branch: str, head: str) -> Found:
    """The open pull request of `branch` into the default branch, where the branch is still at `head`.

    The commit of training results that an earlier run pushed on top of `head` counts as `head`.
    """
    default = github.default_branch(repository)
    opened = github.open_pulls(repository, branch)
    mine = [one for one in opened if one.base == default]
    if not opened:
        return Found(reason="no open pull request")
    if not mine:
        return Found(reason=f"not into {default}: judged when it is retargeted", waits=opened[0].head == head)
    if not _is_at(root, mine[0].head, head):
        return Found(reason=f"the branch moved on from {head[:10]} to {mine[0].head[:10]}")
    if mine[0].is_draft:
        return Found(reason="a draft: judged when it is ready for review", waits=True)
    return Found(mine[0].number)


def _is_at(root: Path, tip: str, head: str) -> bool:
    if tip == head:
        return True
    for commit in (head, tip):
        if not git.has_object(root, commit):
            git.fetch_commit(root, commit)
    return training_results.is_made_of(root, tip, head)
