"""Remembers the features of images by the image's MD5, so that an image is run once, whatever dataset it is in.

A file below `.dvc/tmp`, which Git ignores: losing it costs time alone. A row is found under a digest of everything that
decides its numbers (see `Source`), so that another backbone, another way to read images or another onnxruntime finds
nothing of the ones before.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from platform import machine

import numpy

from registry.errors import StorageFailed
from registry.model.model_file import ImageInput

PATH = ".dvc/tmp/registry/features.1.sqlite"
RULE = 1  # the number changes with what decides features beside a `Source`: decoding, mirroring
ASKED = 500  # rows in one query; SQLite takes 32,766 values
WAIT = 600  # seconds for another training that writes at the moment
_TABLE = """CREATE TABLE IF NOT EXISTS features (
  source TEXT, image TEXT, mirrored INTEGER, numbers BLOB, digest BLOB, PRIMARY KEY (source, image, mirrored)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class View:
    """An image as the backbone sees it: by its MD5, as it is or mirrored."""

    md5: str
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """What makes the features: a backbone by its MD5, how images are read for it, and how many features it gives."""

    backbone: str
    input: ImageInput
    width: int

    @property
    def key(self) -> str:
        """A digest of this, the rule, and the versions of what decodes and computes."""
        tools = {name: version(name) for name in ("onnxruntime", "pillow")}
        parts = [RULE, self.backbone, asdict(self.input), self.width, tools, machine()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Memory:
    """The rows of one source in an open file."""

    def __init__(self, database: sqlite3.Connection, source: Source) -> None:
        self._database, self._key, self._bytes = database, source.key, 4 * source.width

    def find(self, views: Sequence[View]) -> dict[View, numpy.ndarray]:
        """The features that are known, float32 (D,); a row whose bytes are not those that were written is left out."""
        found = {}
        for start in range(0, len(views), ASKED):
            some = {view.md5 for view in views[start : start + ASKED]}
            places = ", ".join("?" * len(some))
            query = f"SELECT image, mirrored, numbers, digest FROM features WHERE source = ? AND image IN ({places})"  # noqa: S608 - question marks
            for md5, mirrored, data, digest in self._database.execute(query, (self._key, *some)):
                if len(data) == self._bytes and _digest(data) == digest:
                    found[View(md5, bool(mirrored))] = numpy.frombuffer(data, "<f4")
        return found

    def keep(self, features: Mapping[View, numpy.ndarray]) -> None:
        """Write rows, all or none."""
        rows = [
            (self._key, view.md5, view.mirrored, data, _digest(data))
            for view, values in features.items()
            for data in [values.astype("<f4").tobytes()]
        ]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?)", rows)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


@contextmanager
def open_memory(path: Path, source: Source) -> Iterator[Memory]:
    """The memory in a file, which is made where it does not exist; a damaged one is replaced. Raises StorageFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(_open_sound(path)) as database:
            yield Memory(database, source)
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"{path} cannot be used: {error}", fix=f"free space, or delete {path.name}") from error


def _open_sound(path: Path) -> sqlite3.Connection:
    try:
        return _open(path)
    except sqlite3.OperationalError:
        raise  # no access, a full disk: the file may be sound
    except sqlite3.DatabaseError:
        for one in (path, *path.parent.glob(f"{path.name}-*")):
            one.unlink(missing_ok=True)
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=WAIT)
    try:
        with database:
            database.execute(_TABLE)
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError(f"{path} is damaged")
    except BaseException:
        database.close()
        raise
    return database
