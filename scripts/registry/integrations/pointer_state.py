"""Which pointers the data of a working tree was last brought in line with: small files in its Git folder.

The hooks compare `pointers` with Git's index in a few milliseconds, and most events end there. `earlier` lists further
pointers that were there since: staged ones, and those of an update that was interrupted. It is written before the first
file is touched, and deleted when all are in place; so whatever runs next finishes what was begun.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from registry.core.atomic_write import write_atomically
from registry.integrations import git

# `git_hook.sh` runs the same command.
LISTING = ("ls-files", "-t", "--stage", "--", ":(top)*.dvc", ":(top)*/dvc.lock")
UNTRACKED = ("ls-files", "--others", "--exclude-standard", "-z", "--", ":(top)*.dvc", ":(top)*/dvc.lock")


class Listed(NamedTuple):
    """A pointer in the index: `blob` is its content, `is_here` whether its file belongs into the working tree."""

    path: str
    blob: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Pointers:
    """The pointers of a working tree, by path: all files of now, and the blobs of those that were seen before."""

    now: tuple[str, ...]
    changed: tuple[str, ...]
    seen: Mapping[str, frozenset[str]]


class PointerState:
    """The state of the working tree at `root`, which differs between linked working trees."""

    def __init__(self, root: Path) -> None:
        self._root = root
        folder = git.internal_path(root, "registry")
        self._pointers, self._earlier = folder / "pointers", folder / "earlier"

    def exists(self) -> bool:
        """Whether there is one; a new working tree has none."""
        return self._pointers.exists() or self._earlier.exists()

    def read(self) -> Pointers:
        """What there is now, and what differs from the state. A file that was written since counts as changed."""
        entries = list(_parse(git.output(self._root, *LISTING)))
        # In a conflict a path is listed up to three times; its file is what counts.
        tracked = {entry.path: entry.blob for entry in entries if entry.is_here and self._is_file(entry.path)}
        untracked = [path for path in git.split_records(git.output(self._root, *UNTRACKED)) if self._is_file(path)]
        seen: dict[str, set[str]] = {}
        for entry in self._read_seen():
            if entry.is_here:
                seen.setdefault(entry.path, set()).add(entry.blob)
        changed = [path for path, blob in tracked.items() if seen.get(path) != {blob} or self._is_newer(path)]
        blobs = {path: frozenset(found) for path, found in seen.items()}
        return Pointers(tuple(sorted({*tracked, *untracked})), tuple(sorted(changed)), blobs)

    def _read_seen(self) -> Iterator[Listed]:
        for file in (self._pointers, self._earlier):
            if file.exists():
                yield from _parse(file.read_text(encoding="utf-8", errors="replace"))

    def _is_file(self, path: str) -> bool:
        file = self._root / path
        return file.is_file() and not file.is_symlink()

    def _is_newer(self, path: str) -> bool:
        since = self._pointers if self._pointers.exists() else self._earlier
        return since.exists() and (self._root / path).stat().st_mtime_ns > since.stat().st_mtime_ns

    def begin(self) -> None:
        """Record that files are about to be touched: those of the state, and those of now."""
        seen = [file.read_bytes() for file in (self._pointers, self._earlier) if file.exists()]
        write_atomically(self._earlier, b"".join([*seen, self._listing()]))
        self._pointers.unlink(missing_ok=True)

    def finish(self) -> None:
        """Record that the data is in line with the pointers of now."""
        write_atomically(self._pointers, self._listing())
        self._earlier.unlink(missing_ok=True)

    def _listing(self) -> bytes:
        return git.output(self._root, *LISTING).encode(errors="surrogateescape")


def _parse(listing: str) -> Iterator[Listed]:
    """The lines `TAG mode blob stage<tab>path`; `S` marks a file that a sparse checkout leaves out."""
    for line in listing.splitlines():
        meta, _, path = line.partition("\t")
        fields = meta.split()
        if len(fields) == 4:  # a line that a kill cut off has fewer
            yield Listed(path, fields[2], fields[0] != "S")
