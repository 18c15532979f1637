"""Trees of files: the working tree, the index, a revision (see `integrations.git_trees`), or a dict in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from registry.errors import NotFound


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One file of a tree: POSIX path from the root, size in bytes, and whether it is a symbolic link.

    A file of the working tree is not tracked where Git has it neither in the index nor among what it ignores.
    """

    path: str
    size: int
    is_link: bool = False
    is_tracked: bool = True


class Tree(Protocol):
    """The files that Git versions; ignored files (the data itself) are not among them, and no submodules."""

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """The entries whose path starts with the folder `prefix` (no slash at its end), sorted by path."""
        ...

    def submodules(self) -> tuple[str, ...]:
        """The paths at which Git would check out another repository (gitlinks), sorted."""
        ...

    def read(self, path: str) -> bytes:
        """A file's bytes. Raises NotFound."""
        ...

    def has(self, path: str) -> bool:
        """Whether the file exists."""
        ...


def under(path: str, prefix: str) -> bool:
    """Whether `path` is the file `prefix`, or is in that folder; every path is under the empty prefix."""
    return not prefix or path == prefix or path.startswith(f"{prefix}/")


class Changed:
    """A tree with changes to it: path → bytes, None for a file that is removed."""

    def __init__(self, tree: Tree, files: Mapping[str, bytes | None]) -> None:
        self._tree = tree
        self._files = files

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        kept = [entry for entry in self._tree.list(prefix) if entry.path not in self._files]
        new = (Entry(path, len(data)) for path, data in self._files.items() if data is not None and under(path, prefix))
        return tuple(sorted([*kept, *new]))

    def submodules(self) -> tuple[str, ...]:
        """See `Tree.submodules`."""
        return self._tree.submodules()

    def read(self, path: str) -> bytes:
        """See `Tree.read`."""
        data = self._files[path] if path in self._files else self._tree.read(path)
        if data is None:
            raise NotFound(f"{path} does not exist")
        return data

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        return self._files[path] is not None if path in self._files else self._tree.has(path)


class DictTree:
    """A tree in memory: path → bytes."""

    def __init__(
        self, files: Mapping[str, bytes], links: frozenset[str] = frozenset(), submodules: tuple[str, ...] = ()
    ) -> None:
        self._files = dict(files)
        self._links = links
        self._submodules = submodules

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        names = sorted(name for name in self._files if under(name, prefix))
        return tuple(Entry(name, len(self._files[name]), name in self._links) for name in names)

    def submodules(self) -> tuple[str, ...]:
        """See `Tree.submodules`."""
        return tuple(sorted(self._submodules))

    def read(self, path: str) -> bytes:
        """See `Tree.read`."""
        if path not in self._files:
            raise NotFound(f"{path} does not exist")
        return self._files[path]

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        return path in self._files


def find_file(tree: Tree, path: str) -> bytes | None:
    """A file of a tree; None where it has no such file."""
    return tree.read(path) if tree.has(path) else None
