"""Copying objects between stores that name them by their MD5.

An object appears under its name only when its content has that MD5, so that a wrong body under a right name never
spreads: it was hashed on its way through this machine; or, where two stores copy between themselves, the store hashed
it (a plain ETag is the MD5), copied it only while that held, and the copy has that ETag too. Servers that copy whatever
lies there by now are found before the first copy (`server_side`): there, everything passes this machine.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from polars import DataFrame

from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.errors import NotFound
from registry.storage.base import Copier, Store, cluster_of
from registry.storage.parallel import parallel_map
from registry.storage.results import to_frame
from registry.storage.server_side import find_copier
from registry.storage.states import ObjectResult, ObjectState
from registry.storage.verified_reads import NotIntact, VerifiedChunks, read_verified, retry_corrupt, verify_by_etag
from registry.storage.verify import raise_corrupt

ALONE = 2  # objects that are copied one by one before many others
FEW = 8  # objects of which the smallest one goes first to an empty store


def transfer(
    source: Store,
    destination: Store,
    md5s: Iterable[str],
    *,
    known_absent: bool = False,
    progress: Progress | None = None,
) -> DataFrame:
    """Copy objects that `destination` lacks; the `.dir` objects last, and only when everything else arrived.

    `known_absent`: the destination was just found to have none of them, and is not asked again. What it has is never
    overwritten; what was erased is `missing`, and neither read nor written. Returns the columns md5, moved (bytes) and
    state (`ObjectState`), sorted by md5. Raises StorageFailed.
    """
    asked = sorted(set(md5s))
    gone = {*source.erased.find_objects(asked), *destination.erased.find_objects(asked)}
    names = [md5 for md5 in asked if md5 not in gone]
    existing = set() if known_absent else set(destination.find_many([object_key(md5) for md5 in names])["key"])
    results = [ObjectResult(md5, 0, ObjectState.PRESENT) for md5 in names if object_key(md5) in existing]
    results += [ObjectResult(md5, 0, ObjectState.MISSING) for md5 in sorted(gone)]
    if results and progress:
        progress(len(results), 0)
    absent = [md5 for md5 in names if object_key(md5) not in existing]
    files, dirs = [md5 for md5 in absent if not md5.endswith(".dir")], [md5 for md5 in absent if md5.endswith(".dir")]
    seeded = list[ObjectResult]()

    def seed() -> None:
        for md5 in _sort_some_by_size(source, files):
            seeded.append(_copy(source, destination, None, md5))
            if progress:
                progress(1, seeded[-1].moved)
            if seeded[-1].state.is_stored:
                break

    copier = find_copier(source, destination, seed) if absent else None
    files = [md5 for md5 in files if md5 not in {result.md5 for result in seeded}]
    work, cluster = partial(_copy, source, destination, copier), cluster_of(source, destination)

    def run(md5s: Sequence[str]) -> list[ObjectResult]:
        threads = max(source.readers, destination.concurrency)
        return parallel_map(work, md5s, concurrency=threads, progress=progress, executor=cluster)

    results += seeded
    # Of many objects, one before the others, and another on its connection: the source learns how near it is.
    alone = 0 if cluster or len(files) <= source.concurrency else ALONE
    for part in (*([md5] for md5 in files[:alone]), files[alone:]):
        results += run(part)
    complete = all(result.state.is_stored for result in results)
    results += run(dirs) if complete else [ObjectResult(md5, 0, ObjectState.SKIPPED) for md5 in dirs]
    return to_frame(results)


def _sort_some_by_size(source: Store, md5s: Sequence[str]) -> list[str]:
    """The first of these objects that the source has, the smallest first."""
    keys = {object_key(md5): md5 for md5 in md5s[:FEW]}
    return [keys[key] for key in source.find_many(list(keys)).sort("size", "key")["key"]]


def _copy(source: Store, destination: Store, copier: Copier | None, md5: str) -> ObjectResult:
    if copier and (result := _copy_by_etag(copier, destination, md5)):
        return result

    def attempt() -> ObjectResult:
        return (copier and _copy_after_reading(copier, destination, md5)) or _copy_through(source, destination, md5)

    return retry_corrupt(source, md5, attempt)


def replace(source: Store, destination: Store, md5s: Iterable[str], progress: Progress | None = None) -> DataFrame:
    """Store intact objects of `source` in place of damaged ones in staging, the `.dir` last; as `transfer` does."""
    names = sorted(set(md5s), key=lambda md5: (md5.endswith(".dir"), md5))
    results = []
    for md5 in names:
        results.append(retry_corrupt(source, md5, partial(_replace, source, destination, md5)))
        if progress:
            progress(1, results[-1].moved)
    return to_frame(results)


def _replace(source: Store, destination: Store, md5: str) -> ObjectResult:
    chunks = VerifiedChunks(source, md5)
    try:
        destination.replace(object_key(md5), chunks)
    except NotIntact as fault:
        return ObjectResult(md5, chunks.size, fault.state)
    return ObjectResult(md5, chunks.size, ObjectState.COPIED)


def _copy_through(source: Store, destination: Store, md5: str) -> ObjectResult:
    """Read an object from the source, and write it to the destination if it is intact."""
    chunks = VerifiedChunks(source, md5)
    try:
        is_new = destination.write(object_key(md5), chunks)
    except NotIntact as fault:
        return ObjectResult(md5, chunks.size, fault.state)
    if is_new:
        return ObjectResult(md5, chunks.size, ObjectState.COPIED)
    found = _find_intact(destination, md5)  # another writer came first, or an answer was lost
    return ObjectResult(md5, chunks.size + found.moved, ObjectState.PRESENT)


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
