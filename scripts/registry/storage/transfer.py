"""Copying objects between stores that name them by their MD5.

An object appears under its name only when its content has that MD5, so that a wrong body under a right name never
spreads: it was hashed on its way through this machine; or, where two stores copy between themselves, the store hashed
it (a plain ETag is the MD5), copied it only while that held, and the copy has that ETag too.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial

from polars import DataFrame

from registry.core.pointers import object_key
from registry.core.progress import Progress
from registry.errors import NotFound
from registry.storage.base import Copier, Store
from registry.storage.parallel import parallel_map
from registry.storage.results import ObjectResult, ObjectState, to_frame
from registry.storage.verify import (
    NotIntact,
    VerifiedChunks,
    raise_corrupt,
    read_verified,
    retry_corrupt,
    verify_by_etag,
)


def transfer(
    source: Store,
    destination: Store,
    md5s: Iterable[str],
    *,
    known_absent: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> DataFrame:
    """Copy objects that `destination` lacks; the `.dir` objects last, and only when everything else arrived.

    `known_absent`: the destination was just found to have none of them, and is not asked again. What it has is never
    overwritten. Returns the columns md5, moved (bytes) and state (`ObjectState`), sorted by md5. Raises StorageFailed.
    """
    names = sorted(set(md5s))
    existing = set() if known_absent else set(destination.find_many([object_key(md5) for md5 in names])["key"])
    results = [ObjectResult(md5, 0, ObjectState.PRESENT) for md5 in names if object_key(md5) in existing]
    if results and progress:
        progress(len(results), 0)
    absent = [md5 for md5 in names if object_key(md5) not in existing]
    work = partial(_copy, source, destination, destination.copier_from(source))
    concurrency = max(source.concurrency, destination.concurrency)
    run = partial(parallel_map, work, concurrency=concurrency, progress=progress, executor=executor)
    results += run([md5 for md5 in absent if not md5.endswith(".dir")])
    dirs = [md5 for md5 in absent if md5.endswith(".dir")]
    complete = all(result.state.is_stored for result in results)
    results += run(dirs) if complete else [ObjectResult(md5, 0, ObjectState.SKIPPED) for md5 in dirs]
    return to_frame(results)


def _copy(source: Store, destination: Store, copier: Copier | None, md5: str) -> ObjectResult:
    if copier and (result := _copy_by_etag(copier, destination, md5)):
        return result

    def attempt() -> ObjectResult:
        return (copier and _copy_after_reading(copier, destination, md5)) or _copy_through(source, destination, md5)

    return retry_corrupt(attempt)


def _copy_through(source: Store, destination: Store, md5: str) -> ObjectResult:
    """Read an object from the source, and write it to the destination if it is intact."""
    chunks = VerifiedChunks(source.read, md5)
    try:
        is_new = destination.write(object_key(md5), chunks)
    except NotIntact as fault:
        return ObjectResult(md5, chunks.size, fault.state)
    return ObjectResult(md5, chunks.size, ObjectState.COPIED if is_new else ObjectState.PRESENT)


def _copy_by_etag(copier: Copier, destination: Store, md5: str) -> ObjectResult | None:
    """Copy an object inside the service, without reading it; None where the source's ETag is not its MD5.

    That object was uploaded in parts, is encrypted with a KMS key, or is corrupt: only reading it tells.
    """
    key, expected = object_key(md5), md5.removesuffix(".dir")
    try:
        etag = copier.copy(key, key, expected)
    except NotFound:
        return ObjectResult(md5, 0, ObjectState.MISSING)
    if etag == expected:
        return ObjectResult(md5, 0, ObjectState.COPIED)
    found = _find_intact(destination, md5)
    return None if found.state is ObjectState.MISSING else found._replace(state=_by_copy(etag))


def _copy_after_reading(copier: Copier, destination: Store, md5: str) -> ObjectResult | None:
    """Read an object, and copy it inside the service if it is still the one read; None where it is too large."""
    key = object_key(md5)
    try:
        source, chunks = copier.read(key)
        if source.size > copier.max_bytes:
            return None
        read = read_verified(lambda _: chunks, md5)
        if read.state is not ObjectState.PRESENT:
            return read
        etag = copier.copy(key, key, source.etag)
    except NotFound:
        return ObjectResult(md5, 0, ObjectState.MISSING)
    if etag in {source.etag, md5.removesuffix(".dir")}:
        return read._replace(state=ObjectState.COPIED)
    found = _find_intact(destination, md5)
    if found.state is ObjectState.MISSING:
        return read._replace(state=ObjectState.CORRUPT)  # replaced after it was read
    return ObjectResult(md5, read.moved + found.moved, _by_copy(etag))


def _by_copy(etag: str | None) -> ObjectState:
    """The state of an intact object after a copy; without an ETag, another writer came first, or an answer was lost."""
    return ObjectState.COPIED if etag else ObjectState.PRESENT


def _find_intact(store: Store, md5: str) -> ObjectResult:
    """`present` or `missing`. Raises StorageFailed for a corrupt object."""
    result = verify_by_etag(store, md5)
    if result.state is ObjectState.CORRUPT:
        raise_corrupt(store, object_key(md5))
    return result
