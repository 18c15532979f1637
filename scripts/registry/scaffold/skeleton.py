"""The skeleton of a copy: the files of the template's face, each of which is the template's or the team's.

The table is skeleton.toml. Trees are those of a checkout, of a commit, or of the installed package.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from registry.core.tree import Entry, Tree, under
from registry.errors import NotFound
from registry.integrations.git_trees import WorkTree
from registry.scaffold import tooling

TABLE = "scripts/registry/scaffold/skeleton.toml"
TEMPLATES = "scripts/registry/scaffold/templates/copy"
_CODE = "scripts/registry/"


@dataclass(frozen=True, slots=True)
class Table:
    """Paths in a copy: the template's, and the team's; and globs of what a copy does not have.

    `code` are those of them that a vendored copy has.
    """

    owned: tuple[str, ...]
    once: tuple[str, ...]
    tooling: tuple[str, ...]
    code: tuple[str, ...]

    def is_tooling(self, path: str) -> bool:
        """Whether a path of the template is one of what a copy does not have."""
        return any(fnmatchcase(path, glob) for glob in self.tooling) and path not in (*self.owned, *self.once)

    def is_code(self, path: str) -> bool:
        """Whether a path of the template is one of what a vendored copy has besides."""
        return any(fnmatchcase(path, glob) for glob in self.code) and self.is_tooling(path)


def read_table(tree: Tree) -> Table:
    """The table of a tree of the template. Raises NotFound."""
    data = tomllib.loads(tree.read(TABLE).decode())
    return Table(*(tuple(data.get(name, ())) for name in ("owned", "once", "tooling", "code")))


def source_of(tree: Tree, path: str) -> str:
    """Where a copy's file is in a tree of the template."""
    special = f"{TEMPLATES}/{path}"
    return special if tree.has(special) else path


def read_files(tree: Tree, paths: tuple[str, ...]) -> Mapping[str, bytes]:
    """The files of a copy, by their paths there, in a tree of the template; without those that it does not have."""
    found = {path: source_of(tree, path) for path in paths}
    return {path: tree.read(source) for path, source in found.items() if tree.has(source)}


class Package:
    """The installed package as a tree of the template: the skeleton that a wheel carries, and the code."""

    def __init__(self, package: Path) -> None:
        self._package = package

    def __str__(self) -> str:
        return "the installed tooling"

    def _place(self, path: str) -> Path:
        code = path.startswith(_CODE)
        return self._package / (path.removeprefix(_CODE) if code else f"skeleton/{path}")

    def _paths(self) -> Iterator[str]:
        for top, start in ((self._package / "skeleton", ""), (self._package / "scaffold", f"{_CODE}scaffold/")):
            yield from (start + file.relative_to(top).as_posix() for file in top.rglob("*") if file.is_file())

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        """See `Tree.list`."""
        return tuple(
            Entry(path, self._place(path).stat().st_size) for path in sorted(self._paths()) if under(path, prefix)
        )

    def submodules(self) -> tuple[str, ...]:
        """See `Tree.submodules`."""
        return ()

    def read(self, path: str) -> bytes:
        """See `Tree.read`."""
        if not self.has(path):
            raise NotFound(f"{path} does not exist in {self}", fix="install the tooling again")
        return self._place(path).read_bytes()

    def has(self, path: str) -> bool:
        """See `Tree.has`."""
        return self._place(path).is_file()


def of_tooling() -> Tree:
    """The skeleton of the tooling that is running: its checkout, or what its wheel carries."""
    root = tooling.checkout()
    return WorkTree(root) if root else Package(Path(__file__).parents[1])
