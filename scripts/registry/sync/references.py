"""Which objects Git refers to: in every commit, in all remotes' branches and pull requests, and uncommitted.

`gc` keeps them. Where this cannot be determined, survey raises, so that nothing is deleted.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from registry.core.progress import Progress
from registry.core.tree import Tree
from registry.errors import InvalidDocument, Refused
from registry.integrations import git, git_history, git_trees
from registry.sync import inventory

# Pull requests are fetched to refs/registry/ by the command that `_require_fetched` prints; an unreadable pointer in an
# untrusted one must not stop every run of gc.
OWN_REFS = ("--exclude=refs/registry/*", "--all")  # branches, tags, stashes, and the HEAD of every checkout
POINTERS = ("*.dvc", "*dvc.lock")  # anywhere: a pointer outside an artifact refers to its objects, too
REQUESTS = re.compile(r"refs/(?:pull|merge-requests)/\d+/head")  # where GitHub and GitLab keep pull requests' commits
_MD5 = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?:\.dir)?")


@dataclass(frozen=True, slots=True)
class References:
    """The objects that are referred to: `md5s` by any pointer.

    `lists` are the `.dir` objects that must be readable, each with a description of what needs it.
    """

    md5s: frozenset[str]
    lists: Mapping[str, str]


class _Pointers(NamedTuple):
    """The pointers of a commit that must be readable; all of them where `paths` is None."""

    commit: str
    paths: Sequence[str] | None


def survey(root: Path, progress: Progress | None = None) -> References:
    """What any commit refers to, here or at a remote, and what checkouts of this repository have uncommitted.

    Raises Refused where that cannot be determined, and ToolFailed.
    """
    if git.is_shallow(root):
        raise Refused("shallow clone: what earlier commits refer to is unknown", fix="git fetch --unshallow")
    local = git.refs(root)
    for remote in git.remotes(root):
        _require_fetched(local, remote, git.refs(root, remote))
    md5s, lists = set(_find_in_history(root)), dict[str, str]()
    with git_trees.Commits(root) as commits:
        for commit, paths in _find_readable(root, local):
            lists |= _find_lists(commits.tree(commit), commit, paths)
            if progress:
                progress(1, 0)
    for checkout in git.worktrees(root):
        if (checkout / ".git").exists():  # neither removed nor bare
            trees = (git_trees.WorkTree(checkout), git_trees.Index(checkout))
            md5s.update(md5 for tree in trees for md5 in _find_in_tree(tree))
    return References(frozenset(md5s), lists)


def _require_fetched(local: Mapping[str, str], remote: str, theirs: Mapping[str, str]) -> None:
    """Raise Refused unless every ref of a remote is here as it is there."""
    branches = f"refs/remotes/{remote}/"
    expected = {name: commit for ref, commit in theirs.items() if (name := _local_name(remote, ref))}
    outdated = [ref for ref, commit in expected.items() if local.get(ref) != commit]
    deleted = [ref for ref in local if ref.startswith(branches) and ref != f"{branches}HEAD" and ref not in expected]
    if outdated or deleted:
        requests = f"+refs/pull/*/head:refs/registry/{remote}/pull/*/head"
        if any("/merge-requests/" in ref for ref in expected):
            requests = requests.replace("pull", "merge-requests")
        fix = f"git fetch --prune --tags {remote} '+refs/heads/*:{branches}*' '{requests}'"
        state = "differs from the remote" if outdated else "was deleted at the remote"
        raise Refused(f"{remote} must be fetched first: {(outdated or deleted)[0]} {state}", fix=fix)


def _local_name(remote: str, ref: str) -> str | None:
    """The name that a remote's ref has here; None for one that is not fetched."""
    if ref.startswith("refs/heads/"):
        return f"refs/remotes/{remote}/{ref.removeprefix('refs/heads/')}"
    if ref.startswith("refs/tags/"):
        return ref
    return f"refs/registry/{remote}/{ref.removeprefix('refs/')}" if REQUESTS.fullmatch(ref) else None


def _find_in_history(root: Path) -> Iterator[str]:
    """Every MD5 in any version of any pointer, also in those that cannot be parsed."""
    with git_trees.Commits(root) as trees:
        for change in git_history.changing_commits(root, ["--all"], [], POINTERS):
            tree = trees.tree(change.commit)
            for path in filter(tree.has, change.paths):
                yield from _find_md5s(tree.read(path))


def _find_in_tree(tree: Tree) -> Iterator[str]:
    for entry in tree.list():
        if entry.path.endswith((".dvc", "dvc.lock")) and not entry.is_link:
            yield from _find_md5s(tree.read(entry.path))


def _find_md5s(data: bytes) -> Iterator[str]:
    return (md5.decode() for md5 in _MD5.findall(data))


def _find_readable(root: Path, local: Mapping[str, str]) -> Iterator[_Pointers]:
    """The pointers that must be readable: all of every tip, and those that other commits outside main change."""
    remote = "origin" if git.has_remote(root) else None
    branch = git.main_branch(root, remote)
    main = f"refs/remotes/{remote}/{branch}" if remote else f"refs/heads/{branch}"
    tips = git.tips(root, OWN_REFS)
    yield from (_Pointers(commit, None) for commit in tips)
    changes = git_history.changing_commits(root, OWN_REFS, [main] if main in local else [], POINTERS)
    yield from (_Pointers(change.commit, change.paths) for change in changes if change.commit not in set(tips))


def _find_lists(tree: Tree, commit: str, paths: Sequence[str] | None) -> dict[str, str]:
    """The `.dir` objects that artifacts need, each with a description of what needs it."""
    paths = [entry.path for entry in tree.list()] if paths is None else paths
    try:
        reached = inventory.reached_by(tree, paths)
    except InvalidDocument as error:
        fix = f"git branch --all --contains {commit[:10]}; repair or delete that branch"
        raise Refused(f"commit {commit[:10]}: {error.message}, so what it refers to is unknown", fix=fix) from error
    return {one.output.md5: f"{one.output.path} of commit {commit[:10]}" for one in reached if one.output.is_dir}
