"""Commits made from bytes alone, without a working tree: nothing that a stranger wrote is ever checked out."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.integrations import git
from registry.integrations.process import run

EMPTY_MODE = "0"  # update-index: take the path out


def make(root: Path, parent: str, files: Mapping[str, bytes | None], message: str) -> str:
    """A commit on top of `parent` with these files (None: without it); the id. `parent` itself where nothing differs.

    The index and the working tree are left alone.
    """
    with _scratch_index(root) as tell:
        tell("read-tree", parent)
        lines = (_entry(root, path, data) for path, data in files.items())
        tell("update-index", "-z", "--index-info", stdin="".join(f"{line}\0" for line in lines))
        tree = tell("write-tree")
    if tree == git.ask(root, "rev-parse", f"{parent}^{{tree}}").strip():
        return parent
    return git.ask(root, "commit-tree", "--no-gpg-sign", "-p", parent, "-F", "-", tree, stdin=message.encode()).strip()


def push(root: Path, commit: str, branch: str, remote: str = "origin", *, anew: bool = False) -> None:
    """Move a branch of a remote forward to a commit; ToolFailed where it moved. `anew` puts it there anyhow."""
    git.tell(root, "push", "--quiet", "--no-verify", remote, f"{'+' * anew}{commit}:refs/heads/{branch}")


@contextmanager
def _scratch_index(root: Path) -> "Iterator[_Tell]":
    with TemporaryDirectory() as folder:
        yield _Tell(root, Path(folder) / "index")


class _Tell:
    """Git commands over an index of their own."""

    def __init__(self, root: Path, index: Path) -> None:
        self.root, self.env = root, {"GIT_INDEX_FILE": str(index)}

    def __call__(self, *args: str, stdin: str | None = None) -> str:
        data = None if stdin is None else os.fsencode(stdin)
        return run(["git", *args], cwd=self.root, env=self.env, stdin=data, quiet=True).decode().strip()


def _entry(root: Path, path: str, data: bytes | None) -> str:
    """A line of `git update-index --index-info`."""
    if data is None:
        return f"{EMPTY_MODE} {git.NO_COMMIT}\t{path}"
    blob = git.ask(root, "hash-object", "-w", "--stdin", stdin=data).strip()
    return f"100644 {blob}\t{path}"
