"""Opening stores, and moving many objects: `ingest` from a lake, `transfer` between stores, `audit` where they are.

All three are one map over partitions behind Python's Executor interface: threads by default, any other on demand. An
object comes to its name only after its bytes were hashed on the way and are what the name says, so that a wrong body
under a right name never spreads.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from registry.errors import NotFound
from registry.pointers import object_key
from registry.settings import Remote
from registry.stores import Folder, Store

if TYPE_CHECKING:
    from polars import DataFrame

Progress = Callable[[int, int], None]  # told how many more objects and bytes are done
Inspect = Callable[[str, bytes], str | None]  # a key and its bytes: what is wrong with them, or None

PART = 64  # objects in one task of an executor
STATES = ("copied", "present", "missing", "corrupt", "held")

Item = TypeVar("Item")


def open_store(remote: Remote, root: Path) -> Store:
    """The store behind a URL (s3, gs, az or azure, http, https) or a folder (relative to `root`).

    Nothing is asked of it yet, and a folder need not exist. Raises StorageFailed for a URL that names no store.
    """
    if "://" not in remote.url or remote.url.startswith("file://"):
        return Folder(root / remote.url.removeprefix("file://"))
    from registry.buckets import open_bucket

    return open_bucket(remote)


# --- between stores of objects ----------------------------------------------------------------------------------------


def transfer(
    source: Store,
    destination: Store,
    md5s: Iterable[str],
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> "DataFrame":
    """Copy objects that `destination` lacks; the `.dir` objects last, and only when everything else arrived.

    Returns the columns md5, size (bytes; 0 where nothing was read) and state, sorted by md5. States: `copied`;
    `present` (was there already; not read); `missing` at the source; `corrupt` (other bytes than the name says: not
    copied); `held` (a `.dir`, because another object is missing or corrupt). Raises StorageFailed.
    """
    names = sorted(set(md5s))
    work = partial(_copy_part, source, destination)
    run = partial(_spread, work, lanes=max(source.lanes, destination.lanes), progress=progress, executor=executor)
    rows = run([md5 for md5 in names if not md5.endswith(".dir")])
    dirs = [md5 for md5 in names if md5.endswith(".dir")]
    complete = all(state in {"copied", "present"} for _, _, state in rows)
    rows += run(dirs) if complete else [(md5, 0, "held") for md5 in dirs]
    return _states(rows)


def audit(
    store: Store, md5s: Iterable[str], *, progress: Progress | None = None, executor: Executor | None = None
) -> "DataFrame":
    """Read objects where they are: columns md5, size and state (`present`, `missing` or `corrupt`), sorted by md5."""
    work = partial(_audit_part, store)
    return _states(_spread(work, sorted(set(md5s)), lanes=store.lanes, progress=progress, executor=executor))


def _states(rows: Sequence[tuple[str, int, str]]) -> "DataFrame":
    import polars as pl

    schema = {"md5": pl.String, "size": pl.Int64, "state": pl.Enum(STATES)}
    return pl.DataFrame(rows, schema, orient="row").sort("md5")


def _copy_part(source: Store, destination: Store, md5s: Sequence[str]) -> list[tuple[str, int, str]]:
    there = set(destination.look([object_key(md5) for md5 in md5s])["key"])
    return [
        (md5, 0, "present") if object_key(md5) in there else (md5, *_copy(source, destination, md5)) for md5 in md5s
    ]


def _copy(source: Store, destination: Store, md5: str) -> tuple[int, str]:
    key = object_key(md5)
    with destination.draft(key) as draft:
        size, state = _read_through(source, md5, draft.write)
        if state != "present":
            return size, state
        return size, "copied" if draft.commit() else "present"


def _audit_part(store: Store, md5s: Sequence[str]) -> list[tuple[str, int, str]]:
    return [(md5, *_read_through(store, md5, lambda _: None)) for md5 in md5s]


def _read_through(store: Store, md5: str, take: Callable[[bytes], None]) -> tuple[int, str]:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        for chunk in store.read(object_key(md5)):
            digest.update(chunk)
            size += len(chunk)
            take(chunk)
    except NotFound:
        return 0, "missing"
    return size, "present" if digest.hexdigest() == md5.removesuffix(".dir") else "corrupt"


# --- from the lake ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ingest:
    """How to take objects from a lake: those with an MD5 in `stored` are only read, those in `sound` not inspected."""

    lake: Store
    destination: Store
    inspect: Inspect
    stored: Collection[str] = frozenset()
    sound: Collection[str] = frozenset()


def ingest(
    job: Ingest, keys: Iterable[str], *, progress: Progress | None = None, executor: Executor | None = None
) -> "DataFrame":
    """Learn the MD5 of lake objects and have each in the destination under its object key.

    Returns, in the order of `keys`: key, md5, size (bytes), fault (`missing` or `job.inspect`'s words, and nothing was
    stored; else null), inspected (`job.inspect` saw the bytes and found no fault), copied. Raises StorageFailed.
    """
    import polars as pl

    lanes = max(job.lake.lanes, job.destination.lanes)
    rows = _spread(partial(_ingest_part, job), list(keys), lanes=lanes, progress=progress, executor=executor)
    text, flag = pl.String, pl.Boolean
    names = {"key": text, "md5": text, "size": pl.Int64, "fault": text, "inspected": flag, "copied": flag}
    return pl.DataFrame([(row[0], *row[2:3], row[1], *row[3:]) for row in rows], names, orient="row")


def _ingest_part(job: Ingest, keys: Sequence[str]) -> list[tuple[str, int, str | None, str | None, bool, bool]]:
    return [_ingest_one(job, key) for key in keys]


def _ingest_one(job: Ingest, key: str) -> tuple[str, int, str | None, str | None, bool, bool]:
    try:
        data = job.lake.get(key)
    except NotFound:
        return key, 0, None, "missing", False, False
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    inspected = md5 not in job.sound
    if inspected and (fault := job.inspect(key, data)):
        return key, len(data), md5, fault, False, False
    copied = md5 not in job.stored and job.destination.put(object_key(md5), data)
    return key, len(data), md5, None, inspected, copied


# --- the map ----------------------------------------------------------------------------------------------------------


def _spread(
    work: Callable[[Sequence[Item]], list[tuple]],
    items: Sequence[Item],
    *,
    lanes: int,
    progress: Progress | None,
    executor: Executor | None,
) -> list[tuple]:
    """`work` over partitions of `items`; each row's second field is the bytes that it moved. Keeps the items' order."""
    step = max(1, min(PART, len(items) // lanes))
    parts = [items[start : start + step] for start in range(0, len(items), step)]
    done: dict[int, list[tuple]] = {}
    with nullcontext(executor) if executor else ThreadPoolExecutor(lanes) as pool:
        futures = {pool.submit(work, part): number for number, part in enumerate(parts)}
        try:
            for future in as_completed(futures):
                rows = done[futures[future]] = future.result()
                if progress:
                    progress(len(rows), sum(row[1] for row in rows))
        finally:
            for future in futures:  # after a failure or Ctrl-C; those that are done do not mind
                future.cancel()
    return [row for number in range(len(parts)) for row in done[number]]
