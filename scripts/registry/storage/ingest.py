"""Taking images from the lake into a registry's store, validated, or copied inside the server."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING

from registry.core.pointers import object_key
from registry.core.progress import Progress
from registry.errors import NotFound
from registry.storage.base import Copier, Store
from registry.storage.local import Folder
from registry.storage.parallel import processes, spread
from registry.storage.transfer import prove, refuse_damaged, require_size

if TYPE_CHECKING:
    from polars import DataFrame


Inspect = Callable[[str, bytes], str | None]  # a key and its bytes: what is wrong with them, or None

MANY = 4096  # objects from which on `inspect` is worth processes: they take 0.3 s to start, and a quarter off the time

SAMPLE = 8  # images of a lot that are read although their ETag looks like an MD5; which, their keys alone decide

PLAIN = "^[0-9a-f]{32}$"  # an ETag that may be an MD5: one of an upload in parts has a dash

# --- from the lake ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ingest:
    """How to take objects from a lake; what `elsewhere` has already is not stored a second time. Can be pickled.

    `unseen` says that stores may copy them between themselves; otherwise each is read and inspected.
    """

    lake: Store
    destination: Store
    elsewhere: Store
    inspect: Inspect
    unseen: bool = True


def ingest(
    job: Ingest, objects: "DataFrame", *, progress: Progress | None = None, executor: Executor | None = None
) -> "DataFrame":
    """Learn the MD5 of lake objects (rows of `lake.look`), and have each in the destination under its object key.

    Where lake and destination copy between themselves, images whose ETag is their MD5 are neither read nor inspected:
    a sample is, and what the copies' ETags say has to agree. So are those that a store has already.

    Returns in the same order: key, size (bytes), md5, fault (`missing` or `job.inspect`'s words, and nothing was
    stored; else null), inspected (whether `job.inspect` saw the bytes), copied. Raises StorageFailed.
    """
    import polars as pl

    lanes = max(job.lake.lanes, job.destination.lanes)
    decodes_here = isinstance(job.lake, Folder) and isinstance(job.destination, Folder) and len(objects) >= MANY
    pool = nullcontext(executor) if executor else processes() if decodes_here else ThreadPoolExecutor(lanes)
    with pool as chosen:
        run = partial(spread, lanes=lanes, progress=progress, executor=chosen)
        copier = job.destination.copier_from(job.lake) if job.unseen else None
        rows = _ingest_unseen(job, copier, objects, run) if copier else []
        seen = {row[0] for row in rows}
        rows += run(partial(_ingest_part, job), [key for key in objects["key"] if key not in seen])
    form = {"key": str, "size": int, "md5": str, "fault": str, "inspected": bool, "copied": bool}
    return objects.select("key").join(pl.DataFrame(rows, form, orient="row"), on="key", maintain_order="left")


Row = tuple[str, int, str | None, str | None, bool, bool]  # as `ingest` returns them


def _ingest_unseen(job: Ingest, copier: Copier, objects: "DataFrame", run: Callable[..., list[Row]]) -> list[Row]:
    """The rows of objects that need not be read, and of the sample that was."""
    import polars as pl

    plain = objects.filter(pl.col("etag").str.contains(PLAIN) & (pl.col("size") > 0))
    sample = nsmallest(SAMPLE, plain["key"], key=_lot)
    told = dict(plain.filter(pl.col("key").is_in(sample))["key", "etag"].rows())
    rows = run(partial(_ingest_sample, job, told), sample)
    if any(md5 != told[key] for key, _, md5, *_ in rows):
        return rows  # under SSE-KMS an ETag looks like an MD5 and is none
    rest = plain.filter(~pl.col("key").is_in(sample)).select("key", "size", "etag")
    there = {key for store in (job.destination, job.elsewhere) for key in _sound(store, rest)}
    items = [(key, size, md5, object_key(md5) in there) for key, size, md5 in rest.rows()]
    return rows + run(partial(_copy_unseen_part, job, copier), items)


def _lot(key: str) -> str:
    return _md5(key.encode())


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sound(store: Store, wanted: "DataFrame") -> list[str]:
    """The keys of those objects that a store has. Raises StorageFailed for one of another size."""
    sizes = {object_key(md5): size for _, size, md5 in wanted.rows()}
    found = store.look(list(sizes))["key", "size"].rows()
    for key, size in found:
        require_size(store, key, size, sizes[key])
    return [key for key, _ in found]


def _copy_unseen_part(job: Ingest, copier: Copier, items: Sequence[tuple[str, int, str, bool]]) -> list[Row]:
    return [
        (key, size, md5, None, False, False) if is_there else _copy_unseen(job, copier, key, size, md5)
        for key, size, md5, is_there in items
    ]


def _copy_unseen(job: Ingest, copier: Copier, key: str, size: int, md5: str) -> Row:
    """An object as the store copies it; it is read where its ETag proves to be no MD5, or it is another by now."""
    try:
        etag = copier.copy(key, object_key(md5), md5)
    except NotFound:
        return key, 0, None, "missing", False, False
    if etag == md5:
        return key, size, md5, None, False, True
    _, state = prove(job.destination, md5)
    if state == "present":
        return key, size, md5, None, False, etag is not None
    row = _ingest_one(job, key)
    if state == "corrupt" and row[2] == md5:
        refuse_damaged(job.destination, object_key(md5))
    return row


def _ingest_part(job: Ingest, keys: Sequence[str]) -> list[Row]:
    return [_ingest_one(job, key) for key in keys]


def _ingest_sample(job: Ingest, told: Mapping[str, str], keys: Sequence[str]) -> list[Row]:
    return [_ingest_one(job, key, told[key]) for key in keys]


def _ingest_one(job: Ingest, key: str, told: str = "") -> Row:
    """An object that is read; a second time where its MD5 is not what was `told`: a bit may have changed on its way."""
    try:
        data = job.lake.get(key)
        if told and _md5(data) != told:
            data = job.lake.get(key)
    except NotFound:
        return key, 0, None, "missing", False, False
    md5 = _md5(data)
    fault = job.inspect(key, data)
    copied = not fault and not _stored(job, md5, len(data)) and job.destination.put(object_key(md5), data)
    return key, len(data), md5, fault, True, copied


def _stored(job: Ingest, md5: str, size: int) -> bool:
    for store in (job.destination, job.elsewhere):
        if there := store.find(object_key(md5)):
            require_size(store, there.key, there.size, size)
            return True
    return False
