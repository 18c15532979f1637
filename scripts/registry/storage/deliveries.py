"""Files that others deliver into buckets or onto web servers: finding the newest, and downloading one as it is now."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from registry.core import progress
from registry.core.delivery_places import Place
from registry.core.settings import Remote
from registry.core.values import Delivery
from registry.core.wording import abbreviate, plural
from registry.errors import NotFound, Refused, RegistryError, StorageFailed
from registry.storage import faults
from registry.storage.base import StoredObject
from registry.storage.cloud import Bucket
from registry.storage.cloud_config import open_bucket
from registry.storage.logins import remote_for
from registry.storage.remote_options import require_store

REMOTE = "deliveries"  # the remote in DVC's configuration whose options are used for buckets that no remote is in
MAX_SIZE = 4 << 30  # bytes
MAX_FILES = 100_000  # in a folder
AGAIN = "run the same command again"
_PAGE = re.compile(rb"\s*<(?:!doctype|html|\?xml|head)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file as its store has it now; `url` has no login. `others` is how many older ones are beside it."""

    bucket: Bucket
    stored: StoredObject
    url: str
    others: int = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.stored.key).name

    @property
    def delivery(self) -> Delivery:
        """What is recorded of it."""
        seconds = self.stored.modified // 1_000_000  # 0 where a web server does not say it
        modified = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
        return Delivery(self.url, self.stored.etag, modified)


def find(place: Place, remotes: Mapping[str, Remote], suffixes: tuple[str, ...]) -> Delivered:
    """The file at a place, or the newest one there; `suffixes` are those of files that count.

    `remotes` are those of DVC's configuration (`logins.remote_for`). Raises NotFound where there is none, Refused where
    it cannot be told which is meant, and StorageFailed.
    """
    require_store(place.root)
    bucket = open_bucket(remote_for(place.root, remotes, (REMOTE, "staging")))
    if place.is_folder:
        files = _list(bucket, place, suffixes)
        stored = _newest(files, place)
        return Delivered(bucket, stored, f"{place.root}/{stored.key}", len(files) - 1)
    if place.scheme == "https":
        return Delivered(bucket, _head_of_page(bucket, place), str(place))
    found = bucket.find(place.key)
    if found is None:
        fix = "check the URL; one that ends in / takes the newest file of that folder"
        raise NotFound(f"{place} does not exist", fix=fix)
    return Delivered(bucket, found, str(place))


def _head_of_page(bucket: Bucket, place: Place) -> StoredObject:
    """A file of a web server, which need not know what stores of objects do."""
    fix = "check the URL; or download the file, and give its path"
    try:
        return bucket.head(place.key)
    except NotFound as error:
        raise NotFound(f"{place} does not exist, or its server answers no HEAD request", fix=fix) from error
    except StorageFailed as error:
        if faults.NOT_A_STORE.message not in error.message:
            raise
        raise StorageFailed(f"{place}: the server does not say how large the file is", fix=fix) from error


def _list(bucket: Bucket, place: Place, suffixes: tuple[str, ...]) -> list[StoredObject]:
    """The files directly in the folder."""
    files, seen = list[StoredObject](), 0
    for page in bucket.scan(place.folder):
        seen += len(page)
        if seen > MAX_FILES:
            fault = f"{place.root}/{place.folder} has more than {MAX_FILES:,} files"
            raise Refused(fault, fix="deliver into a folder of its own, or name the one file")
        files += [one for one in page if place.takes(one.key) and one.key.lower().endswith(suffixes)]
    if not files:
        fault = f"{place}: no delivery is there, of {plural(seen, 'file')} in and below the folder"
        raise NotFound(fault, fix="check the URL, and that Looker has delivered")
    return files


def _newest(files: Sequence[StoredObject], place: Place) -> StoredObject:
    """The file that was written last. Raises Refused where several kinds of files are there, or two are the last."""
    kinds = {re.sub(r"[0-9]+", "*", PurePosixPath(one.key).name) for one in files}
    if len(kinds) > 1 and not place.is_pattern:
        names = sorted(kinds)
        fault = f"{place} has files of several deliveries: {abbreviate(names, 5)}"
        raise Refused(fault, fix=f"say which is meant, such as {place}{names[0]}")
    last = max(one.modified for one in files)
    newest = [one for one in files if one.modified == last]
    if len(newest) > 1:
        names = [PurePosixPath(one.key).name for one in newest]
        raise Refused(f"{place}: {abbreviate(names, 5)} were written at the same time", fix="name one of them")
    return newest[0]


def download(found: Delivered, folder: Path) -> tuple[Path, Delivered]:
    """The file, downloaded into `folder` under its own ending, and what its store says of the bytes that came.

    Raises Refused for what is too large, no file, or replaced while it was read; NotFound and StorageFailed.
    """
    stored, chunks = found.bucket.open(found.stored.key)
    if stored.size > MAX_SIZE:
        fault = f"{found.url} has {stored.size:,} bytes, expected at most {MAX_SIZE:,}"
        raise Refused(fault, fix="deliver the columns of the manifest only")
    suffixes = PurePosixPath(found.name.lower()).suffixes
    target = folder / f"delivery{''.join(suffixes[-2:] if suffixes[-1:] == ['.gz'] else suffixes[-1:])}"
    received = 0
    with target.open("wb") as out, progress.counter("downloading", "B", stored.size) as advance:
        for chunk in chunks:
            if not received and _PAGE.match(chunk):
                raise _page(found)
            out.write(chunk)
            advance(len(chunk))
            received += len(chunk)
    if received != stored.size:
        raise StorageFailed(f"{found.url} was cut off: {received:,} of {stored.size:,} bytes came", fix=AGAIN)
    _require_unchanged(found, stored)
    return target, Delivered(found.bucket, stored, found.url, found.others)


def _page(found: Delivered) -> RegistryError:
    fault = f"{found.url} answers with a web page, expected a table"
    return Refused(fault, fix="it may ask for a login: download the file in a browser, and give its path")


def _require_unchanged(found: Delivered, read: StoredObject) -> None:
    """Raise Refused where the file is another one by now: a server may have sent some of both."""
    now = found.bucket.find(read.key)
    if now is None or (now.etag, now.size, now.modified) != (read.etag, read.size, read.modified):
        raise Refused(f"{found.url} was replaced while it was read", fix=AGAIN)
