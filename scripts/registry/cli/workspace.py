"""The registry that a command works in: its root, its working tree, its settings, its stores.

Storage is imported when a store is first asked for: `registry check --staged` runs at every commit, opens no store, and
must start without Polars and obstore.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from registry.console import indented, say
from registry.core import deny_list, documents, settings, tombstones
from registry.core.artifact_files import Reader
from registry.core.atomic_write import write_atomically
from registry.core.deny_list import Denied
from registry.core.erasures import Erased
from registry.core.settings import RegistryFile, Settings, Template
from registry.core.tombstones import Tombstone
from registry.core.tree import Tree
from registry.core.values import ArtifactId
from registry.errors import NotFound, RegistryError
from registry.integrations import dvc, git, git_attributes, git_trees
from registry.scaffold import generated_files, tooling
from registry.scaffold.released_tags import ReleasedTags
from registry.storage.reader import LazyReader

if TYPE_CHECKING:
    from registry.storage.parallel import Cluster
    from registry.storage.stores import Stores


T = TypeVar("T")


@dataclass(frozen=True)
class Workspace:
    """The checkout around the current folder. Everything is read or opened once; make a new one after writing files.

    With a `cluster`, that is where maps over objects of its stores run.
    """

    root: Path
    cluster: "Cluster | None" = None

    @cached_property
    def tree(self) -> git_trees.WorkTree:
        """The working tree."""
        return git_trees.WorkTree(self.root)

    @cached_property
    def registry_file(self) -> RegistryFile:
        """What `registry.yaml` says. Raises InvalidDocument."""
        return settings.read(self.tree)

    @cached_property
    def settings(self) -> Settings:
        """The settings in `registry.yaml` and DVC's four configuration files. Raises InvalidDocument."""
        from registry.storage import dvc_config

        return settings.join(self.registry_file, dvc_config.load(self.root))

    @cached_property
    def stores(self) -> "Stores":
        """Lake, staging, production and DVC's caches. Raises InvalidDocument where the settings cannot be read."""
        from registry.storage.stores import Stores

        return Stores(self.root, self.settings, warn, self.erased, self.cluster)

    @cached_property
    def denied(self) -> Denied:
        """The deny list: of the default branch as this clone knows it, and of the working tree. Raises InvalidDocument.

        A branch that is older than a recall must not bring the image back.
        """
        return Denied(self._read_everywhere(deny_list.read), self.erased)

    @cached_property
    def tombstones(self) -> dict[str, Tombstone]:
        """The tombstones of the default branch and of the working tree, by case. Raises InvalidDocument."""
        return self._read_everywhere(tombstones.read)

    @cached_property
    def erased(self) -> Erased:
        """All that was erased."""
        return tombstones.join(self.tombstones.values())

    @cached_property
    def _default_branches(self) -> tuple[str, ...]:
        return git.known_default_branches(self.root)

    def _read_everywhere(self, read: Callable[[Tree], dict[str, T]]) -> dict[str, T]:
        """What the default branch says, as this clone knows it, and what the working tree says."""
        found: dict[str, T] = {}
        for revision in self._default_branches:
            with git_trees.Revision(self.root, revision) as tree:
                found |= read(tree)
        return found | read(self.tree)

    @cached_property
    def cache_dir(self) -> Path:
        """DVC's cache of this checkout; the folder need not exist yet."""
        return dvc.cache_dir(self.root)

    def fresh(self) -> "Workspace":
        """The same workspace, of which nothing was read yet: for after files were written."""
        return replace(self)

    @cached_property
    def reader(self) -> Reader:
        """Objects from the first store that has an intact copy: DVC's caches, staging, production.

        None where no store has one, and where the settings cannot be read, which has a check of its own.
        """
        try:
            return self.stores.reader
        except RegistryError:
            return lambda _: None

    @cached_property
    def read_object(self) -> LazyReader:
        """Gives objects as `reader` does; stores are opened at the first one."""
        return LazyReader(lambda: self.stores.reader)

    def write_line_ends(self) -> None:
        """Give artifacts and scripts with CRLF line ends those that Git has for them, LF, and name them on stderr."""
        paths = git_attributes.paths_with_other_line_ends(self.root)
        git_attributes.write_line_ends(self.root, paths)
        for path in paths:
            say(f"wrote {path} with LF line ends", err=True)

    def write_generated_files(self, only: Collection[ArtifactId] | None = None) -> None:
        """Write the files that are derived from manifests, where they differ, and name those written on stderr.

        With `only`, what is derived from these artifacts.
        """
        tree = git_trees.WorkTree(self.root)  # the working tree as it is now, not as it was first listed
        with git_trees.History(self.root) as history:
            released = ReleasedTags(history) if history.is_complete else None
            expected = generated_files.expected(tree, only, released=released)
        for path, data in expected.items():
            if not tree.has(path) or not generated_files.is_current(tree.read(path), data):
                write_atomically(self.root / path, data)
                say(f"wrote {path}", err=True)


def here() -> Workspace:
    """The workspace around the current folder. Raises NotFound outside a registry."""
    root = git.find_root(Path.cwd())
    if not (root / settings.PATH).is_file():
        inner = [folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / settings.PATH).is_file()]
        if inner and root in inner[0].parents:
            raise NotFound(
                f"{inner[0]} is a folder of the Git repository {root}, expected its root",
                fix="make a registry in a folder outside (registry init FOLDER), and move the artifacts there",
            )
        if git.find_id(root, f"HEAD:{settings.PATH}"):
            raise NotFound(
                f"{settings.PATH} is in the commit and not in the working tree",
                fix=f"git checkout HEAD -- {settings.PATH}; after `git clone --no-checkout`: git switch BRANCH",
            )
        raise NotFound(
            f"{root} is not a registry: it has no {settings.PATH}",
            fix="cd into your registry, or make one in an empty folder: registry init FOLDER",
        )
    _warn_of_other_tooling(root)
    return Workspace(root)


def _warn_of_other_tooling(root: Path) -> None:
    """Say that the tooling that runs is not the one that is pinned, before a file of the other version is read."""
    try:
        data = documents.read_yaml((root / settings.PATH).read_bytes(), settings.PATH).data
        pin = Template(**data["template"])
    except (RegistryError, KeyError, TypeError):
        return  # without a pin; or a fault, which is told where the file is read in full
    if tooling.checkout() or not (now := tooling.read()).commit or now.commit == pin.commit:
        return
    named = f"{pin.version} ({pin.commit[:12]})"
    warn(f"the installed tooling is {now}, and {settings.PATH} names {named}\n  hint: make setup")


def warn(message: str) -> None:
    """Print a warning on stderr; the command continues."""
    say(f"warning: {indented(message)}", err=True)
