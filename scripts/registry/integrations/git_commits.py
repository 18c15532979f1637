"""Commits made from bytes alone, without a working tree: no file of an untrusted branch is ever checked out."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.integrations import git, process

_PROGRAM = "100755"  # the mode of a file that may be executed
NO_MODE = "0"  # for `git update-index`: remove the path
BOT = "github-actions[bot]"  # the author of what a job of GitHub Actions commits, and its address there
BOT_ADDRESS = "41898282+github-actions[bot]@users.noreply.github.com"
LAST_SECOND = 1 << 40  # in the year 36812; Git takes later ones for damaged


def commit_files(
    root: Path, parent: str, files: Mapping[str, bytes | None], message: str, identity: Mapping[str, str] | None = None
) -> str:
    """The id of a commit on top of `parent` that writes these files, or removes those that are None.

    It is `parent` itself where nothing differs. The index and the working tree stay as they are. `identity` are
    variables of Git's for the author, the committer and their times.
    """
    with temporary_index(root) as index:
        index.run("read-tree", parent)
        listed = (line.partition("\t") for line in git.split_records(index.run("ls-files", "--stage", "-z")))
        modes = {path: meta.split()[0] for meta, _, path in listed}
        entries = "".join(f"{_index_entry(root, path, data, modes.get(path))}\0" for path, data in files.items())
        index.run("update-index", "-z", "--index-info", stdin=os.fsencode(entries))
        tree = index.run("write-tree")
    if tree == git.tree_id(root, parent):
        return parent
    command = ["git", "-C", str(root), "-c", "i18n.commitEncoding=UTF-8", "commit-tree", "--no-gpg-sign"]
    command += ["-p", parent, "-F", "-", tree]
    return process.run(command, env=identity, quiet=True, stdin=message.encode()).decode().strip()


def commit_results(root: Path, parent: str, files: Mapping[str, bytes | None], message: str) -> str:
    """`commit_files` by the bot, at the time of `parent`: the same files always give the same commit."""
    listed = git.output(root, "show", "--no-patch", "--format=%ct", parent).strip()
    seconds = min(int(listed), LAST_SECOND) if listed.isdigit() else 0
    values = (("NAME", BOT), ("EMAIL", BOT_ADDRESS), ("DATE", f"@{seconds} +0000"))
    identity = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in values}
    return commit_files(root, parent, files, message, identity)


def is_result_of(root: Path, commit: str, parent: str) -> bool:
    """Whether a commit is the bot's and stands on `parent` alone."""
    listed = git.output(root, "show", "--no-patch", "--format=%P%x00%ae%x00%ce", commit).strip().split("\0")
    return listed == [parent, BOT_ADDRESS, BOT_ADDRESS]


def push_branch(root: Path, commit: str, branch: str, remote: str = "origin", *, force: bool = False) -> None:
    """Set a branch of a remote to a commit. Raises ToolFailed for what is no fast-forward, unless it is forced."""
    git.push_branch(root, branch, commit, remote, options=("--force",) if force else ())


class Index:
    """Git commands that use an index file of their own."""

    def __init__(self, root: Path, file: Path) -> None:
        self._root, self._env = root, {"GIT_INDEX_FILE": str(file)}

    def run(self, *args: str, stdin: bytes | None = None) -> str:
        """The standard output of a command of Git."""
        done = process.run(["git", *args], cwd=self._root, env=self._env, stdin=stdin, quiet=True)
        return done.decode(errors="surrogateescape").strip()


@contextmanager
def temporary_index(root: Path) -> Iterator[Index]:
    """An empty index beside the checkout's own."""
    with TemporaryDirectory() as folder:
        yield Index(root, Path(folder) / "index")


def _index_entry(root: Path, path: str, data: bytes | None, mode: str | None) -> str:
    """A record of `git update-index --index-info`; `mode` is that of the parent's file, whose permission is kept."""
    if data is None:
        return f"{NO_MODE} {git.NULL_OID}\t{path}"
    return f"{_PROGRAM if mode == _PROGRAM else '100644'} {git.write_blob(root, data)}\t{path}"
