"""A branch that records facts: lines are added to its files, by commits on the last one, and none is ever changed.

Written with Git plumbing: no working tree, no local branch.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.errors import ToolFailed
from registry.integrations import git, process

ATTEMPTS = 5  # to push, while others push too


def append(root: Path, branch: str, lines: Mapping[str, str], message: str, remote: str = "origin") -> None:
    """Add lines to files of a branch of the remote, and push it.

    What is the end of a file already is not added. Tries again when another push came first. Raises ToolFailed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        old = git.refs(root, remote).get(f"refs/heads/{branch}", "")
        if old and not git.has_object(root, old):
            git.fetch_commit(root, old, remote)
        new = _commit(root, old, lines, message)
        try:
            if new != old:
                git.push_branch(root, branch, new, remote)
            return
        except ToolFailed:
            is_unchanged = git.refs(root, remote).get(f"refs/heads/{branch}", "") == old
            if is_unchanged or attempt == ATTEMPTS:
                raise


def _commit(root: Path, old: str, lines: Mapping[str, str], message: str) -> str:
    """The commit with these lines; the old one where it has them."""
    with TemporaryDirectory(prefix="registry-record-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        process.run(["git", "read-tree", *([old] if old else ["--empty"])], cwd=root, env=index, quiet=True)
        for path, text in lines.items():
            blob = git.find_id(root, f"{old}:{path}") if old else ""
            before = (git.read_blob(root, blob) or b"") if blob else b""
            if before.endswith(text.encode()):
                continue
            entry = f"100644,{git.write_blob(root, before + text.encode())},{path}"
            command = ["git", "update-index", "--add", "--cacheinfo", entry]
            process.run(command, cwd=root, env=index, quiet=True)
        tree = process.run(["git", "write-tree"], cwd=root, env=index, quiet=True).decode().strip()
    if old and tree == git.tree_id(root, old):
        return old
    parents = ["-p", old] if old else []
    return git.output(root, "commit-tree", tree, *parents, "-m", message).strip()
