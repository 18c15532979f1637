"""Buckets and web servers as stores, through obstore: S3, Google, Azure, and plain HTTP, which is read-only."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from shlex import quote
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Literal, NoReturn

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError
from polars import DataFrame

from registry.errors import NotFound, StorageFailed
from registry.storage import cloud_listing, retry
from registry.storage.base import CHUNK, Chunks, Copier, Store, StoredObject, prefetch
from registry.storage.cloud_errors import translate_errors
from registry.storage.s3_copy import ServerSideCopier, can_copy
from registry.storage.s3_signing import S3Location

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import ObjectStore


Mode = Literal["create", "overwrite"]

SINGLE_REQUEST = 64 << 20  # bytes up to which an object is sent in one request, and kept in memory until then
RANGES = 8  # CHUNKs of a large object that are read at a time: one stream of S3 gives some 80 MB a second
# A large object takes up to 130 MB of memory on its way, so few are moved at a time. A writer may read meanwhile, and
# never the other way round: no deadlock.
_LARGE_WRITES, _LARGE_READS = BoundedSemaphore(8), BoundedSemaphore(4)


class Bucket(Store):
    """A bucket, or a prefix in one; `writing`, if given, is the same with the timeouts that uploads need."""

    concurrency = 64  # at 20 ms to the server, a thread makes some 50 requests a second

    def __init__(
        self,
        url: str,
        reading: "ObjectStore",
        writing: "ObjectStore | None" = None,
        *,
        can_list: bool,
        location: S3Location | None = None,
    ) -> None:
        self.url = url
        self.location = location
        self._reading, self._writing = reading, writing or reading
        self._can_list = can_list
        self._copiers: dict[S3Location, ServerSideCopier] = {}  # kept for what they know of the service

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_copiers": {}}

    def require_readable(self) -> None:
        """See `Store.require_readable`."""
        if self._can_list:
            next(self.scan(), None)

    def scan(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """See `Store.scan`."""
        return self._list_pages(prefix)

    def _list_pages(self, prefix: str, after: str = "") -> Iterator[list[StoredObject]]:
        """The same after a key, in the order of the listing."""
        if not self._can_list:
            self._raise_read_only("listed")
        with translate_errors(self.url):
            page_size = cloud_listing.PAGE
            for page in obstore.list(self._reading, prefix or None, offset=after or None, chunk_size=page_size):
                yield [_as_object(one) for one in page]

    def find_many(self, keys: Sequence[str]) -> DataFrame:
        """See `Store.find_many`."""
        lookup = cloud_listing.KeyLookup(self.find, self._list_pages, self.concurrency)
        return lookup.find_many(keys, can_list=self._can_list)

    def find(self, key: str) -> StoredObject | None:
        """See `Store.find`."""
        try:
            with translate_errors(f"{self.url}/{key}"):
                return _as_object(obstore.head(self._reading, key))
        except NotFound:
            return None

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        yield from self.open(key)[1]

    def open(self, key: str) -> tuple[StoredObject, Iterator[bytes]]:
        """What one request says of an object, and its bytes in chunks. Raises NotFound."""
        with translate_errors(f"{self.url}/{key}"):
            result = obstore.get(self._reading, key)
        found = _as_object(result.meta)
        if self.location and found.size > RANGES * CHUNK:
            return found, self._read_ranges(found)  # the connection of `result` is closed
        return found, self._read_stream(found, result)

    def _read_stream(self, found: StoredObject, result: "GetResult") -> Iterator[bytes]:
        with translate_errors(f"{self.url}/{found.key}"):
            if found.size <= CHUNK:
                yield result.bytes().to_bytes()
            else:
                yield from map(bytes, result.stream(min_chunk_size=CHUNK))

    def _read_ranges(self, found: StoredObject) -> Iterator[bytes]:
        """A large object's bytes in their order, RANGES requests at a time, while its ETag stays the same."""
        with translate_errors(f"{self.url}/{found.key}"), _LARGE_READS, ThreadPoolExecutor(RANGES) as pool:
            starts = iter(range(0, found.size, CHUNK))
            pending = deque(pool.submit(self._read_range, found, start) for start in islice(starts, RANGES))
            while pending:
                data = pending.popleft().result()
                pending.extend(pool.submit(self._read_range, found, start) for start in islice(starts, 1))
                yield data

    def _read_range(self, found: StoredObject, start: int) -> bytes:
        options: GetOptions = {"range": (start, min(start + CHUNK, found.size)), "if_match": f'"{found.etag}"'}
        result = obstore.get(self._reading, found.key, options=options)
        if (result.meta["e_tag"] or "").strip('"') != found.etag:  # some servers ignore If-Match
            raise PreconditionError
        return result.bytes().to_bytes()

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, key: str, chunks: Chunks) -> bool:
        """See `Store.write`. After a broken connection it tries again, though the first request may have succeeded."""
        return self._write(key, chunks, "create")

    def replace(self, key: str, chunks: Chunks) -> None:
        """See `Store.replace`."""
        self._write(key, chunks, "overwrite")

    def _write(self, key: str, chunks: Chunks, mode: Mode) -> bool:
        if not self._can_list:
            self._raise_read_only("written to")
        last = GenericError()
        with translate_errors(f"{self.url}/{key}"):
            for delay in retry.delays():
                time.sleep(delay)
                try:
                    return self._send(key, chunks(), mode)
                except GenericError as error:
                    # obstore repeats only idempotent requests, and does not know that this one is.
                    if not any(kind in str(error) for kind in ("kind: Interrupted", "kind: Timeout")):
                        raise
                    last = error
            raise last

    def _send(self, key: str, chunks: Iterator[bytes], mode: Mode) -> bool:
        buffered, size = deque[bytes](), 0
        with ExitStack() as limits:
            for chunk in chunks:
                if size <= CHUNK < size + len(chunk):
                    limits.enter_context(_LARGE_WRITES)
                buffered.append(chunk)
                size += len(chunk)
                if size > SINGLE_REQUEST:
                    # In another thread, because obstore panics when what it sends calls it in turn.
                    return self._send_parts(key, prefetch(chain(_drain(buffered), chunks)), mode)
            try:
                obstore.put(self._writing, key, b"".join(buffered), mode=mode, use_multipart=False)
            except (FileExistsError, AlreadyExistsError):
                return False
            return True

    def _send_parts(self, key: str, chunks: Iterator[bytes], mode: Mode) -> bool:
        # A multipart upload cannot be create-only in obstore 0.12.
        if mode == "create" and self.has(key):
            return False
        obstore.put(self._writing, key, chunks)
        return True

    def copier_from(self, source: Store) -> Copier | None:
        """See `Store.copier_from`: S3 copies between buckets of one endpoint and one login."""
        if not isinstance(source, Bucket) or not self.location or not source.location:
            return None
        if not can_copy(source.location, self.location):
            return None
        if source.location not in self._copiers:
            self._copiers[source.location] = ServerSideCopier(source.location, self.location, source.open, self.has)
        return self._copiers[source.location]

    def delete(self, keys: Sequence[str]) -> None:
        """See `Store.delete`."""
        with translate_errors(self.url):
            obstore.delete(self._reading, list(keys))

    def removal(self, key: str) -> str:
        """See `Store.removal`."""
        place = quote(f"{self.url}/{key}")
        if self.location:
            endpoint = f" --endpoint-url {quote(self.location.endpoint)}" if self.location.endpoint else ""
            return f"aws{endpoint} s3 rm {place}"
        return f"gcloud storage rm {place}" if self.url.startswith("gs:") else f"delete {place}"

    def _raise_read_only(self, what: str) -> NoReturn:
        fix = "use the URL of the bucket itself (s3://, gs://, az://)"
        raise StorageFailed(f"{self.url} cannot be {what}: plain HTTP is read-only", fix=fix)


def _drain(chunks: deque[bytes]) -> Iterator[bytes]:
    while chunks:
        yield chunks.popleft()


def _as_object(meta: "ObjectMeta") -> StoredObject:
    modified = int(meta["last_modified"].timestamp() * 1_000_000)
    return StoredObject(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), modified)
