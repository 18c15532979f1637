"""Branches that hold files made by programs, written with Git plumbing: no work tree, no index, no local branch.

Every set of files is a commit without parents, made of nothing but them, so that the same files are always the same
commit and its address stays good for as long as it is kept. The branch's tip holds a README only: its parents are the
commits that are kept, newest first. What falls off the end is reachable from nowhere; the next `git gc` frees it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.errors import ToolFailed
from registry.integrations import git
from registry.integrations.process import run

KEEP = 60  # commits
ATTEMPTS = 5  # against others that push at the same time
# One author and one time, or the same files would be another commit each time.
_WHO = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "registry"), ("EMAIL", "registry@users.noreply.github.com"), ("DATE", "@0 +0000"))
}
_README = b"""# Files that the registry shows in pull requests

Written by programs; each set of files is one of the commits that this one has as parents. The oldest fall off.
"""


def put(root: Path, branch: str, files: Mapping[str, bytes], message: str, remote: str = "origin") -> str:
    """Put files (by name, no folders) on a branch of the remote; the id of the commit that holds them.

    Another push at the same time is waited out. Raises ToolFailed.
    """
    commit = _commit(root, _tree(root, files), (), message)
    ref = f"refs/heads/{branch}"
    for attempt in range(1, ATTEMPTS + 1):
        old = git.refs(root, remote).get(ref, "")
        kept = _kept(root, old, remote)
        if kept[:1] == (commit,):
            break
        parents = (commit, *(one for one in kept if one != commit))[:KEEP]
        tip = _commit(root, _tree(root, {"README.md": _README}), parents, f"{branch}: {message}")
        try:
            git.tell(root, "push", "--quiet", "--no-verify", f"--force-with-lease={ref}:{old}", remote, f"{tip}:{ref}")
            break
        except ToolFailed:
            if attempt == ATTEMPTS or git.refs(root, remote).get(ref, "") == old:
                raise  # nobody was faster: it is another fault
    return commit


def _kept(root: Path, tip: str, remote: str) -> tuple[str, ...]:
    """The commits that a tip keeps, newest first."""
    if not tip:
        return ()
    if not git.has_object(root, tip):
        git.tell(root, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, tip)
    return tuple(git.ask(root, "rev-list", "--no-walk", "--parents", tip).split()[1:])


def _tree(root: Path, files: Mapping[str, bytes]) -> str:
    ids = {name: git.ask(root, "hash-object", "-w", "--stdin", stdin=data).strip() for name, data in files.items()}
    lines = "".join(f"100644 blob {object_id}\t{name}\0" for name, object_id in sorted(ids.items()))
    return git.ask(root, "mktree", "-z", stdin=lines.encode()).strip()


def _commit(root: Path, tree: str, parents: Sequence[str], message: str) -> str:
    named = [part for parent in parents for part in ("-p", parent)]
    command = ["git", "-c", "commit.gpgSign=false", "commit-tree", tree, *named, "-m", message]
    return run(command, cwd=root, env=_WHO, quiet=True).decode().strip()
