"""Taking images from the lake into a registry's store: validated here, or copied inside the service."""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
from registry.storage.base import Copier, Store, cluster_of
from registry.storage.local import Folder
from registry.storage.parallel import parallel_map, processes
from registry.storage.server_side import OBJECTS, find_copier
from registry.storage.states import ObjectState
from registry.storage.transfer import put_intact
from registry.storage.verify import PLAIN_ETAG, find_corrupt, verify, verify_by_etag

Inspect = Callable[[str, bytes], str | None]  # a key and its bytes → what is wrong with them, or None

PROCESSES_FROM = 4096  # objects from which processes save time (25 %): they take 0.3 s to start
SAMPLE = 8  # images that are read although their ETag looks like an MD5; their keys alone decide which


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
    """An object of the lake whose ETag is its MD5."""

    key: str
    size: int
    md5: str


SCHEMA = pl.Schema(
    {"key": pl.String, "size": pl.Int64, "md5": pl.String, "fault": pl.String, "inspected": pl.Boolean}
    | {"copied": pl.Boolean}
)


def ingest(job: Ingest, objects: DataFrame, *, progress: Progress | None = None) -> DataFrame:
    """Find the MD5 of lake objects (rows of `lake.find_many`), and store each in the destination under its object key.

    Where lake and destination copy between themselves, images whose ETag is their MD5 are neither read nor inspected,
    nor are those that a store has already; a sample is, and the copies' ETags have to agree.

    Returns the fields of IngestResult as columns, in the order of `objects`. Raises StorageFailed.
    """
    concurrency = max(job.lake.concurrency, job.destination.concurrency)
    decodes = isinstance(job.lake, Folder) and isinstance(job.destination, Folder)
    use_processes = decodes and len(objects) >= PROCESSES_FROM
    cluster = cluster_of(job.lake, job.destination, job.elsewhere)
    pool = nullcontext(cluster) if cluster else processes() if use_processes else ThreadPoolExecutor(concurrency)
    with pool as chosen:
        run = partial(parallel_map, concurrency=concurrency, progress=progress, executor=chosen)
        shares = job.server_side and job.destination.copier_from(job.lake) is not None
        results = _copy_plain(job, objects, run) if shares else []
        done = {result.key for result in results}
        results += run(partial(_read, job, {}), [key for key in objects["key"] if key not in done])
    return objects.select("key").join(_to_frame(results), on="key", maintain_order="left")


def _to_frame(results: Iterable[IngestResult]) -> DataFrame:
    return DataFrame(list(results), SCHEMA, orient="row")


def _copy_plain(job: Ingest, objects: DataFrame, run: Callable[..., list[IngestResult]]) -> list[IngestResult]:
    """The results of objects that need not be read, and of the sample that was."""
    plain = objects.filter(col("etag").str.contains(PLAIN_ETAG) & (col("size") > 0))
    sample = nsmallest(SAMPLE, plain["key"], key=sample_order)
    etags: dict[str, str] = dict(plain.filter(col("key").is_in(sample))["key", "etag"].iter_rows())
    results = run(partial(_read, job, etags), sample)
    if any(result.md5 != etags[result.key] for result in results):
        return results  # under SSE-KMS an ETag looks like an MD5 and is none
    rest = plain.filter(~col("key").is_in(sample)).select("key", "size", "etag")
    stored = {key for store in (job.destination, job.elsewhere) for key in _find_stored(store, rest)}
    items = [_PlainObject(key, size, md5) for key, size, md5 in rest.iter_rows()]
    results += [_known(item) for item in items if object_key(item.md5) in stored]
    absent = [item for item in items if object_key(item.md5) not in stored]

    def seed() -> None:
        results.extend(run(partial(_read, job, {}), [item.key for item in absent[:1]]))

    copier = find_copier(job.lake, job.destination, seed) if absent else None
    done = {result.key for result in results}
    return results + (
        run(partial(_copy, job, copier), [one for one in absent if one.key not in done]) if copier else []
    )


def _known(item: _PlainObject) -> IngestResult:
    """The result of an object that a store has already."""
    return IngestResult(item.key, item.size, item.md5, None, inspected=False, copied=False)


def sample_order(key: str) -> str:
    """Sorts lake keys in an order that is random and the same everywhere."""
    return digests.md5(key.encode())


def _find_stored(store: Store, wanted: DataFrame) -> list[str]:
    """The keys of those objects that a store has, undamaged as far as their sizes and ETags tell."""
    sizes = {object_key(md5): size for _, size, md5 in wanted.iter_rows()}
    found = store.find_many(list(sizes))
    md5 = col("key").str.strip_prefix(f"{OBJECTS}/").str.replace("/", "", literal=True)
    damaged = {object_key(md5) for md5 in find_corrupt(store, found.select("etag", md5=md5))}
    return [key for key, size in found["key", "size"].iter_rows() if size == sizes[key] and key not in damaged]


def _copy(job: Ingest, copier: Copier, item: _PlainObject) -> IngestResult:
    """Copy an object inside the service; it is read where its ETag proves to be no MD5, or has changed."""
    key, size, md5 = item
    try:
        etag = copier.copy(key, object_key(md5), md5)
    except NotFound:
        return _missing(key)
    if etag == md5:
        return IngestResult(key, size, md5, None, inspected=False, copied=True)
    if verify_by_etag(job.destination, md5).state is ObjectState.PRESENT:
        return IngestResult(key, size, md5, None, inspected=False, copied=etag is not None)
    return _read(job, {}, key)


def _read(job: Ingest, etags: Mapping[str, str], key: str) -> IngestResult:
    """Read and inspect an object, and store it if it is valid; a damaged object of its name is replaced.

    A second time where its MD5 is not its ETag in `etags`: the fault may lie in the transmission.
    """
    try:
        data = job.lake.get(key)
        if key in etags and digests.md5(data) != etags[key]:
            data = job.lake.get(key)
    except NotFound:
        return _missing(key)
    md5, fault = digests.md5(data), job.inspect(key, data)
    copied = not fault and not _is_stored(job, md5, len(data)) and put_intact(job.destination, md5, data)
    return IngestResult(key, len(data), md5, fault, inspected=True, copied=copied)


def _missing(key: str) -> IngestResult:
    return IngestResult(key, 0, None, ObjectState.MISSING.value, inspected=False, copied=False)


def _is_stored(job: Ingest, md5: str, size: int) -> bool:
    """Whether a store has an object, undamaged as far as its size and its ETag tell."""
    for store in (job.destination, job.elsewhere):
        found = store.find(object_key(md5))
        if found and found.size == size:
            is_doubtful = re.search(PLAIN_ETAG, found.etag) and found.etag != md5
            if not is_doubtful or verify(store, md5).state is ObjectState.PRESENT:
                return True
    return False
