"""Remembers the files of released versions that were read and found sound, so that each is parsed once on a machine.

A file below `.dvc/tmp`, which Git ignores: losing it costs time alone, and no file keeps a command from working. A
commit is what its id says, so a version is found by that. What was read by other code or with other schemas is
forgotten. It serves commands that show releases; what decides (checks, publish, fsck) reads Git.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from registry.core import artifact_files, documents, dvc_reading, manifests, pointers, schema
from registry.core.artifact_files import ArtifactFiles
from registry.core.values import ArtifactId

PATH = ".dvc/tmp/registry/releases.1.sqlite"
WAIT = 5  # seconds for another command that writes at the moment; then nothing is remembered
_READERS = (artifact_files, documents, dvc_reading, manifests, pointers, schema)
_TABLE = """CREATE TABLE IF NOT EXISTS files (
  reader TEXT, commit_id TEXT, artifact TEXT, name TEXT, data BLOB, PRIMARY KEY (reader, commit_id, artifact, name)
) WITHOUT ROWID"""
_Row = tuple[str, str, str, bytes]  # commit, artifact, name, data


class Memory:
    """The versions that were known, and those that are `new`."""

    def __init__(self, rows: Iterator[_Row] | tuple[_Row, ...] = ()) -> None:
        self._known: dict[tuple[str, str], dict[str, bytes]] = {}
        for commit, artifact, name, data in rows:
            self._known.setdefault((commit, artifact), {})[name] = data
        self.new: list[_Row] = []

    def find(self, commit: str, artifact: ArtifactId) -> ArtifactFiles | None:
        """The files of a version, None where they are not known."""
        data = self._known.get((commit, str(artifact)))
        return artifact_files.read_sound_release(artifact, data) if data else None

    def keep(self, commit: str, files: ArtifactFiles) -> None:
        """Remember a version, unless one of its files has a fault."""
        data: Mapping[str, bytes] = artifact_files.sound_data(files) or {}
        self.new += [(commit, str(files.id), name, text) for name, text in data.items()]


@contextmanager
def remembered(root: Path) -> Iterator[Memory]:
    """What is known of the releases of a registry; what is new at the end is written, all or none."""
    path, reader = root / PATH, _reader()
    try:
        rows = _read(path, reader) if path.is_file() else ()
    except sqlite3.Error:
        rows = ()
    memory = Memory(rows)
    yield memory
    if memory.new:
        try:
            _write(path, reader, memory.new)
        except (sqlite3.Error, OSError):  # a full disk, no right to write, another command that writes
            return


def _reader() -> str:
    """A digest of the code and the schemas that decide what is sound."""
    files = [*(Path(str(module.__file__)) for module in _READERS), *sorted(schema.folder().glob("*.schema.json"))]
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _read(path: Path, reader: str) -> tuple[_Row, ...]:
    with closing(sqlite3.connect(path, timeout=WAIT)) as database:
        query = "SELECT commit_id, artifact, name, data FROM files WHERE reader = ?"
        return tuple(database.execute(query, (reader,)))


def _write(path: Path, reader: str, rows: list[_Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _add(path, reader, rows)
    except sqlite3.OperationalError:
        raise  # no access, a full disk: the file may be sound
    except sqlite3.DatabaseError:
        path.unlink()  # damaged
        _add(path, reader, rows)


def _add(path: Path, reader: str, rows: list[_Row]) -> None:
    with closing(sqlite3.connect(path, timeout=WAIT)) as database, database:
        database.execute(_TABLE)
        database.execute("DELETE FROM files WHERE reader != ?", (reader,))
        database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", [(reader, *row) for row in rows])
