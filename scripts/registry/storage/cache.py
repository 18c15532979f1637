"""DVC's cache: it has an object only where the bytes have been proven on this machine.

Links make a file of the working tree and its object one and the same, so whoever writes to the file damages the object;
and DVC believes an object that is read-only (`dvc_data.hashfile.db.local.LocalHashFileDB.check`, 3.16). A damaged one
counts as absent here, whatever asks for it. It is set aside, never deleted: it may be the only copy of an edit.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from registry.core import digests, wording
from registry.core.digests import object_key
from registry.errors import NotFound, StorageFailed
from registry.integrations import dvc
from registry.storage.base import Chunks, StoredObject, to_frame
from registry.storage.local import OBJECT_MODE, Folder, describe_file
from registry.storage.once import once
from registry.storage.proofs import PATH, Proofs

if TYPE_CHECKING:
    from polars import DataFrame

SET_ASIDE = "set-aside"  # beside `files`, where neither DVC nor `dvc gc` looks


class DamagedObject(NamedTuple):
    """An object that is not what its name says: `path` is its file, `fault` what is wrong with it."""

    md5: str
    path: str
    fault: str


class Cache(Folder):
    """DVC's cache in `path`; which objects are proven is recorded in the file `proofs`, or they are read each time."""

    def __init__(self, path: Path, proofs: Path | None) -> None:
        super().__init__(path.absolute())
        self.proofs = Proofs(proofs)
        self._recorded_in = proofs
        self._may_protect = True

    def __reduce__(self) -> tuple[Callable[..., "Cache"], tuple[Hashable, ...]]:
        return once, (Cache, self.path, self._recorded_in)

    # --- proving ------------------------------------------------------------------------------------------------------

    def prove(self, md5s: Iterable[str]) -> dict[str, os.stat_result]:
        """The intact objects among `md5s`, each with its file as it is now. What is not recorded is read.

        Objects that are writable are made read-only, as DVC does. Raises StorageFailed.
        """
        paths = {md5: self._object(md5) for md5 in dict.fromkeys(md5s)}
        found = {path: file for path in paths.values() if (file := _stat_object(path))}
        hashes = self.proofs.hash(found).md5s
        intact = {md5: found[path] for md5, path in paths.items() if hashes.get(path) == md5.removesuffix(".dir")}
        writable = [md5 for md5, file in intact.items() if stat.S_IMODE(file.st_mode) != OBJECT_MODE]
        return intact | dict(self._protect(writable)) if writable else intact

    def _protect(self, md5s: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
        """Make objects read-only: each with its file afterwards."""
        changed = {}
        for md5 in md5s if self._may_protect else ():
            try:
                os.chmod(self._object(md5), OBJECT_MODE)  # noqa: PTH101 - see storage.local
            except OSError:  # another user's, in a shared cache; or a file system without modes
                self._may_protect = False
                break
            if file := _stat_object(self._object(md5)):
                changed[md5] = file
        self.proofs.record((file, md5.removesuffix(".dir")) for md5, file in changed.items())
        yield from changed.items()

    def record(self, md5s: Iterable[str]) -> None:
        """Record objects that were just written here, and verified on the way."""
        found = ((_stat_object(self._object(md5)), md5.removesuffix(".dir")) for md5 in md5s)
        self.proofs.record((file, md5) for file, md5 in found if file)

    def record_released(self, files: Mapping[str, os.stat_result]) -> None:
        """Record objects of which a link, given by MD5 as it was, has just been removed: that moved their ctime."""
        found = ((_stat_object(self._object(md5)), md5) for md5 in files)
        self.proofs.record((file, md5) for file, md5 in found if file and is_same_file(file, files[md5]))

    def find_damaged(self, md5s: Iterable[str]) -> tuple[DamagedObject, ...]:
        """Those of `md5s` that have something under their name that is not the object."""
        present = [md5 for md5 in dict.fromkeys(md5s) if os.path.lexists(self._object(md5))]
        intact = self.prove(present)
        return tuple(self._describe(md5) for md5 in present if md5 not in intact)

    def _describe(self, md5: str) -> DamagedObject:
        path = self._object(md5)
        if file := _stat_object(path):
            found = self.proofs.hash({path: file}).md5s[path]
            return DamagedObject(md5, path, digests.describe_mismatch(path, found))
        kind = "a symbolic link" if Path(path).is_symlink() else "a folder" if Path(path).is_dir() else "a special file"
        return DamagedObject(md5, path, f"{path}: is {kind}, expected a file")

    # --- setting aside ------------------------------------------------------------------------------------------------

    @cached_property
    def aside(self) -> Path:
        """The folder of what this process sets aside, which is made when it is first asked for."""
        top = self.path / SET_ASIDE
        try:
            top.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix="run-", dir=top))
        except OSError as error:
            raise _failed(top, error) from error

    def set_aside(self, file: Path, name: str) -> Path:
        """Move a file into `aside` under a relative name; returns where it is now. Raises StorageFailed."""
        kept = self.aside / name
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, kept)
        except OSError as error:
            raise _failed(file, error) from error
        return kept

    def set_aside_damaged(self, md5s: Iterable[str]) -> tuple[Path, ...]:
        """Move the damaged objects among `md5s` out of the way; returns where they are now."""
        return tuple(self.set_aside(Path(one.path), object_key(one.md5)) for one in self.find_damaged(md5s))

    def list_set_aside(self) -> dict[tuple[int, int], Path]:
        """Every file that was ever set aside, by device and inode."""
        files = (Path(folder, name) for folder, _, names in os.walk(self.path / SET_ASIDE) for name in names)
        found = ((file, _stat_object(str(file))) for file in files)
        return {(state.st_dev, state.st_ino): file for file, state in found if state}

    # --- the store ----------------------------------------------------------------------------------------------------

    def find(self, key: str) -> StoredObject | None:
        """See `Store.find`; None for a damaged object."""
        file = self.prove([_md5(key)]).get(_md5(key))
        return describe_file(key, file) if file else None

    def find_many(self, keys: Sequence[str]) -> "DataFrame":
        """See `Store.find_many`; without damaged objects."""
        intact = self.prove(map(_md5, keys))
        return to_frame(describe_file(key, intact[md5]) for key in keys if (md5 := _md5(key)) in intact)

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`. Raises NotFound for a damaged object."""
        if not self.prove([_md5(key)]):
            raise NotFound(f"{self.url}/{key} does not exist, or is damaged")
        yield from super().read(key)

    def put(self, key: str, data: bytes) -> bool:
        """See `Store.put`. An object that is here is compared: to prove each would write the record each time."""
        path = self._file(key)
        file = _stat_object(path)
        if file and file.st_size == len(data) and Path(path).read_bytes() == data:
            return False
        return super().put(key, data)

    def write(self, key: str, chunks: Chunks) -> bool:
        """See `Store.write`. A damaged object is set aside first."""
        if os.path.lexists(self._file(key)):
            self.set_aside_damaged([_md5(key)])
        return super().write(key, chunks)

    def _object(self, md5: str) -> str:
        return self._file(object_key(md5))


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks found one file, and no write to it in between; its links and its mode may differ."""
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) == (
        other.st_dev, other.st_ino, other.st_size, other.st_mtime_ns,
    )  # fmt: skip


def heading(damaged: Sequence[DamagedObject]) -> str:
    """How many objects are damaged."""
    return f"{wording.plural(len(damaged), 'object')} in DVC's cache {'is' if len(damaged) == 1 else 'are'} damaged"


def open_cache(root: Path) -> Cache:
    """DVC's cache of the checkout at `root`, which need not exist yet. Raises InvalidDocument."""
    return Cache(dvc.cache_dir(root), root / PATH)


def _md5(key: str) -> str:
    return "".join(key.rsplit("/", 2)[-2:])


def _stat_object(path: str) -> os.stat_result | None:
    """A regular file as it is now: an object that is a link could be replaced where it leads."""
    try:
        file = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return file if stat.S_ISREG(file.st_mode) else None


def _failed(path: Path, error: OSError) -> StorageFailed:
    fix = "check free space and permissions of that folder, then run the same command again"
    return StorageFailed(f"{path}: {(error.strerror or str(error)).lower()}", fix=fix)
