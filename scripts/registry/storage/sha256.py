"""The SHA-256 of objects, whose names are MD5s: two files with one MD5 can be made, and with one SHA-256 cannot."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from polars import DataFrame

from registry.core.progress import Progress
from registry.storage.base import Store
from registry.storage.parallel import parallel_map
from registry.storage.results import SCHEMA
from registry.storage.states import ObjectResult
from registry.storage.verified_reads import read_verified, retry_corrupt


class HashedObject(NamedTuple):
    """One object that was read: `moved` bytes, its state, and its SHA-256; None where it is missing or corrupt."""

    md5: str
    moved: int
    state: str
    sha256: str | None


def hash_objects(store: Store, md5s: Iterable[str], progress: Progress | None = None) -> DataFrame:
    """Read objects: columns md5, moved (bytes), state (`present`, `missing` or `corrupt`) and sha256 (null if neither).

    Raises StorageFailed.
    """
    work = partial(_hash, store)
    found = parallel_map(
        work, sorted(set(md5s)), concurrency=store.concurrency, progress=progress, executor=store.cluster
    )
    return DataFrame(found, {**SCHEMA, "sha256": str}, orient="row")


def _hash(store: Store, md5: str) -> HashedObject:
    digest = hashlib.sha256()

    def read(key: str) -> Iterator[bytes]:
        for chunk in store.read(key):
            digest.update(chunk)
            yield chunk

    def attempt() -> ObjectResult:
        nonlocal digest
        digest = hashlib.sha256()
        return read_verified(read, md5)

    found = retry_corrupt(store, md5, attempt)
    return HashedObject(md5, found.moved, found.state, digest.hexdigest() if found.state.is_stored else None)
