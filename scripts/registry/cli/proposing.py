"""Proposing what a command wrote as one pull request, for several commands."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.cli import transferring
from registry.cli.workspace import Workspace
from registry.console import say
from registry.errors import Refused
from registry.integrations import git, git_commits, github
from registry.sync import push


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pull request: its branch (the command's own, which is overwritten), its title, and its body as Markdown."""

    branch: str
    title: str
    body: str


def require_clean(space: Workspace) -> None:
    """Raise Refused where something would become part of the pull request that the command did not write."""
    if git.uncommitted_paths(space.root, "."):
        raise Refused("the working tree has uncommitted changes, which would become part of the pull request",
                      fix="git stash --include-untracked")  # fmt: skip


def commit(space: Workspace, title: str) -> str:
    """The commit of all changes of the working tree on top of HEAD, which stays what it is."""
    paths = git.changed_paths(space.root, "HEAD")
    files = {path: space.tree.read(path) if space.tree.has(path) else None for path in paths}
    return git_commits.commit_files(space.root, git.resolve_commit(space.root, "HEAD"), files, f"{title}\n")


def describe(space: Workspace, made: str) -> Sequence[str]:
    """What a commit changes since HEAD, a line for each file."""
    return git.diff_stat(space.root, "HEAD", made)


def open_pull_request(space: Workspace, made: str, proposal: Proposal) -> None:
    """Upload a commit's objects, push it to the branch, open or update the pull request, and print its URL."""
    repository = github.connect(space.root)
    transferring.upload(space, push.needed_by(space.root, (made,)))
    git_commits.push_branch(space.root, made, proposal.branch, force=True)
    base = git.main_branch(space.root, "origin")
    say(github.open_pull_request(repository, proposal.branch, proposal.title, proposal.body, base))
