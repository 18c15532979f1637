"""Which bytes the files of this machine hold: each file is read once, and again when anything about it changed.

A file is known by its device, inode, size and two times. The time of its last modification can be set (`touch -r`,
rsync, tar); the time of its last change (ctime) is the system's own, and moves whenever bytes, mode or the number of
hard links do. DVC's table of hashes goes by inode, size and modification alone, and so is never believed here.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars import DataFrame

from registry.core.progress import Progress, bar
from registry.errors import StorageFailed
from registry.storage import parquet_cache

PATH = ".dvc/tmp/registry/proofs.1.parquet"
CONCURRENCY = 4  # measured with 2 cores: reading and hashing as fast as with 8 threads
PARTITION = 64  # files in one task
CHUNK = 1 << 20  # bytes read at once
# A file may change once more within one tick of the file system's clock and keep its times ("racy git"): what changed
# so shortly before it was read is read again the next time. Linux counts in ticks of up to 10 ms, FAT in 2 s.
FINE_TICK = 20_000_000  # nanoseconds
COARSE_TICK = 2_000_000_000  # where times are whole milliseconds
WAITED_FOR = 8 << 20  # bytes that changed so shortly before they are recorded: to read them again takes longer
_SCHEMA: parquet_cache.Schema = {
    "device": pl.UInt64,
    "inode": pl.UInt64,
    "size": pl.Int64,
    "modified": pl.Int64,
    "changed": pl.Int64,
    "md5": pl.String,
}
_STATE = ("device", "inode", "size", "modified", "changed")  # times in nanoseconds since 1970


class Hashes(NamedTuple):
    """The MD5 of each file by its path, and which of them were read for it."""

    md5s: dict[str, str]
    read: frozenset[str]


class Proofs:
    """The record in the file at `path`; without one, every file is read each time.

    Losing it, or another process's rows, costs time alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: DataFrame | None = None

    def hash(self, files: Mapping[str, os.stat_result]) -> Hashes:
        """The MD5 of regular files, given as `os.stat` finds them now. Raises StorageFailed for one that is unreadable.

        A file is read, and recorded, unless the record has it in this state.
        """
        known = self.find(files)
        unknown = [path for path in files if path not in known]
        if not unknown:
            return Hashes(known, frozenset())
        started = time.time_ns()
        read = hash_files(unknown, sum(files[path].st_size for path in unknown))
        self._add(_frame((files[path], md5) for path, md5 in read.items()), started)
        return Hashes(known | read, frozenset(unknown))

    def record(self, files: Iterable[tuple[os.stat_result, str]]) -> None:
        """Record files in the state in which they are now, with their MD5, which the caller has proven.

        Waits for a tick of the clock rather than let a large file be read again.
        """
        rows = _frame(files)
        last = time.time_ns() - FINE_TICK
        recent = rows.filter(pl.col("changed").is_between(last, last + FINE_TICK))
        if recent["size"].sum() > WAITED_FOR:
            time.sleep(FINE_TICK / 1e9)
        self._add(rows, time.time_ns())

    def find(self, files: Mapping[str, os.stat_result]) -> dict[str, str]:
        """The MD5 of those files that the record has in this state; none is read."""
        if not (self._path and files):
            return {}
        if self._rows is None:
            self._rows = parquet_cache.read(self._path, _SCHEMA)
        asked = _frame((found, path) for path, found in files.items()).rename({"md5": "path"})
        known = asked.join(self._rows, on=_STATE)
        return dict(zip(known["path"], known["md5"], strict=True))

    def _add(self, rows: DataFrame, started: int) -> None:
        """Write rows that had their state at the time `started`, in nanoseconds since 1970."""
        # The ctime of Windows is the time of creation: nothing there shows a change.
        if not (self._path and rows.height) or os.name == "nt":
            return
        coarse = pl.col("changed") % 1_000_000 == 0
        tick = pl.when(coarse).then(pl.lit(COARSE_TICK)).otherwise(pl.lit(FINE_TICK))
        settled = rows.filter(pl.col("changed") < started - tick)
        if settled.height:
            with suppress(StorageFailed):  # a read-only checkout is read again each time
                self._rows = parquet_cache.add(self._path, settled, _SCHEMA, ["device", "inode"])


def _frame(files: Iterable[tuple[os.stat_result, str]]) -> DataFrame:
    rows = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, md5) for s, md5 in files]
    return DataFrame(rows, dict(_SCHEMA), orient="row")


def hash_files(paths: Sequence[str], size: int = 0) -> dict[str, str]:
    """The MD5 of each file, which is read; `size` are their bytes, where known. Raises StorageFailed."""
    parts = [paths[start : start + PARTITION] for start in range(0, len(paths), PARTITION)]
    with bar("verifying", len(paths), size) as progress, ThreadPoolExecutor(CONCURRENCY) as pool:
        md5s = [md5 for part in pool.map(partial(_hash_part, progress), parts) for md5 in part]
    return dict(zip(paths, md5s, strict=True))


def _hash_part(progress: Progress, paths: Sequence[str]) -> list[str]:
    return [_hash(path, progress) for path in paths]


def _hash(path: str, progress: Progress) -> str:
    try:
        # Called up to a million times: `pathlib` would take longer than the call.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            digest = hashlib.md5(usedforsecurity=False)
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                progress(0, len(chunk))
            progress(1, 0)
            return digest.hexdigest()
    except OSError as error:
        fix = "get read permission for that file, then run the same command again"
        raise StorageFailed(f"{path}: {(error.strerror or str(error)).lower()}", fix=fix) from error
