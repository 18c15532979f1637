"""Opening stores, and moving many objects: `ingest` from a lake, `transfer` between stores, `audit` where they are.

All three are one map over partitions behind Python's Executor interface: threads by default, any other on demand. An
object comes to its name only after its bytes were hashed on the way and are what the name says, so that a wrong body
under a right name never spreads.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from registry.errors import NotFound, StorageFailed
from registry.pointers import object_key
from registry.settings import Remote
from registry.stores import Folder, Store

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from polars import DataFrame

Progress = Callable[[int, int], None]  # told how many more objects and bytes are done
Inspect = Callable[[str, bytes], str | None]  # a key and its bytes: what is wrong with them, or None

PART = 64  # objects in one task of an executor
MANY = 4096  # objects from which on `inspect` is worth processes: they take 0.3 s to start, and a quarter off the time
STATES = ("copied", "present", "missing", "corrupt", "held")


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
    """How to take objects from a lake; what `elsewhere` has already is not stored a second time. Can be pickled."""

    lake: Store
    destination: Store
    elsewhere: Store
    inspect: Inspect


def ingest(
    job: Ingest, objects: "DataFrame", *, progress: Progress | None = None, executor: Executor | None = None
) -> "DataFrame":
    """Learn the MD5 of lake objects (rows of `lake.look`), and have each in the destination under its object key.

    Returns in the same order: key, md5, size (bytes), fault (`missing` or `job.inspect`'s words, and nothing was
    stored; else null), inspected (whether `job.inspect` saw the bytes), copied. Raises StorageFailed.
    """
    import polars as pl

    keys, lanes = objects["key"].to_list(), max(job.lake.lanes, job.destination.lanes)
    decodes_here = isinstance(job.lake, Folder) and isinstance(job.destination, Folder) and len(keys) >= MANY
    pool = nullcontext(executor) if executor else _processes() if decodes_here else ThreadPoolExecutor(lanes)
    with pool as chosen:
        rows = _spread(partial(_ingest_part, job), keys, lanes=lanes, progress=progress, executor=chosen)
    form = {"key": str, "size": int, "md5": str, "fault": str, "inspected": bool, "copied": bool}
    return pl.DataFrame(rows, form, orient="row")


def _ingest_part(job: Ingest, keys: Sequence[str]) -> list[tuple[str, int, str | None, str | None, bool, bool]]:
    return [(key, *_ingest_one(job, key)) for key in keys]


def _ingest_one(job: Ingest, key: str) -> tuple[int, str | None, str | None, bool, bool]:
    try:
        data = job.lake.get(key)
    except NotFound:
        return 0, None, "missing", False, False
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    fault = job.inspect(key, data)
    copied = not fault and not _stored(job, md5, len(data)) and job.destination.put(object_key(md5), data)
    return len(data), md5, fault, True, copied


def _stored(job: Ingest, md5: str, size: int) -> bool:
    for store in (job.destination, job.elsewhere):
        if there := store.find(object_key(md5)):
            demand_size(store, there.key, there.size, size)
            return True
    return False


def demand_size(store: Store, key: str, found: int, right: int) -> None:
    """Raises StorageFailed when an object has another size (bytes) than its name allows."""
    if found != right:
        fault = f"{store.url}/{key} has {found:,} bytes where its name means {right:,}: it is damaged"
        raise StorageFailed(fault, fix="delete that object, then run the same command again")


# --- the map ----------------------------------------------------------------------------------------------------------


def _spread(
    work: Callable[[Sequence[str]], list[tuple]],
    items: Sequence[str],
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
        except BrokenExecutor as error:
            fix = "free memory, then run the same command again: what was stored stays"
            raise StorageFailed("a worker was killed, perhaps for want of memory", fix=fix) from error
        finally:
            for future in futures:  # after a failure or Ctrl-C; those that are done do not mind
                future.cancel()
    return [row for number in range(len(parts)) for row in done[number]]


def _processes() -> Executor:
    # Spawned: a forked process would inherit the locks of threads that it does not have.
    return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _follow_parent)


def _follow_parent() -> None:
    """In a worker: Ctrl-C is for the parent to act on, and when the parent is killed, nobody is left behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with, args=(parent_process(),), daemon=True).start()


def _leave_with(parent: "BaseProcess") -> None:
    parent.join()
    os._exit(1)
