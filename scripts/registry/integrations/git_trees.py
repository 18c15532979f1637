"""Trees that Git knows: a revision, the index, the working tree."""

import os
import subprocess
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Self

from registry.core.tree import Entry, under
from registry.errors import NotFound, Refused
from registry.integrations.git import EMPTY_TREE, is_shallow, output, resolve_commit, split_records, tag_names


class _CatFile:
    """One long-running `git cat-file --batch`, which prints objects by name."""

    def __init__(self, root: Path) -> None:
        command = ["git", "-C", str(root), "cat-file", "--batch"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read_blob(self, name: str) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None
        stdin.write(f"{name}\n".encode())
        stdin.flush()
        # "<id> blob <size>", or "<name> missing"
        kind, size = stdout.readline().decode(errors="replace").rstrip("\n").split(" ")[-2:]
        data = stdout.read(int(size) + 1)[:-1] if size.isdigit() else b""
        if kind != "blob" or not size.isdigit():
            raise NotFound(f"Git object {name} is missing", fix="git fsck")
        return data

    def close(self) -> None:
        self._process.communicate()  # closes both pipes and waits for the end


class _BlobReader:
    """Reads blobs of a repository through a process that is started at the first one; a context manager."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _cat_file(self) -> _CatFile:
        return _CatFile(self.root)

    def close(self) -> None:
        """End the process that reads blobs."""
        if "_cat_file" in self.__dict__:
            self.__dict__.pop("_cat_file").close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _GitTree(_BlobReader, ABC):
    """A `Tree` whose entries Git lists; blobs are read on demand."""

    @property
    @abstractmethod
    def _entries(self) -> dict[str, tuple[Entry, str]]:
        """By path, sorted: the entry and the id of its blob."""

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        return tuple(entry for path, (entry, _) in self._entries.items() if under(path, prefix))

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        return path in self._entries

    def read(self, path: str) -> bytes:
        """See `Tree.read`."""
        if path not in self._entries:
            raise NotFound(f"{path} does not exist in {self}")
        return self._cat_file.read_blob(self._entries[path][1])


class Revision(_GitTree):
    """The tree of a commit."""

    def __init__(self, root: Path, revision: str) -> None:
        super().__init__(root)
        self.commit = revision if revision == EMPTY_TREE else resolve_commit(root, revision)

    def __str__(self) -> str:
        return self.commit[:12]

    @cached_property
    def _entries(self) -> dict[str, tuple[Entry, str]]:
        listed = split_records(output(self.root, "ls-tree", "-r", "-l", "-z", "--full-tree", self.commit))
        rows = ((*meta.split(), path) for meta, _, path in (line.partition("\t") for line in listed))
        return {
            path: (Entry(path, int(size) if size.isdigit() else 0, mode == "120000"), object_id)
            for mode, _, object_id, size, path in rows
        }


class History(_BlobReader):
    """Tags, and files of revisions by name, without listing a tree."""

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The names of all annotated tags."""
        return tag_names(self.root)

    @cached_property
    def is_complete(self) -> bool:
        """Whether this is no shallow clone; in one, tags may be missing too."""
        return not is_shallow(self.root)

    def read(self, revision: str, path: str) -> bytes | None:
        """A file of a revision; None where either does not exist."""
        try:
            return self._cat_file.read_blob(f"{revision}:{path}")
        except NotFound:
            return None


class Index(_GitTree):
    """The tree of the next commit."""

    def __str__(self) -> str:
        return "the index"

    @cached_property
    def _entries(self) -> dict[str, tuple[Entry, str]]:
        listed = split_records(output(self.root, "ls-files", "--stage", "-z"))
        rows = [(*meta.split(), path) for meta, _, path in (line.partition("\t") for line in listed)]
        if conflicted := sorted({path for _, _, stage, path in rows if stage != "0"}):
            raise Refused(f"{conflicted[0]} has unresolved conflicts", fix="resolve them and `git add` the file")
        ids = "\n".join(object_id for _, object_id, _, _ in rows)
        sizes = (
            output(self.root, "cat-file", "--batch-check=%(objectsize)", stdin=ids.encode()).splitlines()
            if rows
            else []
        )
        return {
            path: (Entry(path, int(size) if size.isdigit() else 0, mode == "120000"), object_id)
            for (mode, object_id, _, path), size in zip(rows, sizes, strict=True)
        }


class WorkTree:
    """The files on disk that Git tracks, or would add; ignored files (the data) are not listed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = {"": True}  # by folder: whether it is inside the registry

    def __str__(self) -> str:
        return "the working tree"

    @cached_property
    def _entries(self) -> tuple[Entry, ...]:
        listed = output(self.root, "ls-files", "-t", "--cached", "--others", "--exclude-standard", "-z")
        tags = {name: tag for tag, _, name in (record.partition(" ") for record in split_records(listed))}
        return tuple(self._entry(name, tags[name]) for name in sorted(tags) if self.has(name))

    def _entry(self, name: str, tag: str) -> Entry:
        stat = (self.root / name).lstat()
        return Entry(name, stat.st_size, (self.root / name).is_symlink(), tag != "?")

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        return tuple(entry for entry in self._entries if under(entry.path, prefix))

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        file = self.root / path
        inside = not path.startswith("/") and self._is_inside(path.rpartition("/")[0])
        return inside and (file.is_symlink() or file.is_file())

    def _is_inside(self, folder: str) -> bool:
        """Whether the path of a folder has no `..` and no symbolic link."""
        if folder not in self._folders:
            above, _, name = folder.rpartition("/")
            self._folders[folder] = self._is_inside(above) and name != ".." and not (self.root / folder).is_symlink()
        return self._folders[folder]

    def read(self, path: str) -> bytes:
        """See `Tree.read`. A symbolic link is read as the name of its target, as in Git, and never followed."""
        if not self.has(path):
            raise NotFound(f"{path} does not exist in {self}")
        file = self.root / path
        return os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
