"""Finding images in the releases of a registry, for several commands."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from registry.cli.workspace import Workspace
from registry.core.progress import bar
from registry.integrations.git_trees import History
from registry.release import history, where
from registry.release.history import Release
from registry.release.item_index import FOLDER, ItemIndex, Listed


@dataclass(frozen=True, slots=True)
class Searched:
    """All releases, and the lists of files of their images: `known` were read, `absent` are in no store."""

    releases: tuple[Release, ...]
    index: ItemIndex
    known: frozenset[Listed]
    absent: frozenset[Listed]
    files: History

    def find(
        self,
        uuids: Collection[str],
        md5s: Collection[str] = (),
        sha256_of: Callable[[str], str | None] = lambda _: None,
    ) -> where.Found:
        """The releases with images of these UUIDs or MD5s, and the models that saw them (see `where.find`)."""
        return where.find(
            self.releases,
            self.index,
            self.absent,
            uuids,
            md5s,
            lambda release, path: self.files.read(release.commit, path),
            sha256_of,
        )


@contextmanager
def search(space: Workspace) -> Iterator[Searched]:
    """Read the lists of files that were not read before."""
    releases = history.read(space.root, space.tree)
    index = ItemIndex(space.root / FOLDER, space.read_object)
    lists = sorted(frozenset[Listed]().union(*where.lists_of(releases).values()))
    with bar("reading lists of files", len(lists)) as progress:
        absent = frozenset(index.add(lists, progress))
    with History(space.root) as files:
        yield Searched(releases, index, frozenset(lists) - absent, absent, files)
