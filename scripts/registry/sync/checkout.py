"""Placing data: the files of outputs, linked out of DVC's cache, and DVC told of it so that it hashes none again.

They are as `dvc checkout` (3.67) leaves them, in a fraction of its time: it links one file after the other, and tries a
kind of link that was refused again for every file. What a person changed and DVC does not hold is never touched.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from registry.core.pointers import object_key
from registry.core.tree import under
from registry.errors import InvalidData, Refused, StorageFailed
from registry.storage.local import INCOMING
from registry.storage.transfer import Progress

if TYPE_CHECKING:
    from dvc.repo import Repo

LANES = 4  # measured with 2 cores: copying as fast as with 8 threads
PART = 64  # files in one task
NO_BYTES = hashlib.md5(b"", usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """What belongs at `path`, which is `output` or a part of it: the md5 of each file, by its path from the root.

    `files` is None where the list of files is not known.
    """

    output: str
    path: str
    files: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class _Change:
    """What to do for a placement: files to remove (also those that get other bytes), and to make; who is in the way."""

    placement: Placement
    remove: tuple[str, ...]
    make: tuple[str, ...]
    unsaved: tuple[str, ...]


def place(
    root: Path, cache: Path, placements: Sequence[Placement], progress: Progress | None = None
) -> tuple[str, ...]:
    """Make the working tree hold these files, and no others of DVC's beside them; the paths for which objects lack.

    Where one object lacks, all of that path stays as it is. Raises InvalidData when files were changed that DVC does
    not hold: then nothing is touched at all. Raises Refused and StorageFailed.
    """
    whole = [one for one in placements if _is_whole(one, cache)]
    if whole:
        with _opened(root) as repo, _explained(root):
            hand = _Hand(repo, cache, progress)
            changes = [hand.compare(one) for one in whole]
            _require_saved([path for change in changes for path in change.unsaved])
            for change in changes:
                hand.apply(change)
    return tuple(one.path for one in placements if one not in whole)


def _is_whole(placement: Placement, cache: Path) -> bool:
    start = f"{cache}/"
    return placement.files is not None and all(
        os.path.exists(start + object_key(md5))  # noqa: PTH110 - one call for each of a million files
        for md5 in placement.files.values()
    )


def _require_saved(paths: Sequence[str]) -> None:
    if paths:
        count = f"{len(paths):,} file{'s' * (len(paths) != 1)}"
        fix = "move or delete them, or keep them (`dvc commit`, `registry build`); then run the same command again"
        raise InvalidData(f"{count} would be lost: DVC's cache does not hold what is there", paths, fix=fix)


@contextmanager
def _opened(root: Path) -> "Iterator[Repo]":
    from dvc.lock import LockError
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        try:
            repo.lock.lock()
        except LockError as error:
            fix = "wait until it is done, then run the same command again"
            raise Refused("DVC is at work in this checkout", fix=fix) from error
        try:
            yield repo
        finally:
            repo.lock.unlock()


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = "put that right (space, rights), then run the same command again: it goes on where it stopped"
        raise StorageFailed(f"{error.filename or root}: {(error.strerror or str(error)).lower()}", fix=fix) from error


class _Hand:
    """Works in one checkout, whose DVC is `repo`."""

    def __init__(self, repo: "Repo", cache: Path, progress: Progress | None) -> None:
        self._repo, self._progress = repo, progress
        self._root, self._cache = repo.root_dir, f"{cache.absolute()}/"
        self._linker = Linker(repo.cache.local.cache_types)

    # --- what is there ------------------------------------------------------------------------------------------------

    def compare(self, placement: Placement) -> _Change:
        """What is to be done."""
        self._require_inside(placement.path)
        files = placement.files or {}
        present = list(self._walk(placement.path))
        hashes = self._hashes(present)
        other = [path for path in present if hashes.get(path) != files.get(path, "")]
        unsaved = [path for path in other if not self._is_saved(path, hashes.get(path))]
        strange = {path for path in unsaved if path not in files and self._is_ignored(path)}
        remove = [path for path in other if path not in strange]
        make = {*files}.difference(present) | {path for path in other if path in files}
        return _Change(placement, tuple(remove), tuple(sorted(make)), tuple(sorted({*unsaved} - strange)))

    def _require_inside(self, path: str) -> None:
        parts = path.split("/")
        for end in range(1, len(parts)):
            if Path(self._root, *parts[:end]).is_symlink():
                fault = f"{'/'.join(parts[:end])} is a symbolic link, which would lead out of its artifact"
                raise Refused(fault, fix="delete it, and restore the folder from Git")

    def _walk(self, path: str) -> Iterator[str]:
        """Every file, and every symbolic link, at or below a path. What a killed run left half-made is removed."""
        top = f"{self._root}/{path}"
        if os.path.islink(top) or os.path.isfile(top):  # noqa: PTH113, PTH114 - strings, as below
            yield path
        start = len(self._root) + 1
        for folder, folders, names in os.walk(top) if not os.path.islink(top) else ():  # noqa: PTH114
            linked = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
            for name in (*names, *linked):
                if name.startswith(INCOMING):
                    Path(folder, name).unlink()
                else:
                    yield f"{folder}/{name}"[start:]

    def _hashes(self, paths: Iterable[str]) -> dict[str, str]:
        """The md5 of files: as DVC remembers it, else by reading, and then remembered; none of what is no file."""
        infos = {}
        for path in paths:
            with suppress(FileNotFoundError):  # a link to nothing
                infos[f"{self._root}/{path}"] = self._repo.fs.info(f"{self._root}/{path}")
        infos = {path: info for path, info in infos.items() if info["type"] == "file"}
        start, known = len(self._root) + 1, {}
        for path, _, found in self._repo.state.get_many(list(infos), self._repo.fs, infos):
            if found and found.name == "md5":
                known[path] = found.value
        read = {path: _md5(path) for path in infos if path not in known}
        self._remember(read, infos)
        return {path[start:]: md5 for path, md5 in (known | read).items()}

    def _is_saved(self, path: str, md5: str | None) -> bool:
        if md5:
            return os.path.exists(self._cache + object_key(md5))  # noqa: PTH110 - as above
        # A link to an object that is gone; any other thing that is no file is somebody's own.
        full = f"{self._root}/{path}"
        return os.path.islink(full) and os.readlink(full).startswith(f"{self._cache}files/")  # noqa: PTH114, PTH115

    def _is_ignored(self, path: str) -> bool:
        full = f"{self._root}/{path}"
        return not os.path.islink(full) and self._repo.dvcignore.is_ignored_file(full)  # noqa: PTH114

    # --- what is done -------------------------------------------------------------------------------------------------

    def apply(self, change: _Change) -> None:
        """Do it. Killed anywhere, it is done by the next run."""
        files = change.placement.files or {}
        for path in change.remove:
            Path(self._root, path).unlink()
        self._prune(change)
        folders = {path.rpartition("/")[0] for path in change.make}
        for folder in folders if change.placement.path in files else {*folders, change.placement.path}:
            Path(self._root, folder).mkdir(parents=True, exist_ok=True)
        parts = [change.make[start : start + PART] for start in range(0, len(change.make), PART)]
        with ThreadPoolExecutor(LANES) as pool:
            for part in pool.map(lambda part: self._make(part, files), parts):
                if self._progress:
                    self._progress(len(part), 0)
        made = {f"{self._root}/{path}": files[path] for path in change.make}
        self._remember(made, {path: self._repo.fs.info(path) for path in made})
        # So that `dvc checkout` of a commit without this output may take it away.
        self._repo.state.save_link(f"{self._root}/{change.placement.output}", self._repo.fs)

    def _make(self, paths: Sequence[str], files: Mapping[str, str]) -> Sequence[str]:
        for path in paths:
            self._linker.link(self._cache + object_key(files[path]), f"{self._root}/{path}", files[path])
        return paths

    def _prune(self, change: _Change) -> None:
        """Remove folders that have lost all of their files; a place where a file belongs is no folder."""
        top, left = change.placement.path, set()
        for path in change.remove:
            folders = takewhile(lambda folder: under(folder, top), map(str, PurePosixPath(path).parents))
            left.update(folder for folder in folders if folder != top or top in (change.placement.files or {}))
        for folder in sorted(left, key=len, reverse=True):
            with suppress(OSError):  # not empty
                Path(self._root, folder).rmdir()

    def _remember(self, hashes: Mapping[str, str], infos: Mapping[str, dict[str, object]]) -> None:
        from dvc_data.hashfile.hash_info import HashInfo

        items = [(path, HashInfo("md5", md5), infos[path]) for path, md5 in hashes.items()]
        self._repo.state.save_many(items, self._repo.fs)


class Linker:
    """Makes files out of objects by the first of DVC's kinds of link that works here; a refused one is not tried again.

    Objects stay as they are, read-only; a reflink or copy is a person's own to write, with the rights of a new file.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        from dvc_objects.fs import system

        self._mode = 0o666 & ~_umask()
        ways = {"reflink": self._reflink, "hardlink": system.hardlink, "symlink": system.symlink, "copy": _copy}
        self._clone = system.reflink
        self._ways: list[Callable[[str, str], None]] = [ways[kind] for kind in kinds]

    def link(self, source: str, target: str, md5: str) -> None:
        """Make the file `target`, which is not there. Raises OSError when no kind of link can."""
        if md5 == NO_BYTES:  # all empty files would be links to one object, and a file has a limit of links
            Path(target).touch()
            return
        ways = list(self._ways)
        for way in ways[:-1]:
            try:
                way(source, target)
            except FileExistsError:
                raise
            except OSError:
                with suppress(ValueError):  # another thread was quicker
                    self._ways.remove(way)
            else:
                return
        ways[-1](source, target)

    def _reflink(self, source: str, target: str) -> None:
        self._clone(source, target)
        os.chmod(target, self._mode)  # noqa: PTH101 - on macOS a clone is as read-only as its object


def _copy(source: str, target: str) -> None:
    folder, _, name = target.rpartition("/")
    aside = f"{folder}/{INCOMING}{name}"
    shutil.copyfile(source, aside)
    os.rename(aside, target)  # noqa: PTH104 - strings, as everywhere here


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _md5(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return hashlib.file_digest(file, _new_md5).hexdigest()


def _new_md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)
