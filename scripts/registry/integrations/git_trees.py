"""Trees that Git knows: a revision, the index, the working tree."""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, Self

from registry.core.tree import Entry, under
from registry.errors import NotFound, Refused
from registry.integrations.git import (
    EMPTY_TREE,
    is_shallow,
    output,
    read_blob,
    resolve_commit,
    split_records,
    tag_names,
)

GITLINK, LINK = "160000", "120000"  # modes of tree entries
KEPT = 4096  # folders and files that are kept in memory while many commits are read: they share most of both


class _Object(NamedTuple):
    """An object of Git, by its own id."""

    object_id: str
    data: bytes


class _CatFile:
    """One long-running `git cat-file --batch`, which prints objects by name."""

    def __init__(self, root: Path) -> None:
        command = ["git", "-C", str(root), "cat-file", "--batch"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read_blob(self, name: str) -> bytes:
        """The bytes of a blob. Raises NotFound."""
        return self.read(name, "blob").data

    def read(self, name: str, kind: str) -> _Object:
        """An object of this kind. Raises NotFound."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None
        stdin.write(f"{name}\n".encode())
        stdin.flush()
        # "<id> blob <size>", or "<name> missing"
        *object_id, found, size = stdout.readline().decode(errors="replace").rstrip("\n").split(" ")
        data = stdout.read(int(size) + 1)[:-1] if size.isdigit() else b""
        if found != kind or not size.isdigit():
            raise NotFound(f"Git object {name} is missing", fix="git fsck")
        return _Object(object_id[0], data)

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
    def _listed(self) -> Sequence["_Listed"]:
        """Files and submodules, sorted by path."""

    @cached_property
    def _entries(self) -> dict[str, tuple[Entry, str]]:
        """By path, sorted: the entry of a file, and the id of its blob."""
        return _with_sizes(self.root, [row for row in self._listed if row.mode != GITLINK])

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        return tuple(entry for path, (entry, _) in self._entries.items() if under(path, prefix))

    def submodules(self) -> tuple[str, ...]:
        """See `Tree.submodules`."""
        return tuple(row.path for row in self._listed if row.mode == GITLINK)

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
    def _listed(self) -> Sequence["_Listed"]:
        listed = split_records(output(self.root, "ls-tree", "-r", "-l", "-z", "--full-tree", self.commit))
        rows = ((*meta.split(), path) for meta, _, path in (line.partition("\t") for line in listed))
        return [_Listed(path, mode, object_id, size=size) for mode, _, object_id, size, path in rows]


class Commits(_BlobReader):
    """The trees of many commits, through one process for all of them: `git ls-tree` would be one for each."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.list_folder = lru_cache(KEPT)(self._list_folder)
        self.read_blob = lru_cache(KEPT)(self._read_blob)

    def tree(self, commit: str) -> "Snapshot":
        """The tree of a commit, by its full id."""
        return Snapshot(self, commit)

    def _list_folder(self, tree_id: str) -> tuple["_Child", ...]:
        return tuple(_parse_folder(*self._cat_file.read(tree_id, "tree")))

    def _read_blob(self, blob: str) -> bytes:
        return self._cat_file.read_blob(blob)


class _Child(NamedTuple):
    """A file or folder in a tree object."""

    name: str
    mode: str
    object_id: str

    @property
    def is_folder(self) -> bool:
        return self.mode == "40000"

    @property
    def is_file(self) -> bool:
        return self.mode not in ("40000", GITLINK)


def _parse_folder(object_id: str, data: bytes) -> Iterator[_Child]:
    """The children in a tree object: `MODE NAME<NUL>`, then the bytes of an id, as many as the object's own has."""
    place, width = 0, len(object_id) // 2
    while place < len(data):
        end = data.index(b"\0", place)
        mode, _, name = data[place:end].partition(b" ")
        place = end + 1 + width
        yield _Child(os.fsdecode(name), mode.decode(), data[end + 1 : place].hex())


class Snapshot:
    """The tree of a commit, folder by folder. The sizes of its entries are not known, and 0."""

    def __init__(self, commits: Commits, commit: str) -> None:
        self._commits = commits
        self.commit = commit

    def __str__(self) -> str:
        return self.commit[:12]

    def _find(self, path: str) -> _Child | None:
        found = _Child("", "40000", f"{self.commit}^{{tree}}")
        for name in path.split("/") if path else ():
            children = self._commits.list_folder(found.object_id) if found.is_folder else ()
            match = next((child for child in children if child.name == name), None)
            if match is None:
                return None
            found = match
        return found

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        found = self._find(prefix)
        rows = self._walk(found, prefix) if found else ()
        return tuple(Entry(row.path, 0, row.mode == LINK) for row in rows if row.mode != GITLINK)

    def submodules(self) -> tuple[str, ...]:
        """See `Tree.submodules`."""
        found = self._find("")
        return tuple(row.path for row in (self._walk(found, "") if found else ()) if row.mode == GITLINK)

    def _walk(self, child: _Child, path: str) -> Iterator["_Listed"]:
        if not child.is_folder:
            yield _Listed(path, child.mode, child.object_id)
            return
        for below in self._commits.list_folder(child.object_id):
            yield from self._walk(below, f"{path}/{below.name}" if path else below.name)

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        found = self._find(path)
        return found is not None and found.is_file

    def read(self, path: str) -> bytes:
        """See `Tree.read`."""
        found = self._find(path)
        if found is None or not found.is_file:
            raise NotFound(f"{path} does not exist in {self}")
        return self._commits.read_blob(found.object_id)


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


class _Listed(NamedTuple):
    """A file or submodule of a tree or of the index; there, `stage` is 0, or 1 to 3 in a conflict."""

    path: str
    mode: str
    object_id: str
    stage: str = "0"
    size: str = ""  # of the blob, where the listing has it


def _list_index(root: Path) -> Iterator[_Listed]:
    for line in split_records(output(root, "ls-files", "--stage", "-z")):
        meta, _, path = line.partition("\t")
        mode, object_id, stage = meta.split()
        yield _Listed(path, mode, object_id, stage)


def _with_sizes(root: Path, rows: Sequence[_Listed]) -> dict[str, tuple[Entry, str]]:
    """By path: the entry, with the size of its blob, and the blob's id. Git is asked for sizes that are not listed."""
    ids = "".join(f"{row.object_id}\n" for row in rows if not row.size).encode()
    asked = iter(output(root, "cat-file", "--batch-check=%(objectsize)", stdin=ids).splitlines() if ids else ())
    sizes = [row.size or next(asked) for row in rows]
    return {
        row.path: (Entry(row.path, int(size) if size.isdigit() else 0, row.mode == LINK), row.object_id)
        for row, size in zip(rows, sizes, strict=True)
    }


class Index(_GitTree):
    """The tree of the next commit."""

    def __str__(self) -> str:
        return "the index"

    @cached_property
    def _listed(self) -> Sequence[_Listed]:
        rows = list(_list_index(self.root))
        if conflicted := sorted({row.path for row in rows if row.stage != "0"}):
            raise Refused(f"{conflicted[0]} has unresolved conflicts", fix="resolve them and `git add` the file")
        return rows


class WorkTree:
    """The files on disk that Git tracks, or would add; ignored files (the data) are not listed.

    What a sparse checkout leaves out is no deletion: these files are as the index has them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = {"": True}  # by folder: whether it is inside the registry

    def __str__(self) -> str:
        return "the working tree"

    @cached_property
    def _tags(self) -> dict[str, str]:
        """By path, sorted: the letter of `git ls-files -t`; `S` for what a sparse checkout leaves out."""
        listed = output(self.root, "ls-files", "-t", "--cached", "--others", "--exclude-standard", "-z")
        tags = {name: tag for tag, _, name in (record.partition(" ") for record in split_records(listed))}
        return {name: tags[name] for name in sorted(tags)}

    @cached_property
    def _left_out(self) -> dict[str, tuple[Entry, str]]:
        if "S" not in self._tags.values():
            return {}
        listed = (row for row in _list_index(self.root) if row.mode != GITLINK)
        rows = [row for row in listed if self._tags[row.path] == "S" and not self._is_on_disk(row.path)]
        return _with_sizes(self.root, rows)

    @cached_property
    def _entries(self) -> tuple[Entry, ...]:
        return tuple(self._entry(name, tag) for name, tag in self._tags.items() if self.has(name))

    def _entry(self, name: str, tag: str) -> Entry:
        if name in self._left_out:
            return self._left_out[name][0]
        stat = (self.root / name).lstat()
        return Entry(name, stat.st_size, (self.root / name).is_symlink(), tag != "?")

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        return tuple(entry for entry in self._entries if under(entry.path, prefix))

    def submodules(self) -> tuple[str, ...]:
        """See `Tree.submodules`. Only Git's index knows: on disk, a submodule is a folder, or nothing."""
        if all(map(self.has, self._tags)):
            return ()
        return tuple(row.path for row in _list_index(self.root) if row.mode == GITLINK)

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        return self._is_on_disk(path) or path in self._left_out

    def _is_on_disk(self, path: str) -> bool:
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
        if not self._is_on_disk(path):
            return read_blob(self.root, self._left_out[path][1]) or b""
        file = self.root / path
        return os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
