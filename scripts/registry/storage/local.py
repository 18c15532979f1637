"""A folder as a store: objects are files, written aside and renamed when they are whole."""

import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from registry.errors import NotFound, StorageFailed
from registry.storage.base import CHUNK, Chunks, Object, Store, ahead, table

if TYPE_CHECKING:
    from polars import DataFrame


_UNSAFE = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|\0")  # parts that are empty, . or ..

ABANDONED = 24 * 60 * 60  # seconds after which nobody writes any more to what nobody has written to

INCOMING = ".incoming-"  # how the name of a file starts that is not whole yet; no object's name does

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # no file of that name

OBJECT_MODE = 0o444  # DVC's own for objects (dvc_data.hashfile.db.local.LocalHashFileDB.CACHE_MODE)


def refuse_key(key: str) -> NoReturn:
    """Raises StorageFailed: the key would lead out of its store."""
    raise StorageFailed(f"{key!r} is no name for an object", fix="keys are names joined by single slashes")


class Folder(Store):
    """A folder of files."""

    lanes = 4  # measured with 2 cores: reading, hashing and writing as fast as with 8 threads or with 2 processes

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = str(path)
        self._start = f"{path}/"
        self._swept: set[str] = set()

    def require(self) -> None:
        """See `Store.require`."""
        with _explained(self.url), os.scandir(self.path):
            pass

    def scan(self, prefix: str = "") -> Iterator[list[Object]]:
        """See `Store.scan`; one chunk for each folder."""

        def fail(error: OSError) -> NoReturn:
            raise error

        top = self._file(prefix) if prefix else str(self.path)
        if not Path(top).is_dir():
            return
        with _explained(top):
            for folder, _, names in os.walk(top, onerror=fail, followlinks=True):
                start = len(os.fspath(self.path)) + 1
                keys = (f"{folder}/{name}"[start:] for name in names if not name.startswith(INCOMING))
                yield [found for key in keys if (found := self.find(key))]

    def look(self, keys: Sequence[str]) -> "DataFrame":
        """See `Store.look`."""
        return table(found for key in keys if (found := self.find(key)))

    def find(self, key: str) -> Object | None:
        """See `Store.find`."""
        path = self._file(key)
        try:
            file = os.stat(path)  # noqa: PTH116 - one call for each of a million files
        except _ABSENT:
            return None
        except OSError as error:
            _explain(path, error)
        # The inode and the time of its last change: a file that is overwritten may keep its mtime, never its ctime.
        etag = f"{file.st_ino:x}-{file.st_ctime_ns:x}"
        return Object(key, file.st_size, etag, file.st_mtime_ns // 1000) if stat.S_ISREG(file.st_mode) else None

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        path = self._file(key)
        with _explained(path):
            try:
                file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 - four times as fast as Path.open
            except _ABSENT as error:
                raise NotFound(f"{path} does not exist") from error
            with file:
                while chunk := file.read(CHUNK):
                    yield chunk

    def write(self, key: str, chunks: Chunks) -> bool:
        """See `Store.write`. What killed writers left in the object's folder goes with the first."""
        path = self._file(key)
        folder = path.rpartition("/")[0]
        if folder not in self._swept:
            self._swept.add(folder)
            _sweep(folder)
        # Beside its name: one folder for all that comes makes four threads wait for each other (measured: 4 times).
        aside = f"{folder}/{INCOMING}{secrets.token_hex(8)}"
        with _explained(path):
            file = _open_new(aside)
        try:
            with suppress(OSError):  # whatever the umask; DVC hashes objects of another mode again, and so allows it
                os.chmod(aside, OBJECT_MODE)  # noqa: PTH101 - one call for each of a million files
            _fill(file, path, chunks)
            return _show(aside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)  # noqa: PTH108 - as it came
            raise

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for key in keys:
            path = self._file(key)
            with _explained(path):
                Path(path).unlink(missing_ok=True)

    def _file(self, key: str) -> str:
        if _UNSAFE.search(key):
            refuse_key(key)
        return f"{self._start}{key}"


def _fill(file: int, path: str, chunks: Chunks) -> None:
    """Write what is to be shown at `path` into an open file, and close it."""
    try:
        for chunk in _large_ahead(chunks()):
            with _explained(path):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(file, view) :]
    finally:
        with _explained(path):
            os.close(file)


def _large_ahead(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same; where there is more than one chunk, the next is fetched and hashed while one is written."""
    first = next(chunks, b"")
    yield first
    yield from chunks if len(first) < CHUNK else ahead(chunks)


def _show(aside: str, path: str) -> bool:
    """Give a whole file its name, unless it is taken."""
    with _explained(path):
        if os.path.lexists(path):
            os.unlink(aside)  # noqa: PTH108 - as it came
            return False
        # Between the question and the rename another writer may bring the object: it brings the same bytes.
        os.rename(aside, path)  # noqa: PTH104 - one call for each of a million files
        return True


def _sweep(folder: str) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(INCOMING) and entry.stat().st_mtime < time.time() - ABANDONED:
                os.unlink(entry.path)  # noqa: PTH108 - as it came


def _open_new(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, OBJECT_MODE)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, OBJECT_MODE)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _explain(path, error)


def _explain(path: str, error: OSError) -> NoReturn:
    raise StorageFailed(f"{path}: {(error.strerror or str(error)).lower()}", fix=_next_step(error)) from error


def _next_step(error: OSError) -> str:
    import errno

    if isinstance(error, PermissionError):
        return "ask for the right to read and write there"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free space, then run the same command again: what was stored stays"
    return "look at that place, then run the same command again"
