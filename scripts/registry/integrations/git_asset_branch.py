"""Branches that hold generated files, written with Git plumbing: no working tree, no index, no local branch.

Each set of files is a commit without parents that holds nothing else, so that the same files always have the same
commit id, and URLs with it stay valid as long as the commit is kept. The tip of the branch holds a README only; its
parents are the commits that are kept, newest first. A commit that is dropped is freed by the next `git gc`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.errors import ToolFailed
from registry.integrations import git, process

MAX_COMMITS = 60
ATTEMPTS = 5  # to push, while others push too
# A fixed author and time: otherwise the same files would have another commit id each time.
_IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "registry"), ("EMAIL", "registry@users.noreply.github.com"), ("DATE", "@0 +0000"))
}
_README = b"""# Files that the registry shows in pull requests

These files are generated. Each set of files is one of this commit's parents; the oldest are dropped.
"""


def publish_files(root: Path, branch: str, files: Mapping[str, bytes], message: str, remote: str = "origin") -> str:
    """Put files (by name, no folders) on a branch of the remote; the id of the commit that holds them.

    Tries again when another push came first. Raises ToolFailed.
    """
    commit = _commit_tree(root, _write_tree(root, files), (), message)
    ref = f"refs/heads/{branch}"
    for attempt in range(1, ATTEMPTS + 1):
        old = git.refs(root, remote).get(ref, "")
        kept = _kept_commits(root, old, remote)
        if kept[:1] == (commit,):
            break
        parents = (commit, *(other for other in kept if other != commit))[:MAX_COMMITS]
        tip = _commit_tree(root, _write_tree(root, {"README.md": _README}), parents, f"{branch}: {message}")
        try:
            git.push_branch(root, branch, tip, remote, options=(f"--force-with-lease={ref}:{old}",))
            break
        except ToolFailed:
            is_unchanged = git.refs(root, remote).get(ref, "") == old
            if is_unchanged or attempt == ATTEMPTS:
                raise
    return commit


def _kept_commits(root: Path, tip: str, remote: str) -> tuple[str, ...]:
    """The commits that a tip keeps, newest first."""
    if not tip:
        return ()
    if not git.has_object(root, tip):
        git.fetch_commit(root, tip, remote)
    return git.parents(root, tip)


def _write_tree(root: Path, files: Mapping[str, bytes]) -> str:
    ids = {name: git.write_blob(root, data) for name, data in files.items()}
    lines = "".join(f"100644 blob {object_id}\t{name}\0" for name, object_id in sorted(ids.items()))
    return git.output(root, "mktree", "-z", stdin=lines.encode()).strip()


def _commit_tree(root: Path, tree: str, parents: Sequence[str], message: str) -> str:
    options = [part for parent in parents for part in ("-p", parent)]
    command = ["git", "-c", "commit.gpgSign=false", "commit-tree", tree, *options, "-m", message]
    return process.run(command, cwd=root, env=_IDENTITY, quiet=True).decode().strip()
