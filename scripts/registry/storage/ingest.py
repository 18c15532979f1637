"""Taking images from the lake into a registry's store: validated here, or copied inside the service."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from heapq import nsmallest

import polars as pl
from polars import DataFrame, col

from registry.core import digests
from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.storage.base import Store, cluster_of
from registry.storage.lake_objects import Ingest, IngestResult, PlainObject, copy, read
from registry.storage.local import Folder
from registry.storage.parallel import parallel_map, processes
from registry.storage.server_side import OBJECTS, find_copier
from registry.storage.verified_reads import PLAIN_ETAG
from registry.storage.verify import find_corrupt

PROCESSES_FROM = 4096  # objects from which processes save time (25 %): they take 0.3 s to start
TASK = 256  # objects that a process takes at once, at most: a task costs 0.7 ms beside its work
TASK_BYTES = 4 << 20  # of them, on average: an interrupt waits for the tasks that have begun
SAMPLE = 8  # images that are read although their ETag looks like an MD5; their keys alone decide which


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
    cluster = cluster_of(job.lake, job.destination, job.elsewhere)
    use_processes = decodes and len(objects) >= PROCESSES_FROM and not cluster
    pool = nullcontext(cluster) if cluster else processes() if use_processes else ThreadPoolExecutor(concurrency)
    with pool as chosen:
        run = partial(parallel_map, concurrency=concurrency, progress=progress, executor=chosen)
        if use_processes:
            run = partial(run, concurrency=os.cpu_count() or 1, most=_count_per_task(objects["size"]))
        shares = job.server_side and job.destination.copier_from(job.lake) is not None
        results = _copy_plain(job, objects, run) if shares else []
        done = {result.key for result in results}
        results += run(partial(read, job, {}), [key for key in objects["key"] if key not in done])
    return objects.select("key").join(_to_frame(results), on="key", maintain_order="left")


def _count_per_task(sizes: pl.Series) -> int:
    """How many objects of these sizes a process takes at once."""
    return max(1, min(TASK, TASK_BYTES * len(sizes) // max(1, int(sizes.sum()))))


def _to_frame(results: Iterable[IngestResult]) -> DataFrame:
    return DataFrame(list(results), SCHEMA, orient="row")


def _copy_plain(job: Ingest, objects: DataFrame, run: Callable[..., list[IngestResult]]) -> list[IngestResult]:
    """The results of objects that need not be read, and of the sample that was."""
    plain = objects.filter(col("etag").str.contains(PLAIN_ETAG) & (col("size") > 0))
    sample = nsmallest(SAMPLE, plain["key"], key=sample_order)
    etags: dict[str, str] = dict(plain.filter(col("key").is_in(sample))["key", "etag"].iter_rows())
    results = run(partial(read, job, etags), sample)
    if any(result.md5 != etags[result.key] for result in results):
        return results  # under SSE-KMS an ETag looks like an MD5 and is none
    rest = plain.filter(~col("key").is_in(sample)).select("key", "size", "etag")
    stored = {key for store in (job.destination, job.elsewhere) for key in _find_stored(store, rest)}
    items = [PlainObject(key, size, md5) for key, size, md5 in rest.iter_rows()]
    results += [_known(item) for item in items if object_key(item.md5) in stored]
    absent = [item for item in items if object_key(item.md5) not in stored]

    def seed() -> None:
        results.extend(run(partial(read, job, {}), [item.key for item in absent[:1]]))

    copier = find_copier(job.lake, job.destination, seed) if absent else None
    done = {result.key for result in results}
    return results + (run(partial(copy, job, copier), [one for one in absent if one.key not in done]) if copier else [])


def _known(item: PlainObject) -> IngestResult:
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
