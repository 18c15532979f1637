"""A folder as a store: an object is a file that was written under a temporary name and renamed when complete.

It uses the system's own calls: object_store's create-only write of a local file takes 2.5 times as long (a link and an
unlink for each), and DVC's objects are read-only files. Paths are strings and `os` is called directly, once for each of
up to a million files: `pathlib` would take longer than the call.
"""

import errno
import os
import secrets
import stat
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from pathlib import Path
from shlex import quote
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from registry.errors import NotFound, StorageFailed
from registry.storage.base import (
    CHUNK,
    FRAME_ROWS,
    Chunks,
    FillingChunks,
    Store,
    StoredObject,
    concat,
    join_columns,
    prefetch_large,
    to_frame,
)
from registry.storage.once import once

if TYPE_CHECKING:
    from polars import DataFrame


INCOMING = ".incoming-"  # prefix of the temporary names; no object's name has it
ABANDONED_AFTER = 24 * 60 * 60  # seconds since the last write after which a temporary file is removed
LISTED_FROM = 256  # keys of one folder from which it is listed first
SAMPLE = 16  # keys that are asked for first: where all exist, a listing would cost more than it spares
ENTRIES_PER_KEY = 4  # as long as it has not many more entries than there are keys
OBJECT_MODE = 0o444  # DVC's own for objects (dvc_data.hashfile.db.local.LocalHashFileDB.CACHE_MODE)
_UNSAFE = frozenset(("", ".", ".."))  # parts of a key
_BETWEEN = "/\0/"  # joins keys to a text in which each part of each key is between slashes
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY)  # where there is O_PATH, a folder need not be readable
_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # raised where no file has that name


class Folder(Store):
    """A folder of files."""

    is_shared = False
    concurrency = 4  # measured with 2 cores: reading, hashing and writing as fast as with 8 threads or 2 processes

    def __init__(self, path: Path, mode: int = OBJECT_MODE) -> None:
        """`mode` is that of the files, less the umask where they may be written."""
        self.path = path
        self._mode = mode
        self.url = str(path)
        self._prefix = f"{path}/"
        self._swept: set[str] = set()
        self._aside = f"{INCOMING}{secrets.token_hex(8)}-"  # no other store has it, in whatever process
        self._numbers = count()

    def __reduce__(self) -> tuple[Callable[..., "Folder"], tuple[Hashable, ...]]:
        return once, (Folder, self.path)

    def require_readable(self) -> None:
        """See `Store.require_readable`."""
        with _translate_errors(self.url), os.scandir(self.path):
            pass

    def scan(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """See `Store.scan`; one chunk for each folder."""

        def fail(error: OSError) -> NoReturn:
            raise error

        top = self._file(prefix) if prefix else str(self.path)
        if not Path(top).is_dir():
            return
        with _translate_errors(top):
            for folder, _, names in os.walk(top, onerror=fail, followlinks=True):
                start = len(os.fspath(self.path)) + 1
                keys = (f"{folder}/{name}"[start:] for name in names if not name.startswith(INCOMING))
                yield [found for key in keys if (found := self.find(key))]

    def find_many(self, keys: Sequence[str]) -> "DataFrame":
        """See `Store.find_many`."""
        self._require_inside(keys)
        sample = keys[:: max(1, len(keys) // SAMPLE)]
        asked = iter(keys if all(self.find(key) for key in sample) else self._without_absent(keys))
        frames = [to_frame([])]
        try:
            folder = os.open(self._prefix, _FOLDER)
        except OSError as error:
            _require_absence(self.url, error)
            return concat(frames)
        try:
            while part := list(islice(asked, FRAME_ROWS)):
                frames.append(self._find_part(part, folder))
        finally:
            os.close(folder)
        return concat(frames)

    def _require_inside(self, keys: Sequence[str]) -> None:
        """Raises as `_file` for one of the keys; to look at all of them at once takes a quarter of the time."""
        text = _BETWEEN.join(["", *keys, ""])
        if text.count("\0") != len(keys) + 1 or "//" in text or "/." in text:
            for key in keys:
                self._file(key)

    def _find_part(self, keys: Iterable[str], folder: int) -> "DataFrame":
        """The files of these keys, none of which leads out of this folder, which is open.

        From an open folder, a file is found in four fifths of the time that its whole path takes.
        """
        ask, is_regular = os.stat, stat.S_ISREG
        found, sizes, inodes, changed, modified = list[str](), list[int](), list[int](), list[int](), list[int]()
        for key in keys:
            try:
                file = ask(key, dir_fd=folder)
            except OSError as error:
                _require_absence(self._prefix + key, error)
                continue
            if is_regular(file.st_mode):
                found.append(key)
                sizes.append(file.st_size)
                inodes.append(file.st_ino)
                changed.append(file.st_ctime_ns)
                modified.append(file.st_mtime_ns)
        return join_columns(found, sizes, (inodes, changed), modified)

    def _without_absent(self, keys: Sequence[str]) -> Iterator[str]:
        """The keys without those that a folder's listing lacks: to list an entry costs a tenth of asking for a file."""
        numbers = Counter(key.rpartition("/")[0] for key in keys)
        listed = {
            folder: _list_names(self._file(folder) if folder else str(self.path), ENTRIES_PER_KEY * number)
            for folder, number in numbers.items()
            if number >= LISTED_FROM
        }
        for key in keys:
            folder, _, name = key.rpartition("/")
            names = listed.get(folder)
            if names is None or name.lower() in names:
                yield key

    def find(self, key: str) -> StoredObject | None:
        """See `Store.find`."""
        file = self._stat(key)
        return describe_file(key, file) if file else None

    def _stat(self, key: str) -> os.stat_result | None:
        """A regular file; None for anything else."""
        path = self._file(key)
        try:
            file = os.stat(path)  # noqa: PTH116 - see the module
        except OSError as error:
            _require_absence(path, error)
            return None
        return file if stat.S_ISREG(file.st_mode) else None

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        path = self._file(key)
        try:
            file = os.open(path, _READ)
            try:
                most = min(CHUNK, os.fstat(file).st_size + 1)  # memory for more would be mapped and unmapped each time
                while chunk := os.read(file, most):
                    yield chunk
            finally:
                os.close(file)
        except _NO_FILE as error:
            raise NotFound(f"{path} does not exist") from error
        except OSError as error:
            _raise_failed(path, error)

    def write(self, key: str, chunks: Chunks) -> bool:
        """See `Store.write`. The first write into a folder removes what killed processes left there."""
        return self._write(key, chunks, _create_only)

    def replace(self, key: str, chunks: Chunks) -> None:
        """See `Store.replace`."""
        self._write(key, chunks, _overwrite)

    def _write(self, key: str, chunks: Chunks, finish: Callable[[str, str], bool]) -> bool:
        path = self._file(key)
        folder = path.rpartition("/")[0]
        if folder not in self._swept:
            self._swept.add(folder)
            _remove_abandoned(folder)
        # In the object's own folder: with one folder for all, four threads wait for each other (measured: 4 times).
        temporary = f"{folder}/{self._aside}{next(self._numbers)}"
        with _translate_errors(path):
            file = _create(temporary, self._mode)
        try:
            if self._mode == OBJECT_MODE:  # whatever the umask; DVC hashes objects of another mode again, and allows it
                with suppress(OSError):
                    os.chmod(temporary, OBJECT_MODE)  # noqa: PTH101 - see the module
            _fill(file, path, chunks)
            return finish(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - see the module
            raise

    def delete(self, keys: Sequence[str]) -> None:
        """See `Store.delete`."""
        for key in keys:
            path = self._file(key)
            with _translate_errors(path):
                Path(path).unlink(missing_ok=True)

    def removal(self, key: str) -> str:
        """See `Store.removal`."""
        return f"rm -f {quote(self._file(key))}"

    def _file(self, key: str) -> str:
        """The path of an object. Raises StorageFailed for a key that would lead out of the folder."""
        if not _UNSAFE.isdisjoint(key.split("/")) or "\0" in key:
            raise StorageFailed(f"invalid object key {key!r}", fix="use names joined by single slashes")
        return f"{self._prefix}{key}"


def _list_names(folder: str, most: int) -> frozenset[str] | None:
    """The names in a folder, in lower case, as some file systems ignore case; None for more, or an unreadable one."""
    try:
        with os.scandir(folder) as entries:
            names = frozenset(entry.name.lower() for entry in islice(entries, most + 1))
    except OSError:
        return None
    return names if len(names) <= most else None


def _require_absence(path: str, error: OSError) -> None:
    """Raises StorageFailed where that error of `path` does not say that no such file exists."""
    is_circular = error.errno == errno.ELOOP  # a symbolic link to itself is as good as one to nothing
    if not is_circular and not isinstance(error, _NO_FILE):
        _raise_failed(path, error)


def describe_file(key: str, file: os.stat_result) -> StoredObject:
    """An object that is this file."""
    return StoredObject(key, file.st_size, _etag(file), _modified(file))


def _etag(file: os.stat_result) -> str:
    """The inode and the time of its last change: a file that is overwritten may keep its mtime, never its ctime."""
    return f"{file.st_ino}-{file.st_ctime_ns}"


def _modified(file: os.stat_result) -> int:
    return file.st_mtime_ns // 1000


def _fill(file: int, path: str, chunks: Chunks) -> None:
    """Write the object of `path` into an open file, and close it."""
    try:
        if isinstance(chunks, FillingChunks):
            lock = Lock()

            def put(offset: int, data: memoryview) -> None:
                with lock, _translate_errors(path):  # not os.pwrite: Windows has none
                    os.lseek(file, offset, os.SEEK_SET)
                    _write_all(file, data)

            chunks.fill(put)
        else:
            for chunk in prefetch_large(chunks()):
                with _translate_errors(path):
                    _write_all(file, memoryview(chunk))
    finally:
        with _translate_errors(path):
            os.close(file)


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]


def _create_only(temporary: str, path: str) -> bool:
    """Give a complete file its name; False, and the file is removed, where the name exists."""
    with _translate_errors(path):
        if os.path.lexists(path):
            os.unlink(temporary)  # noqa: PTH108 - see the module
            return False
        # Another process may create the object between the test and the rename: it has the same bytes.
        os.rename(temporary, path)  # noqa: PTH104 - see the module
        return True


def _overwrite(temporary: str, path: str) -> bool:
    """Give a complete file its name, instead of the file that has it."""
    with _translate_errors(path):
        os.replace(temporary, path)  # noqa: PTH105 - see the module
        return True


def _remove_abandoned(folder: str) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(INCOMING) and entry.stat().st_mtime < time.time() - ABANDONED_AFTER:
                os.unlink(entry.path)  # noqa: PTH108 - see the module


def _create(path: str, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, mode)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, mode)


class _translate_errors:  # noqa: N801 - as `suppress`; a generator as a context takes five times as long
    """Turns the system's errors about `path` into StorageFailed."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            _raise_failed(self._path, error)


def _raise_failed(path: str, error: OSError) -> NoReturn:
    raise StorageFailed(f"{path}: {(error.strerror or str(error)).lower()}", fix=_find_fix(error)) from error


def _find_fix(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "get read and write permission for that path"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free space, then run the same command again: it continues where it stopped"
    return "check that path, then run the same command again"
