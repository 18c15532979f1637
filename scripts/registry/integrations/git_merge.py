"""Three-way merges by Git itself, of trees in two repositories, without a working tree."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.errors import ToolFailed
from registry.integrations import git, git_commits, process

CONFLICTED = 1  # the exit code of `git merge-tree`
REMOVED = "000000"  # the mode of a file that is not there, in the output of `git diff-tree`
_IDENTITY = {f"GIT_{role}_{name}": "registry" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")}


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of a tree: its mode, the id of its blob, and its path."""

    mode: str
    blob: str
    path: str


@dataclass(frozen=True, slots=True)
class MergedFile:
    """A file that a merge changes: its bytes (None: removed), and whether it is a program."""

    data: bytes | None
    is_executable: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge changes in our tree, by path, and the paths that it could not merge: their bytes have markers."""

    files: Mapping[str, MergedFile]
    conflicts: tuple[str, ...]


def list_tree(root: Path, commit: str) -> dict[str, TreeFile]:
    """The files of a commit by path, without submodules."""
    rows = (row.partition("\t") for row in git.split_records(git.output(root, "ls-tree", "-r", "-z", commit)))
    files = (TreeFile(meta.split()[0], meta.split()[2], path) for meta, _, path in rows if " blob " in meta)
    return {file.path: file for file in files}


class Merger:
    """Merges into the commit HEAD of `root`; the bare repository `other` also takes the objects of the merge."""

    def __init__(self, root: Path, other: Path) -> None:
        self._root, self._other = root, other
        objects = git.internal_path(root, "objects").resolve()
        self._env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects), **_IDENTITY}

    def merge(self, old: Iterable[TreeFile], new: Iterable[TreeFile], name: str) -> Merge:
        """Our tree, with what differs between the trees `old` and `new` of the other repository.

        The markers of a conflict call our side `HERE`, and the other one `name`.
        """
        ours = git.resolve_commit(self._root, "HEAD")
        base = self._commit(self._tree(old))
        sides = {"HERE": self._commit(f"{ours}^{{tree}}", base), name: self._commit(self._tree(new), base)}
        for side, commit in sides.items():
            self._git("update-ref", f"refs/merge/{side}", commit)
        tree, conflicts = self._merge_tree(*(f"merge/{side}" for side in sides))
        return Merge(self._changes(f"{ours}^{{tree}}", tree), conflicts)

    def _merge_tree(self, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
        # A folder that was renamed there does not move what was added here.
        options = ("-c", "merge.directoryRenames=false", "merge-tree", "--write-tree", "-z", "--name-only")
        try:
            told = self._git(*options, "--no-messages", ours, theirs)
        except ToolFailed as error:
            if error.code != CONFLICTED:
                raise
            told = error.stdout
        tree, *conflicts = git.split_records(told)
        return tree, tuple(dict.fromkeys(conflicts))

    def _changes(self, old: str, new: str) -> dict[str, MergedFile]:
        listed = git.split_records(self._git("diff-tree", "-r", "-z", "--no-renames", old, new))
        return {path: self._file(meta.split()) for meta, path in zip(listed[::2], listed[1::2], strict=True)}

    def _file(self, meta: list[str]) -> MergedFile:
        _, mode, _, blob, _ = meta
        if mode == REMOVED:
            return MergedFile(None)
        data = process.run(["git", "cat-file", "blob", blob], cwd=self._other, env=self._env, quiet=True)
        return MergedFile(data, mode == "100755")

    def _tree(self, files: Iterable[TreeFile]) -> str:
        entries = "".join(f"{file.mode} {file.blob}\t{file.path}\0" for file in files)
        with git_commits.temporary_index(self._other) as index:
            index.run("update-index", "-z", "--index-info", stdin=os.fsencode(entries))
            return index.run("write-tree")

    def _commit(self, tree: str, *parents: str) -> str:
        options = [word for parent in parents for word in ("-p", parent)]
        return self._git("commit-tree", "--no-gpg-sign", "-m", "merge", *options, self._git("rev-parse", tree)).strip()

    def _git(self, *args: str) -> str:
        done = process.run(["git", *args], cwd=self._other, env=self._env, quiet=True)
        return done.decode(errors="surrogateescape").rstrip("\n")
