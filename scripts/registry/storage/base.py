"""What a place of objects is (lake, staging, production, a cache), and the one that is a folder.

Nothing here ever overwrites an object; only `gc` deletes any, from staging. A folder is written with the system's own
calls, because object_store's create-only write of a local file costs 2.5 times as much (a link and an unlink for each),
and because DVC's objects are read-only files; buckets are in `buckets`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from registry.errors import NotFound

if TYPE_CHECKING:
    from polars import DataFrame


CHUNK = 8 << 20  # bytes that are read at once: an image is one chunk, a model's weights are many
AT_ONCE = 65_536  # objects that wait to be put into a frame


class Object(NamedTuple):
    """What a store knows of an object without reading it: size in bytes, modified in microseconds since 1970.

    `etag` changes whenever the bytes do; a bucket's plain ones are their MD5, a folder's never are.
    """

    key: str
    size: int
    etag: str
    modified: int


Chunks = Callable[[], Iterator[bytes]]  # gives an object's bytes, in each call from their start


class Copier(ABC):
    """Copies objects inside the service that two stores share: no byte of them comes here. Can be pickled.

    `largest` is the size of object (bytes) up to which it can.
    """

    largest: int

    @abstractmethod
    def copy(self, source: str, key: str, etag: str) -> str | None:
        """Copy the object `source`, as long as it has this etag, to `key`, unless an object is there.

        Returns the copy's etag; None when one of both does not hold. Raises NotFound (no source) and StorageFailed.
        """

    @abstractmethod
    def read(self, source: str) -> tuple[Object, Iterator[bytes]]:
        """An object of the source, and its bytes in chunks: those that an object of this etag has. Raises NotFound."""


class Store(ABC):
    """Objects by key. `url` is fit to be shown; `lanes` is how many threads keep the place busy. Can be pickled."""

    url: str
    lanes: int

    @abstractmethod
    def require(self) -> None:
        """Raises StorageFailed when the place is not there or cannot be read."""

    @abstractmethod
    def scan(self, prefix: str = "") -> Iterator[list[Object]]:
        """Every object below the folder `prefix`, in chunks, in any order; none where there is no such place yet."""

    @abstractmethod
    def look(self, keys: Sequence[str]) -> "DataFrame":
        """Those of `keys` that exist, as `list` gives them; listed or asked for, whichever is cheaper."""

    @abstractmethod
    def find(self, key: str) -> Object | None:
        """What is known of one object; None where there is none."""

    @abstractmethod
    def read(self, key: str) -> Iterator[bytes]:
        """An object's bytes, in chunks. Raises NotFound."""

    @abstractmethod
    def write(self, key: str, chunks: Chunks) -> bool:
        """Show an object under its key once it is whole; False when one was there already, which stays.

        What `chunks` raises ends it, and nothing is left of it.
        """

    def copier_from(self, source: "Store") -> Copier | None:  # noqa: ARG002 - for those that can
        """What copies objects of `source` to this store without reading them; None where nothing does."""
        return None

    def list(self, prefix: str = "") -> "DataFrame":
        """Every object below the folder `prefix`: columns key, size (bytes), etag, modified (UTC), sorted by key."""
        import polars as pl

        return pl.concat([table([]), *map(table, self.scan(prefix))]).sort("key")

    def head(self, key: str) -> Object:
        """What is known of one object. Raises NotFound."""
        if found := self.find(key):
            return found
        raise NotFound(f"{self.url}/{key} does not exist")

    def has(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        return self.find(key) is not None

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises NotFound."""
        return b"".join(self.read(key))

    def put(self, key: str, data: bytes) -> bool:
        """Store `data` under `key`; False when an object was there already, which stays."""
        return self.write(key, lambda: iter((data,)))


def table(objects: Iterable[Object]) -> "DataFrame":
    """Objects as a frame: columns key, size (bytes), etag, modified (UTC)."""
    import polars as pl

    form = {"key": pl.String, "size": pl.Int64, "etag": pl.String, "modified": pl.Datetime("us", "UTC")}
    left, parts = iter(objects), [pl.DataFrame(schema=form)]
    while part := list(islice(left, AT_ONCE)):  # Python's objects take ten times as much memory as a frame's
        parts.append(pl.DataFrame(part, form, orient="row"))
    return pl.concat(parts)


def ahead(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, each asked for by a thread of its own while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = pool.submit(next, chunks, None)
            yield chunk
