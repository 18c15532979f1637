"""Stores that are not folders, through obstore: S3, Google, Azure, and plain HTTP to read from."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import chain, islice
from posixpath import commonpath
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from registry.core.settings import Remote
from registry.errors import NotFound, StorageFailed
from registry.storage import s3_copy, s3_credentials
from registry.storage.base import CHUNK, Chunks, Copier, Object, Store, ahead, table
from registry.storage.cloud_errors import explained

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore
    from polars import DataFrame

AT_ONCE = 64 << 20  # bytes up to which an object is sent in one request, and kept in memory until then
ASKED = 1000  # keys up to which each is asked for alone: a listing gives 1,000 a request, but of everything
FEW = 2  # keys of one folder up to which they are asked for, also among many
PAGE_COST = 20  # requests for a key that cost what a page of a listing costs (measured: 1 ms and 20 ms)
RUN = 3  # pages that one lane lists
PARTED = 8  # CHUNKs of a large object that are read at a time: one stream of S3 gives some 80 MB a second
LISTED = 1000  # objects in a chunk of a listing

# DVC's options (dvc.config_schema) in obstore's words; what is not here concerns DVC alone.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "s3": {"allow_anonymous_login": "skip_signature"},  # the rest: `_s3_place`
    "gs": {"credentialpath": "service_account", "allow_anonymous_login": "skip_signature"},
    "az": {
        "account_name": "account_name",
        "account_key": "account_key",
        "sas_token": "sas_token",
        "tenant_id": "tenant_id",
        "client_id": "client_id",
        "client_secret": "client_secret",
        "allow_anonymous_login": "skip_signature",
    },
    "http": {},
    "https": {},
}
# The same for who signs, in the words of `s3.Login`.
LOGIN = {
    "access_key_id": "access_key",
    "secret_access_key": "secret_key",
    "session_token": "token",
    "profile": "profile",
    "configpath": "config_file",
    "credentialpath": "credentials_file",
}
ALIASES = {"azure": "az", "gcs": "gs"}
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # botocore's, and so DVC's; the first that is set holds

# A place that refuses is told of after some 10 seconds; obstore's own 10 tries can take three minutes.
PATIENCE: Mapping[str, Any] = {
    "max_retries": 7,
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=2), "base": 2},
    "retry_timeout": timedelta(seconds=35),  # after which no further try begins: one that meets SILENCE has a second
}
SILENCE = timedelta(seconds=30)  # after which an answer that does not go on is given up
SENDING = timedelta(minutes=5)  # the same for what is sent: reqwest takes all the time that it is under way for silence


def open_bucket(remote: Remote) -> "Bucket":
    """The store behind a URL. Raises StorageFailed for one that names no store."""
    from obstore.store import from_url

    parts = urlsplit(remote.url)
    scheme = ALIASES.get(parts.scheme, parts.scheme)
    shown = f"{scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    if scheme not in OPTIONS or not parts.hostname:
        fix = "use a folder, or s3://, gs://, az://, https:// and the bucket's name"
        raise StorageFailed(f"{shown} is not a place that objects can be in", fix=fix)
    place = _s3_place(parts.hostname, parts.path, remote.options) if scheme == "s3" else None
    client = {
        "timeout": timedelta(hours=1),  # of a whole request: obstore's 30 s cut large objects off
        "allow_http": (place.endpoint if place else remote.url).startswith("http:"),
    }
    options = _options(scheme, place, remote.options)
    with explained(shown):
        url = remote.url.replace(parts.scheme, scheme, 1)
        store, sender = (
            from_url(url, client_options={**client, "read_timeout": silence}, retry_config=PATIENCE, **options)
            for silence in (SILENCE, SENDING)
        )
    return Bucket(shown, store, sender, can_list=not scheme.startswith("http"), place=place)


def _options(scheme: str, place: s3_copy.Place | None, options: Mapping[str, str]) -> dict[str, Any]:
    """What obstore is told of a store beyond its URL."""
    if scheme.startswith("http"):
        return {}
    config = {ours: options[name] for name, ours in OPTIONS[scheme].items() if name in options}
    if not place:
        return {"config": config}
    config |= {"region": place.region} | ({"endpoint": place.endpoint} if place.endpoint else {})
    signer = {} if place.login.is_anonymous else {"credential_provider": s3_credentials.Provider(place.login)}
    return {"config": config, **signer}


def _s3_place(bucket: str, path: str, options: Mapping[str, str]) -> s3_copy.Place:
    """Where DVC would look, and as whom."""
    named = {ours: options[name] for name, ours in LOGIN.items() if name in options}
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    login = s3_credentials.Login(**named, is_anonymous=options.get("allow_anonymous_login", "").lower() == "true")
    region = (
        options.get("region") or os.environ.get("AWS_REGION") or s3_credentials.configured_region(login) or "us-east-1"
    )
    return s3_copy.Place(bucket, path.strip("/"), options.get("endpointurl", endpoint).rstrip("/"), region, login)


class Bucket(Store):
    """A bucket, or a prefix in one; `sender`, if there is one, has the patience that uploads need."""

    lanes = 64  # at 20 ms to the server, a lane makes some 50 requests a second

    def __init__(
        self,
        url: str,
        store: "ObjectStore",
        sender: "ObjectStore | None" = None,
        *,
        can_list: bool,
        place: s3_copy.Place | None = None,
    ) -> None:
        self.url = url
        self.place = place
        self._store, self._sender = store, sender or store
        self._can_list = can_list

    def require(self) -> None:
        """See `Store.require`."""
        if self._can_list:
            next(self.scan(), None)

    def scan(self, prefix: str = "") -> Iterator[list[Object]]:
        """See `Store.scan`."""
        yield from self._pages(prefix)

    def _pages(self, prefix: str, after: str = "") -> Iterator[list[Object]]:
        """The same from a place on, in the listing's own order."""
        import obstore

        if not self._can_list:
            self._refuse("listed")
        with explained(self.url):
            for chunk in obstore.list(self._store, prefix or None, offset=after or None, chunk_size=LISTED):
                yield [_object(one) for one in chunk]

    def look(self, keys: Sequence[str]) -> "DataFrame":
        """See `Store.look`."""
        import polars as pl

        frames, left = [], list(dict.fromkeys(keys))
        with ThreadPoolExecutor(self.lanes) as pool:
            if self._can_list and len(left) > ASKED:
                folders, left = _by_folder(left), []
                if len(folders) > 1 and (ranges := self._list_ranges(folders)) is not None:
                    return ranges.unique("key", keep="first", maintain_order=True)
                for found, unsure in pool.map(self._list_some, folders, folders.values()):
                    frames.append(found)
                    left += unsure
            frames.append(table(one for one in pool.map(self.find, left) if one))
            return pl.concat(frames)

    def _list_ranges(self, folders: dict[str, set[str]]) -> "DataFrame | None":
        """Those keys that listings across folders have; None where asking for keys or folders is cheaper.

        The first page tells how many there are: what 256 folders hold is often a few pages of 1,000.
        """
        import polars as pl

        above, names = commonpath(folders), sorted(folders)
        first = next(self._pages(above), [])
        if len(first) < LISTED:
            return table(one for one in first if one.key in folders.get(one.key.rpartition("/")[0], ()))
        seen = sum(f"{name}0" <= first[-1].key for name in names)  # 0 comes after /
        pages = len(names) / max(seen, 0.5)
        if pages * PAGE_COST > sum(map(len, folders.values())):
            return None
        step = max(1, round(seen * RUN))
        ends = ["", *(f"{name}0" for name in names[step - 1 : -1 : step]), f"{names[-1]}0"]
        with ThreadPoolExecutor(self.lanes) as pool:
            found = list(pool.map(lambda *run: self._list_run(above, *run, folders), ends[:-1], ends[1:]))
        return None if None in found else pl.concat(map(table, found))

    def _list_run(self, above: str, after: str, end: str, folders: Mapping[str, set[str]]) -> list[Object] | None:
        """The wanted objects between two keys; None where a listing has no order, as in S3 Express.

        Neither key is the start of a folder's name: SeaweedFS 4.48 leaves out the folder that a listing starts at.
        """
        found, last = [], after
        for page in self._pages(above, after):
            keys = [last, *(one.key for one in page)]
            if keys != sorted(keys):
                return None
            found += [one for one in page if one.key in folders.get(one.key.rpartition("/")[0], ())]
            if (last := keys[-1]) > end:
                break
        return found

    def _list_some(self, folder: str, keys: set[str]) -> "tuple[DataFrame, list[str]]":
        """Those of a folder's keys that its listing has; and those that may stand further on, where asking is cheaper.

        So looking costs at most twice what the cheaper way does, however much the folder holds.
        """
        import polars as pl

        if len(keys) <= FEW:
            return table([]), list(keys)
        frames, left = [table([])], set(keys)
        for number, page in enumerate(self.scan(folder), 1):
            frames.append(table(one for one in page if one.key in left))
            left.difference_update(frames[-1]["key"])
            if not left or (number * self.lanes >= len(keys) and len(page) == LISTED):
                return pl.concat(frames), list(left)
        return pl.concat(frames), []

    def find(self, key: str) -> Object | None:
        """See `Store.find`."""
        import obstore

        try:
            with explained(f"{self.url}/{key}"):
                return _object(obstore.head(self._store, key))
        except NotFound:
            return None

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        yield from self.open(key)[1]

    def open(self, key: str) -> tuple[Object, Iterator[bytes]]:
        """What one request says of an object, and its bytes in chunks. Raises NotFound."""
        import obstore

        with explained(f"{self.url}/{key}"):
            answer = obstore.get(self._store, key)
        found = _object(answer.meta)
        if self.place and found.size > PARTED * CHUNK:
            return found, self._read_parts(found)  # and the answer's connection is given up
        return found, self._read_whole(found, answer)

    def _read_whole(self, found: Object, answer: "GetResult") -> Iterator[bytes]:
        with explained(f"{self.url}/{found.key}"):
            if found.size <= CHUNK:
                yield answer.bytes().to_bytes()
            else:
                yield from map(bytes, answer.stream(min_chunk_size=CHUNK))

    def _read_parts(self, found: Object) -> Iterator[bytes]:
        """A large object's bytes in their order, PARTED ranges under way at a time, as long as it stays the same."""
        with explained(f"{self.url}/{found.key}"), _FEW_READ, ThreadPoolExecutor(PARTED) as pool:
            starts = iter(range(0, found.size, CHUNK))
            coming = deque(pool.submit(self._read_part, found, start) for start in islice(starts, PARTED))
            while coming:
                data = coming.popleft().result()
                coming.extend(pool.submit(self._read_part, found, start) for start in islice(starts, 1))
                yield data

    def _read_part(self, found: Object, start: int) -> bytes:
        import obstore

        options = {"range": (start, min(start + CHUNK, found.size)), "if_match": f'"{found.etag}"'}
        return obstore.get(self._store, found.key, options=options).bytes().to_bytes()

    def write(self, key: str, chunks: Chunks) -> bool:
        """See `Store.write`. A connection that broke is no reason to stop, though the first try may have arrived."""
        from obstore.exceptions import GenericError

        if not self._can_list:
            self._refuse("written to")
        broken = GenericError()
        with explained(f"{self.url}/{key}"):
            for wait in s3_copy.waits():
                time.sleep(wait)
                try:
                    return self._send(key, chunks())
                except GenericError as error:
                    # obstore repeats only what does no harm twice, and does not know that this does none.
                    if "kind: Interrupted" not in str(error):
                        raise
                    broken = error
            raise broken

    def _send(self, key: str, chunks: Iterator[bytes]) -> bool:
        import obstore

        start, size = deque[bytes](), 0
        with ExitStack() as held:
            for chunk in chunks:
                if size <= CHUNK < size + len(chunk):
                    held.enter_context(_FEW_WRITTEN)
                start.append(chunk)
                size += len(chunk)
                if size > AT_ONCE:
                    # In another thread, because obstore panics when what it sends asks it in turn.
                    return self._send_parts(key, ahead(chain(_drained(start), chunks)))
            try:
                obstore.put(self._sender, key, b"".join(start), mode="create", use_multipart=False)
            except (FileExistsError, obstore.exceptions.AlreadyExistsError):
                return False
            return True

    def _send_parts(self, key: str, chunks: Iterator[bytes]) -> bool:
        import obstore

        # A multipart upload cannot be create-only in obstore 0.12.
        if self.has(key):
            return False
        obstore.put(self._sender, key, chunks)
        return True

    def copier_from(self, source: Store) -> Copier | None:
        """See `Store.copier_from`: S3 copies between buckets that one identity asks at one endpoint."""
        if isinstance(source, Bucket) and self.place and source.place and s3_copy.can_copy(source.place, self.place):
            return s3_copy.Inside(source.place, self.place, source.open, self.has)
        return None

    def _refuse(self, what: str) -> NoReturn:
        fix = "name the bucket itself (s3://, gs://, az://)"
        raise StorageFailed(f"{self.url} cannot be {what}: plain HTTP only reads", fix=fix)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        import obstore

        with explained(self.url):
            obstore.delete(self._store, list(keys))


def _by_folder(keys: Sequence[str]) -> dict[str, set[str]]:
    folders: dict[str, set[str]] = {}
    for key in keys:
        folders.setdefault(key.rpartition("/")[0], set()).add(key)
    return folders


# What is larger than a CHUNK (PARTED of them) takes up to 130 MB of memory on its way, so few are at a time. Who writes
# may read meanwhile, and never the other way round: none waits for ever.
_FEW_WRITTEN, _FEW_READ = BoundedSemaphore(8), BoundedSemaphore(4)


def _drained(chunks: deque[bytes]) -> Iterator[bytes]:
    while chunks:
        yield chunks.popleft()


def _object(meta: Mapping[str, Any]) -> Object:
    modified: datetime = meta["last_modified"]
    return Object(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'), int(modified.timestamp() * 1_000_000))
