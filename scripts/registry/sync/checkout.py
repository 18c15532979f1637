"""Checks out data: links the files of outputs out of DVC's cache, and records them so that DVC hashes none again.

The result is that of `dvc checkout` (3.67) in a fraction of its time: DVC links one file after the other, and tries a
kind of link that failed once again for every file. What is linked was proven here (`storage.proofs`), and so is what
stays as it is. A file whose content the cache does not hold is never touched.

DVC is imported, and its lock taken, when there is something to link: the Git hooks run `registry checkout` after every
move of HEAD, and that import takes half a second; while objects arrive, `prepare` has it done. Paths are strings and
`os` is called directly, once for each of up to a million files: `pathlib` would take longer than the call.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import takewhile
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import TYPE_CHECKING

from registry.core import digests, layout, wording
from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.core.tree import under
from registry.errors import InvalidData, Refused, StorageFailed
from registry.integrations import dvc
from registry.storage.cache import SET_ASIDE, Cache, is_same_file
from registry.storage.local import INCOMING

if TYPE_CHECKING:
    from dvc.repo import Repo


CONCURRENCY = 4  # measured with 2 cores: copying as fast as with 8 threads
PARTITION = 64  # files in one task


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The files of outputs, or of a part of one at `path`: the MD5 of each by its path from the root.

    `files` is None where the list of files is not known.
    """

    outputs: tuple[str, ...]
    path: str
    files: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class _Change:
    """What to do for a placement: files to remove (also those that get another content), and files to create.

    `unsaved` are files that would be overwritten or removed although the cache does not hold their content. `released`
    are the files to remove that were read, as they are now, by MD5.
    """

    placement: Placement
    remove: tuple[str, ...]
    create: tuple[str, ...]
    unsaved: tuple[str, ...]
    released: Mapping[str, os.stat_result]


# What `place` uses; the first imports most of it, the others come when a repository is opened.
_DVC = ("dvc.repo", "dvc.lock", "dvc.rwlock", "dvc.cachemgr", "dvc.scm", "dvc.repo.plots", "dvc_objects.fs.system")


def prepare() -> None:
    """Begin to import DVC in a thread, for `place`: one processor is idle while another hashes what arrives."""
    Thread(target=_import_dvc).start()


def _import_dvc() -> None:
    with suppress(ImportError):  # `place` raises it
        for name in _DVC:
            import_module(name)


def place(
    root: Path,
    cache: Cache,
    placements: Sequence[Placement],
    progress: Progress | None = None,
    *,
    set_aside: bool = False,
) -> tuple[str, ...]:
    """Make the working tree hold these files, and no others of DVC's beside them; returns the incomplete paths.

    A path is incomplete, and stays as it is, when the cache lacks one of its objects, or has it damaged. Raises
    InvalidData, before any change, when files were changed whose content the cache does not hold; with `set_aside`,
    these are moved into the cache's folder for that. Raises Refused and StorageFailed.
    """
    intact = cache.prove(md5 for one in placements for md5 in (one.files or {}).values())
    complete = [one for one in placements if one.files is not None and intact.keys() >= set(one.files.values())]
    with _translate_errors(root):
        if not all(_is_in_place(str(root), cache, one) for one in complete):
            with _open_locked(root) as repo:
                updater = CheckoutUpdater(repo, cache, progress)
                changes = [updater.compare(one) for one in complete]
                unsaved = [path for change in changes for path in change.unsaved]
                if not set_aside:
                    _require_saved(unsaved)
                for path in unsaved:
                    cache.set_aside(root / path, path)
                for change in changes:
                    updater.apply(change, intact)
    return tuple(one.path for one in placements if one not in complete)


def _is_in_place(root: str, cache: Cache, placement: Placement) -> bool:
    """Whether there are exactly these files, each as it was when it was read or linked; nothing is read for it."""
    files, found = placement.files or {}, [*_list_files(root, placement.path)]
    if _find_linked_parent(root, placement.path) or files.keys() != {*found}:
        return False
    states = {f"{root}/{path}": state for path, state in _stat(root, found).items() if state}
    known = cache.proofs.find(states)
    return all(known.get(f"{root}/{path}") == md5 for path, md5 in files.items())


def _find_linked_parent(root: str, path: str) -> str:
    """The first folder above a path that is a symbolic link, and so may lead out of the artifact; empty for none."""
    parts = path.split("/")
    parents = ("/".join(parts[:end]) for end in range(1, len(parts)))
    return next((one for one in parents if Path(root, one).is_symlink()), "")


def _list_files(root: str, path: str) -> Iterator[str]:
    """Every file, and every symbolic link, at or below a path."""
    top = f"{root}/{path}"
    if os.path.islink(top) or os.path.isfile(top):  # noqa: PTH113, PTH114 - see the module
        yield path
    start = len(root) + 1
    for folder, folders, names in os.walk(top) if not os.path.islink(top) else ():  # noqa: PTH114
        linked = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
        for name in (*names, *linked):
            yield f"{folder}/{name}"[start:]


def _stat(root: str, paths: Iterable[str]) -> dict[str, os.stat_result | None]:
    """Each path with the file that it is or leads to; None for what is no file, such as a dangling link."""
    states: dict[str, os.stat_result | None] = dict.fromkeys(paths)
    for path in states:
        try:
            file = os.stat(f"{root}/{path}")  # noqa: PTH116 - see the module
        except FileNotFoundError:
            continue
        states[path] = file if stat.S_ISREG(file.st_mode) else None
    return states


def _require_saved(paths: Sequence[str]) -> None:
    if paths:
        owners = dict.fromkeys(str(owner) for path in paths if (owner := layout.owner_of(path)))
        summary = f"{wording.plural(len(paths), 'file')} would be lost: DVC's cache does not hold their content"
        fix = f"registry pull --set-aside {' '.join(owners)}: moves them into {SET_ASIDE}/ in DVC's cache, and links"
        raise InvalidData(summary, paths, fix=f"{fix} what the pointers name")


@contextmanager
def _open_locked(root: Path) -> "Iterator[Repo]":
    from dvc.dirs import site_cache_dir
    from dvc.lock import LockError
    from dvc.repo import Repo

    # DVC's databases hold pickles: a commit must not say where they are.
    own = site_cache_dir(dvc.own_option(root, "core", "site_cache_dir"))
    with Repo(str(root), config={"core": {"site_cache_dir": own}}) as repo:
        try:
            repo.lock.lock()
        except LockError as error:
            fix = "wait until it ends, then run the same command again"
            raise Refused("another DVC process holds the lock of this checkout", fix=fix) from error
        try:
            yield repo
        finally:
            repo.lock.unlock()


@contextmanager
def _translate_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = "check free space and permissions, then run the same command again: it continues where it stopped"
        raise StorageFailed(f"{error.filename or root}: {(error.strerror or str(error)).lower()}", fix=fix) from error


class CheckoutUpdater:
    """Updates the working tree of one repository, `repo`, out of a cache."""

    def __init__(self, repo: "Repo", cache: Cache, progress: Progress | None) -> None:
        self._repo, self._store, self._progress = repo, cache, progress
        self._root, self._cache = str(repo.root_dir), f"{cache.path}/"
        self._linker = Linker(repo.cache.local.cache_types)

    # --- comparing ----------------------------------------------------------------------------------------------------

    def compare(self, placement: Placement) -> _Change:
        """What is to be done."""
        self._require_inside(placement.path)
        files = placement.files or {}
        states = _stat(self._root, self._walk(placement.path))
        hashes = self._hash(states)
        different = [path for path in states if hashes.get(path) != files.get(path, "")]
        saved = self._find_saved(different, hashes, states)
        unsaved = {path for path in different if path not in saved}
        ignored = {path for path in unsaved if path not in files and self._is_ignored(path)}
        remove = [path for path in different if path not in ignored]
        create = {*files}.difference(states) | {path for path in different if path in files}
        released = {hashes[path]: state for path in remove if path in hashes and (state := states[path])}
        return _Change(placement, tuple(remove), tuple(sorted(create)), tuple(sorted(unsaved - ignored)), released)

    def _require_inside(self, path: str) -> None:
        if linked := _find_linked_parent(self._root, path):
            fault = f"{linked}: is a symbolic link, which may lead out of the artifact"
            raise Refused(fault, fix="delete it, and restore the folder from Git")

    def _walk(self, path: str) -> Iterator[str]:
        """Every file, and every symbolic link, at or below a path. Incomplete files of killed runs are removed."""
        for found in _list_files(self._root, path):
            if found.rpartition("/")[2].startswith(INCOMING):
                Path(self._root, found).unlink()
            else:
                yield found

    def _hash(self, states: Mapping[str, os.stat_result | None]) -> dict[str, str]:
        """The MD5 of files: as recorded, else by reading, and then recorded for DVC, too."""
        files = {f"{self._root}/{path}": state for path, state in states.items() if state}
        hashes = self._store.proofs.hash(files)
        self._record({path: hashes.md5s[path] for path in hashes.read}, files)
        start = len(self._root) + 1
        return {path[start:]: md5 for path, md5 in hashes.md5s.items()}

    def _find_saved(
        self, paths: Sequence[str], hashes: Mapping[str, str], states: Mapping[str, os.stat_result | None]
    ) -> set[str]:
        """Those of `paths` that may be removed: the cache has their content, or they are files that were set aside."""
        if not paths:
            return set()
        intact, aside = (
            self._store.prove(hashes[path] for path in paths if path in hashes),
            self._store.list_set_aside(),
        )
        kept = {path for path in paths if (state := states[path]) and (state.st_dev, state.st_ino) in aside}
        return kept | {path for path in paths if hashes.get(path) in intact or self._is_dangling(path)}

    def _is_dangling(self, path: str) -> bool:
        """Whether a path is a link to an object that is gone; anything else that is no file is the user's own."""
        full = f"{self._root}/{path}"
        if os.path.exists(full) or not os.path.islink(full):  # noqa: PTH110, PTH114 - see the module
            return False
        return os.readlink(full).startswith(f"{self._cache}files/")  # noqa: PTH115

    def _is_ignored(self, path: str) -> bool:
        full = f"{self._root}/{path}"
        return not os.path.islink(full) and bool(self._repo.dvcignore.is_ignored_file(full))  # noqa: PTH114

    # --- applying -----------------------------------------------------------------------------------------------------

    def apply(self, change: _Change, intact: Mapping[str, os.stat_result]) -> None:
        """Do it, with the objects `intact`, by MD5. After a kill at any point, the next run completes it."""
        files = change.placement.files or {}
        for path in change.remove:
            Path(self._root, path).unlink(missing_ok=True)
        self._store.record_released(change.released)
        self._prune(change)
        folders = {path.rpartition("/")[0] for path in change.create}
        for folder in folders if change.placement.path in files else {*folders, change.placement.path}:
            Path(self._root, folder).mkdir(parents=True, exist_ok=True)
        parts = [change.create[start : start + PARTITION] for start in range(0, len(change.create), PARTITION)]
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            for count in pool.map(partial(self._link, files), parts):
                if self._progress:
                    self._progress(count, 0)
        # Permits `dvc checkout` of a commit without this output to remove it. What is recorded after it is in place.
        for output in change.placement.outputs:
            self._repo.state.save_link(f"{self._root}/{output}", self._repo.fs)
        self._record_created({path: files[path] for path in change.create}, intact)

    def _record_created(self, created: Mapping[str, str], intact: Mapping[str, os.stat_result]) -> None:
        """Record files that were just linked, for DVC and here: a link has moved the ctime of its object."""
        states = _stat(self._root, created)
        self._record(
            {f"{self._root}/{path}": md5 for path, md5 in created.items()},
            {f"{self._root}/{path}": state for path, state in states.items() if state},
        )
        self._store.proofs.record(
            (state, created[path])
            for path, state in states.items()
            if state and _is_made_of(state, intact[created[path]])
        )

    def _link(self, files: Mapping[str, str], paths: Sequence[str]) -> int:
        for path in paths:
            self._linker.link(self._cache + object_key(files[path]), f"{self._root}/{path}", files[path])
        return len(paths)

    def _prune(self, change: _Change) -> None:
        """Remove folders that have lost all of their files, also where a file is to be created in their place."""
        top, empty = change.placement.path, set[str]()
        for path in change.remove:
            folders = takewhile(lambda folder: under(folder, top), map(str, PurePosixPath(path).parents))
            empty.update(folder for folder in folders if folder != top or top in (change.placement.files or {}))
        for folder in sorted(empty, key=len, reverse=True):
            with suppress(OSError):  # not empty
                Path(self._root, folder).rmdir()

    def _record(self, hashes: Mapping[str, str], files: Mapping[str, os.stat_result]) -> None:
        """Tell DVC's state the MD5 of files, by what it knows them by."""
        from dvc_data.hashfile.hash_info import HashInfo

        infos = {path: {"ino": one.st_ino, "mtime": one.st_mtime, "size": one.st_size} for path, one in files.items()}
        self._repo.state.save_many(
            [(path, HashInfo("md5", md5), infos[path]) for path, md5 in hashes.items()], self._repo.fs
        )


def _is_made_of(file: os.stat_result, proven: os.stat_result) -> bool:
    """Whether a file that was just made out of a proven object has its content: a copy, or the object itself."""
    is_copy = (file.st_dev, file.st_ino) != (proven.st_dev, proven.st_ino)
    return file.st_size == proven.st_size if is_copy else is_same_file(file, proven)


class Linker:
    """Creates files out of objects by the first of DVC's kinds of link that works here; one that fails is dropped.

    Objects stay as they are, read-only; a reflink or a copy may be written, with the permissions of a new file.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        from dvc_objects.fs import system

        self._mode = 0o666 & ~_umask()
        self._clone: Callable[[str, str], None] = system.reflink
        methods = {"reflink": self._reflink, "hardlink": system.hardlink, "symlink": system.symlink, "copy": _copy}
        self._methods: list[Callable[[str, str], None]] = [methods[kind] for kind in kinds]

    def link(self, source: str, target: str, md5: str) -> None:
        """Create the file `target`, which does not exist. Raises OSError when no kind of link works."""
        if md5 == digests.EMPTY:  # all empty files would be links to one object, and a file has a limit of links
            Path(target).touch()
            return
        methods = list(self._methods)
        for method in methods[:-1]:
            try:
                method(source, target)
            except FileExistsError:
                raise
            except OSError:
                with suppress(ValueError):  # another thread dropped it
                    self._methods.remove(method)
            else:
                return
        methods[-1](source, target)

    def _reflink(self, source: str, target: str) -> None:
        self._clone(source, target)
        os.chmod(target, self._mode)  # noqa: PTH101 - on macOS a clone is as read-only as its object


def _copy(source: str, target: str) -> None:
    folder, _, name = target.rpartition("/")
    temporary = f"{folder}/{INCOMING}{name}"
    shutil.copyfile(source, temporary)
    os.rename(temporary, target)  # noqa: PTH104 - see the module


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
