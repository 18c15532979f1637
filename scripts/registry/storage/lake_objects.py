"""Taking one object of the lake: read, inspected and stored, or copied inside the service.

Worker processes run it, and start without Polars and schemas: each would take as long as a thousand images.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from registry.core import digests
from registry.core.digests import object_key
from registry.errors import NotFound
from registry.storage.base import Copier, Store
from registry.storage.states import ObjectState
from registry.storage.verified_reads import PLAIN_ETAG, put_intact, verify, verify_by_etag

Inspect = Callable[[str, bytes], str | None]  # a key and its bytes → what is wrong with them, or None


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


class PlainObject(NamedTuple):
    """An object of the lake whose ETag is its MD5."""

    key: str
    size: int
    md5: str


def copy(job: Ingest, copier: Copier, item: PlainObject) -> IngestResult:
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
    return read(job, {}, key)


def read(job: Ingest, etags: Mapping[str, str], key: str) -> IngestResult:
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
