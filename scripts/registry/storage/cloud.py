"""Buckets and web servers as stores, through obstore: S3, Google, Azure, and plain HTTP, which is read-only."""

import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import cached_property
from http import HTTPStatus
from itertools import chain, islice
from math import inf
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Literal, NoReturn

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from registry.core.settings import UNNAMED, Remote
from registry.errors import NotFound, StorageFailed
from registry.storage import cloud_listing, faults, retry
from registry.storage.base import CHUNK, Chunks, Copier, Put, Store, StoredObject, prefetch
from registry.storage.cloud_errors import Asked, read_failure, translate_errors
from registry.storage.faults import Access
from registry.storage.once import once
from registry.storage.remote_options import without_secrets
from registry.storage.removal import Removal
from registry.storage.s3_copy import ServerSideCopier, can_copy
from registry.storage.s3_signing import S3Location

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import ObjectStore
    from polars import DataFrame


NO_OBJECT = f"files/md5/00/{'0' * 30}"  # whose MD5 would be zero

Mode = Literal["create", "overwrite"]

SINGLE_REQUEST = 64 << 20  # bytes up to which an object is sent in one request, and kept in memory until then
RANGES = 8  # CHUNKs of a large object that are read at a time: one stream of S3 gives some 80 MB a second
READERS_PER_SECOND = 3200  # threads for each second to a response: as many as at 20 ms use the client fully
FEWEST_READERS = 16  # with a near server, 64 take a tenth more processor time by their changes, and 8 more time
# A large object takes up to 130 MB of memory on its way, so few are moved at a time. A writer may read meanwhile, and
# never the other way round: no deadlock.
_LARGE_WRITES, _LARGE_READS = BoundedSemaphore(8), BoundedSemaphore(4)


Reopen = Callable[[Remote], "Bucket"]
Eraser = Callable[[Sequence[str]], None]


class Bucket(Store):
    """A bucket, or a prefix in one; `remote` is what configures it.

    `writing` opens the same with the timeouts that uploads need: where a server refuses an upload's checksum, as some
    do, the next one is used, which sends none. AWS demands one where Object Lock has a default retention. `removal`
    is an administrator's command, `eraser` deletes keys with all of their versions. `reopen` opens the same in
    another process; without it, the bucket cannot be pickled.
    """

    concurrency = 64  # at 20 ms to the server, a thread makes some 50 requests a second

    def __init__(
        self,
        url: str,
        reading: "ObjectStore",
        writing: "Sequence[Callable[[], ObjectStore]]" = (),
        *,
        can_list: bool,
        location: S3Location | None = None,
        remote: Remote = UNNAMED,
        removal: Removal | None = None,
        eraser: "Eraser | None" = None,
        reopen: "Reopen | None" = None,
    ) -> None:
        self.url = url
        self._reopen = reopen
        self._eraser = eraser
        self._removal = removal or Removal(("delete",), f"{url}/")
        self.location = location
        self.remote = remote
        self._reading, self._open_writing = reading, writing
        self._is_known = False  # that there is such a bucket, and that it is one
        self._is_denied = False  # that this login may list, and not read every object
        self._can_list = can_list
        self._latency: float | None = None  # seconds to the quickest response to a GET
        self._copiers: dict[S3Location, ServerSideCopier] = {}  # kept for what they know of the service

    def __reduce__(self) -> tuple[Callable[..., "Bucket"], tuple[Hashable, ...]]:
        if not self._reopen:
            raise TypeError(f"{self.url} cannot be pickled")
        return once, (_reopen, self._reopen, without_secrets(self.remote), self.remote.name, self.remote.is_lake)

    @property
    def readers(self) -> int:
        """See `Store.readers`; fewer than `concurrency` where the server was found to be near."""
        return count_readers(self._latency) if self._latency is not None else self.concurrency

    def require_readable(self) -> None:
        """See `Store.require_readable`."""
        self._is_known = False
        self._require_store(denied=True)

    def _require_store(self, *, denied: bool = False) -> None:
        """Raise StorageFailed where no such bucket answers, or what answers is no object store; asked once.

        A HEAD has no body that would say so, and obstore reads a web page as an empty listing. `denied`: also where
        listing is not permitted, which does not prevent the other requests.
        """
        if self._is_known:
            return
        try:
            page = next(self._list_pages("", check=False), []) if self._can_list else []
        except StorageFailed as error:
            if denied or not any(fault.message in error.message for fault in (faults.DENIED, faults.NO_LOGIN)):
                raise
            page = []
        if not page and self._answers_everything():
            fault = faults.NOT_A_STORE.for_remote(self.remote)
            raise StorageFailed(f"{self.url}: {fault.message}", fix=fault.fix)
        self._is_known = True

    def _answers_everything(self) -> bool:
        """Whether there is an object that cannot be: a web page for every address."""
        try:
            with self._asking(Access.READ, NO_OBJECT):
                obstore.head(self._reading, NO_OBJECT)
        except StorageFailed as error:
            return faults.NOT_A_STORE.message in error.message
        except NotFound:
            return False
        return True

    def _asking(self, access: Access, key: str = "") -> AbstractContextManager[None]:
        place = f"{self.url}/{key}" if key else self.url
        return translate_errors(place, Asked(self.remote, access, self.location))

    def scan(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """See `Store.scan`."""
        return self._list_pages(prefix)

    def _list_pages(self, prefix: str, after: str = "", *, check: bool = True) -> Iterator[list[StoredObject]]:
        """The same after a key, in the order of the listing."""
        if not self._can_list:
            self._raise_read_only("listed")
        is_empty = True
        with self._asking(Access.LIST):
            page_size = cloud_listing.PAGE
            for page in obstore.list(self._reading, prefix or None, offset=after or None, chunk_size=page_size):
                is_empty = False
                yield [_as_object(one) for one in page]
        if is_empty and check:
            self._require_store()

    def find_many(self, keys: Sequence[str]) -> "DataFrame":
        """See `Store.find_many`."""
        lookup = cloud_listing.KeyLookup(self._find_or_list, self._list_pages, self.concurrency)
        return lookup.find_many(keys, can_list=self._can_list)

    def _find_or_list(self, key: str) -> StoredObject | None:
        """The same as `find`, also for a login that may list and not read, as CI's may in the lake."""
        try:
            return self.find(key)
        except StorageFailed as error:
            if faults.DENIED.message not in error.message or not self._can_list:
                raise
            page = next(self._list_pages(key.rpartition("/")[0], key[:-1], check=False), [])
            if page and page[0].key < key[:-1]:
                raise  # this server's listings have no order, so absence cannot be told
            return next((one for one in page if one.key == key), None)

    def find(self, key: str) -> StoredObject | None:
        """See `Store.find`."""
        try:
            with self._asking(Access.READ, key):
                found = _as_object(obstore.head(self._reading, key))
        except NotFound:
            found = None
        except StorageFailed as error:
            # The response to a HEAD has no body; that to a listing has one, and says whether the login has ended.
            is_denied, was_known = faults.DENIED.message in error.message, self._is_known
            if faults.BAD_REQUEST.message in error.message or (is_denied and not self._is_denied):
                self._is_known = False
            self._require_store(denied=not (is_denied and was_known))
            self._is_denied = self._is_denied or is_denied
            raise
        if self._can_list and not (found and found.etag):
            self._require_store()
        return found

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        yield from self.open(key)[1]

    def open(self, key: str) -> tuple[StoredObject, Iterator[bytes]]:
        """What one request says of an object, and its bytes in chunks. Raises NotFound."""
        found, views = self._open(key, lambda *_: None)
        return found, map(bytes, views)

    def fill(self, key: str, put: Put) -> Generator[memoryview]:
        """See `Store.fill`."""
        yield from self._open(key, put)[1]

    def _open(self, key: str, put: Put) -> tuple[StoredObject, Generator[memoryview]]:
        """What one request says of an object, and its bytes in obstore's own memory, after `put` has had them."""
        with self._asking(Access.READ, key):
            begun = time.perf_counter()
            result = obstore.get(self._reading, key)
            self._latency = min(self._latency or inf, time.perf_counter() - begun)
        found = _as_object(result.meta)
        if self._can_list and not found.etag:
            self._require_store()
        if self.location and found.size > RANGES * CHUNK:
            return found, self._read_ranges(found, put)  # the connection of `result` is closed
        return found, self._read_stream(found, result, put)

    def _read_stream(self, found: StoredObject, result: "GetResult", put: Put) -> Generator[memoryview]:
        offset = 0
        with self._asking(Access.READ, found.key):
            for data in (result.bytes(),) if found.size <= CHUNK else result.stream(min_chunk_size=CHUNK):
                put(offset, memoryview(data))
                offset += len(data)
                yield memoryview(data)

    def _read_ranges(self, found: StoredObject, put: Put) -> Generator[memoryview]:
        """A large object's bytes in their order, RANGES requests at a time, while its ETag stays the same."""
        with self._asking(Access.READ, found.key), _LARGE_READS, ThreadPoolExecutor(RANGES) as pool:
            starts = iter(range(0, found.size, CHUNK))
            pending = deque(pool.submit(self._read_range, found, start, put) for start in islice(starts, RANGES))
            while pending:
                data = pending.popleft().result()
                pending.extend(pool.submit(self._read_range, found, start, put) for start in islice(starts, 1))
                yield data

    def _read_range(self, found: StoredObject, start: int, put: Put) -> memoryview:
        end = min(start + CHUNK, found.size)
        options: GetOptions = {"range": (start, end), "if_match": f'"{found.etag}"'}
        result = obstore.get(self._reading, found.key, options=options)
        data = memoryview(result.bytes())
        if (result.meta["e_tag"] or "").strip('"') != found.etag:  # some servers ignore If-Match
            raise PreconditionError
        if len(data) != end - start:  # what is hashed in its order would lie elsewhere in the file
            raise faults.failed(f"{self.url}/{found.key}", faults.BROKEN)
        put(start, data)
        return data

    # --- writing ------------------------------------------------------------------------------------------------------

    @cached_property
    def _writing(self) -> "list[ObjectStore]":
        """The clients that upload; opened when the first object is, since each takes 0.01 s."""
        return [open_client() for open_client in self._open_writing] or [self._reading]

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
        with self._asking(Access.WRITE, key):
            for delay in retry.delays():
                time.sleep(delay)
                try:
                    return self._send(key, chunks(), mode)
                except GenericError as error:
                    if self._refuses_checksum(error):
                        continue
                    # obstore repeats only idempotent requests, and does not know that this one is.
                    if not any(kind in str(error) for kind in ("kind: Interrupted", "kind: Timeout")):
                        raise
                    last = error
            raise last

    def _refuses_checksum(self, error: GenericError) -> bool:
        """Whether the server does not know the header with the checksum; from then on it is not sent."""
        status, body = read_failure(str(error))
        is_refusal = status == HTTPStatus.NOT_IMPLEMENTED or (
            status == HTTPStatus.BAD_REQUEST and "checksum" in body.lower() and "Mismatch" not in body
        )
        if not is_refusal or "Object Lock" in body or len(self._writing) == 1:
            return False
        del self._writing[:1]
        return True

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
                obstore.put(self._writing[0], key, b"".join(buffered), mode=mode, use_multipart=False)
            except (FileExistsError, AlreadyExistsError):
                return False
            return True

    def _send_parts(self, key: str, chunks: Iterator[bytes], mode: Mode) -> bool:
        # A multipart upload cannot be create-only in obstore 0.12.
        if mode == "create" and self.has(key):
            return False
        obstore.put(self._writing[0], key, chunks)
        return True

    def copier_from(self, source: Store) -> Copier | None:
        """See `Store.copier_from`: S3 copies between buckets of one endpoint and one login."""
        if not isinstance(source, Bucket) or not self.location or not source.location:
            return None
        if not can_copy(source.location, self.location):
            return None
        if source.location not in self._copiers:
            self._copiers[source.location] = ServerSideCopier(
                source.location, self.location, source.open, self.has, remote=self.remote
            )
        return self._copiers[source.location]

    def delete(self, keys: Sequence[str]) -> None:
        """See `Store.delete`."""
        try:
            with self._asking(Access.DELETE):
                obstore.delete(self._reading, list(keys))
        except NotFound:  # Google and Azure say so, S3 does not
            self._require_store()
            for key in keys:
                with suppress(NotFound), self._asking(Access.DELETE, key):
                    obstore.delete(self._reading, [key])

    def erase(self, keys: Sequence[str]) -> None:
        """See `Store.erase`."""
        (self._eraser or self.delete)(keys)

    def removal(self, key: str) -> str:
        """See `Store.removal`."""
        return self._removal.of(key)

    def _raise_read_only(self, what: str) -> NoReturn:
        fix = "use the URL of the bucket itself (s3://, gs://, azure://)"
        raise StorageFailed(f"{self.url} cannot be {what}: plain HTTP is read-only", fix=fix)


def count_readers(latency: float) -> int:
    """The number of threads that read a bucket fully which responds within `latency` seconds."""
    return min(Bucket.concurrency, max(FEWEST_READERS, round(READERS_PER_SECOND * latency)))


def _drain(chunks: deque[bytes]) -> Iterator[bytes]:
    while chunks:
        yield chunks.popleft()


def _reopen(reopen: Reopen, remote: Remote, *_names: Hashable) -> Bucket:
    """The bucket of a remote; its names are part of messages, and so of what makes it another bucket."""
    return reopen(remote)


def _as_object(meta: "ObjectMeta") -> StoredObject:
    modified = int(meta["last_modified"].timestamp() * 1_000_000)
    return StoredObject(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), modified)
