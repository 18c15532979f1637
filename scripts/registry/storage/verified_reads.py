"""Reading an object with the proof that it is intact: its content has the MD5 that is its name."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

from registry.core.digests import object_key
from registry.errors import NotFound, StorageFailed
from registry.storage.base import FillingChunks, Put, Store
from registry.storage.states import ObjectResult, ObjectState

PLAIN_ETAG = "^[0-9a-f]{32}$"  # an ETag that may be an MD5: that of an upload in parts has a dash
Data = TypeVar("Data", bytes, memoryview)
Read = Callable[[str], Iterator[bytes]]  # an object's chunks, by its key


class NotIntact(Exception):
    """The object is `missing` or `corrupt`."""

    def __init__(self, state: ObjectState) -> None:
        super().__init__(state)
        self.state = state


class Proof:
    """Hashes chunks on their way. `size` is the number of bytes so far."""

    def __init__(self, md5: str) -> None:
        self._md5 = md5
        self.size = 0

    def check(self, chunks: Iterator[Data]) -> Iterator[Data]:
        """The same chunks; raises NotIntact, after the last one where the MD5 is not the object's name."""
        digest, self.size = hashlib.md5(usedforsecurity=False), 0
        try:
            for chunk in chunks:
                digest.update(chunk)
                self.size += len(chunk)
                yield chunk
        except NotFound:
            raise NotIntact(ObjectState.MISSING) from None
        if digest.hexdigest() != self._md5.removesuffix(".dir"):
            raise NotIntact(ObjectState.CORRUPT)


class VerifiedChunks(FillingChunks):
    """The chunks of an object in `source`, with a Proof: after the last one they raise NotIntact."""

    def __init__(self, source: Store, md5: str) -> None:
        self._source, self._key, self._proof = source, object_key(md5), Proof(md5)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._proof.size

    def __call__(self) -> Iterator[bytes]:
        """See `Chunks`."""
        return self._proof.check(self._source.read(self._key))

    def fill(self, put: Put) -> None:
        """See `FillingChunks.fill`."""
        with closing(self._source.fill(self._key, put)) as views:
            deque(self._proof.check(views), maxlen=0)


def read_verified(read: Read, md5: str) -> ObjectResult:
    """Read an object once: `present`, `missing` or `corrupt`."""
    proof = Proof(md5)
    try:
        deque(proof.check(read(object_key(md5))), maxlen=0)
    except NotIntact as fault:
        return ObjectResult(md5, proof.size, fault.state)
    return ObjectResult(md5, proof.size, ObjectState.PRESENT)


def retry_corrupt(store: Store, md5: str, attempt: Callable[[], ObjectResult]) -> ObjectResult:
    """A corrupt object of `store` is read a second time, and looked up: the fault may lie in the transmission.

    Raises StorageFailed where the store says that it has the right bytes, or does not answer as a store of objects.
    """
    result = attempt()
    if result.state is ObjectState.CORRUPT:
        result = attempt()
    if result.state is ObjectState.CORRUPT:
        store.require_readable()
        found = store.find(object_key(md5))
        if found and found.etag == md5.removesuffix(".dir"):
            place = f"{store.url}/{object_key(md5)}"
            raise StorageFailed(
                f"{place}: the bytes that arrived here do not match the checksum that the server has of them",
                fix="check what is between this machine and the server, such as a proxy, then try again",
            )
    return result


def verify(store: Store, md5: str) -> ObjectResult:
    """Read an object: `present`, `missing` or `corrupt`."""
    return retry_corrupt(store, md5, lambda: read_verified(store.read, md5))


def verify_by_etag(store: Store, md5: str) -> ObjectResult:
    """The same; the object is read only where its ETag does not prove it (a bucket's plain ETag is the MD5)."""
    found = store.find(object_key(md5))
    if not found:
        return ObjectResult(md5, 0, ObjectState.MISSING)
    if found.etag == md5.removesuffix(".dir"):
        return ObjectResult(md5, 0, ObjectState.PRESENT)
    return verify(store, md5)


def put_intact(staging: Store, md5: str, data: bytes) -> bool:
    """Store an object in staging, also in place of a damaged one; False where it has an intact one."""
    key = object_key(md5)
    if staging.put(key, data):
        return True
    if verify_by_etag(staging, md5).state is ObjectState.PRESENT:
        return False
    staging.replace(key, lambda: iter((data,)))
    return True
