"""Taking images from the lake into a registry's store: validated here, or copied inside the service."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from typing import NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.core import digests
from registry.core.pointers import object_key
from registry.core.progress import Progress
from registry.errors import NotFound
from registry.storage.base import Copier, Store
from registry.storage.local import Folder
from registry.storage.parallel import parallel_map, processes
from registry.storage.results import ObjectState
from registry.storage.verify import raise_corrupt, require_size, verify_by_etag

Inspect = Callable[[str, bytes], str | None]  # a key and its bytes → what is wrong with them, or None

PROCESSES_FROM = 4096  # objects from which processes save time (25 %): they take 0.3 s to start
SAMPLE = 8  # images that are read although their ETag looks like an MD5; their keys alone decide which
PLAIN_ETAG = "^[0-9a-f]{32}$"  # an ETag that may be an MD5: that of an upload in parts has a dash


@dataclass(frozen=True, slots=True)
class Ingest:
    """How to take objects from a lake. What `elsewhere` has is not stored a second time. Can be pickled.

    With `server_side`, stores may copy images between themselves; otherwise every image is read and inspected.
    """

    lake: Store
    destination: Store
    elsewhere: Store
    inspect: Inspect
    server_side: bool = True


class IngestResult(NamedTuple):
    """One object of the lake: `size` in bytes; `md5` is None where it is missing.

    `fault`: `missing`, or what `inspect` found, and nothing was stored. `inspected`: its bytes were inspected here.
    `copied`: the destination did not have it before.
    """

    key: str
    size: int
    md5: str | None
    fault: str | None
    inspected: bool
    copied: bool

    @property
    def moved(self) -> int:
        """Bytes, for progress: those of the object, wherever they were moved."""
        return self.size


class _PlainObject(NamedTuple):
    """An object of the lake whose ETag is its MD5; `is_stored`: the destination or another store has it."""

    key: str
    size: int
    md5: str
    is_stored: bool


SCHEMA = pl.Schema(
    {"key": pl.String, "size": pl.Int64, "md5": pl.String, "fault": pl.String, "inspected": pl.Boolean}
    | {"copied": pl.Boolean}
)


def ingest(
    job: Ingest, objects: DataFrame, *, progress: Progress | None = None, executor: Executor | None = None
) -> DataFrame:
    """Find the MD5 of lake objects (rows of `lake.find_many`), and store each in the destination under its object key.

    Where lake and destination copy between themselves, images whose ETag is their MD5 are neither read nor inspected,
    nor are those that a store has already; a sample is, and the copies' ETags have to agree.

    Returns the fields of IngestResult as columns, in the order of `objects`. Raises StorageFailed.
    """
    concurrency = max(job.lake.concurrency, job.destination.concurrency)
    decodes = isinstance(job.lake, Folder) and isinstance(job.destination, Folder)
    use_processes = decodes and len(objects) >= PROCESSES_FROM
    pool = nullcontext(executor) if executor else processes() if use_processes else ThreadPoolExecutor(concurrency)
    with pool as chosen:
        run = partial(parallel_map, concurrency=concurrency, progress=progress, executor=chosen)
        copier = job.destination.copier_from(job.lake) if job.server_side else None
        results = _copy_plain(job, copier, objects, run) if copier else []
        done = {result.key for result in results}
        results += run(partial(_read, job, {}), [key for key in objects["key"] if key not in done])
    return objects.select("key").join(_to_frame(results), on="key", maintain_order="left")


def _to_frame(results: Iterable[IngestResult]) -> DataFrame:
    return DataFrame(list(results), SCHEMA, orient="row")


def _copy_plain(
    job: Ingest, copier: Copier, objects: DataFrame, run: Callable[..., list[IngestResult]]
) -> list[IngestResult]:
    """The results of objects that need not be read, and of the sample that was."""
    plain = objects.filter(col("etag").str.contains(PLAIN_ETAG) & (col("size") > 0))
    sample = nsmallest(SAMPLE, plain["key"], key=sample_order)
    etags: dict[str, str] = dict(plain.filter(col("key").is_in(sample))["key", "etag"].iter_rows())
    results = run(partial(_read, job, etags), sample)
    if any(result.md5 != etags[result.key] for result in results):
        return results  # under SSE-KMS an ETag looks like an MD5 and is none
    rest = plain.filter(~col("key").is_in(sample)).select("key", "size", "etag")
    stored = {key for store in (job.destination, job.elsewhere) for key in _find_stored(store, rest)}
    items = [_PlainObject(key, size, md5, object_key(md5) in stored) for key, size, md5 in rest.iter_rows()]
    return results + run(partial(_copy, job, copier), items)


def sample_order(key: str) -> str:
    """Sorts lake keys in an order that is random and the same everywhere."""
    return digests.md5(key.encode())


def _find_stored(store: Store, wanted: DataFrame) -> list[str]:
    """The keys of those objects that a store has. Raises StorageFailed for one of another size."""
    sizes = {object_key(md5): size for _, size, md5 in wanted.iter_rows()}
    found = list(store.find_many(list(sizes))["key", "size"].iter_rows())
    for key, size in found:
        require_size(store, key, size, sizes[key])
    return [key for key, _ in found]


def _copy(job: Ingest, copier: Copier, item: _PlainObject) -> IngestResult:
    """Copy an object inside the service; it is read where its ETag proves to be no MD5, or has changed."""
    key, size, md5, is_stored = item
    if is_stored:
        return IngestResult(key, size, md5, None, inspected=False, copied=False)
    try:
        etag = copier.copy(key, object_key(md5), md5)
    except NotFound:
        return _missing(key)
    if etag == md5:
        return IngestResult(key, size, md5, None, inspected=False, copied=True)
    state = verify_by_etag(job.destination, md5).state
    if state is ObjectState.PRESENT:
        return IngestResult(key, size, md5, None, inspected=False, copied=etag is not None)
    result = _read(job, {}, key)
    if state is ObjectState.CORRUPT and result.md5 == md5:
        raise_corrupt(job.destination, object_key(md5))
    return result


def _read(job: Ingest, etags: Mapping[str, str], key: str) -> IngestResult:
    """Read and inspect an object, and store it if it is valid.

    A second time where its MD5 is not its ETag in `etags`: the fault may lie in the transmission.
    """
    try:
        data = job.lake.get(key)
        if key in etags and digests.md5(data) != etags[key]:
            data = job.lake.get(key)
    except NotFound:
        return _missing(key)
    md5, fault = digests.md5(data), job.inspect(key, data)
    copied = not fault and not _is_stored(job, md5, len(data)) and job.destination.put(object_key(md5), data)
    return IngestResult(key, len(data), md5, fault, inspected=True, copied=copied)


def _missing(key: str) -> IngestResult:
    return IngestResult(key, 0, None, ObjectState.MISSING.value, inspected=False, copied=False)


def _is_stored(job: Ingest, md5: str, size: int) -> bool:
    for store in (job.destination, job.elsewhere):
        if found := store.find(object_key(md5)):
            require_size(store, found.key, found.size, size)
            return True
    return False
