"""What a store of objects is: the interface of folders and buckets, and its frames.

No object is ever overwritten, except damaged ones in staging (`replace`); only `gc` deletes any, from staging, and
`erase` what the law demands, anywhere. Polars is imported when a frame is made: `registry check --staged`, which runs
at every commit, imports this module and must start without Polars.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from registry.core import erasures
from registry.core.erasures import Erased
from registry.errors import NotFound

if TYPE_CHECKING:
    from polars import DataFrame, Schema

    from registry.storage.parallel import Cluster


T = TypeVar("T")

CHUNK = 8 << 20  # bytes read at once: an image is one chunk, a model's weights are many
FRAME_ROWS = 65_536  # objects collected before they become part of a frame


class StoredObject(NamedTuple):
    """What a store knows of an object without reading it: size in bytes, modified in microseconds since 1970.

    `etag` changes whenever the bytes do; a bucket's may be their MD5, a folder's never is.
    """

    key: str
    size: int
    etag: str
    modified: int


Chunks = Callable[[], Iterator[bytes]]  # an object's bytes, from the start at each call
Put = Callable[[int, memoryview], None]  # puts bytes at an offset of a new file. Thread-safe; raises StorageFailed


class FillingChunks(ABC):
    """Chunks that can also put themselves into a new file, each where it belongs, in any order and without a copy."""

    @abstractmethod
    def __call__(self) -> Iterator[bytes]:
        """See `Chunks`."""

    @abstractmethod
    def fill(self, put: Put) -> None:
        """Put all of the object; after it, `put` is not called. An exception ends the write, as one of `Chunks`."""


class Copier(ABC):
    """Copies objects inside the service that two stores share; their bytes do not pass this machine. Can be pickled.

    `max_bytes` is the size of the largest object that it copies; `is_conditional` what `honours_conditions` found, None
    before it was asked.
    """

    max_bytes: int
    is_conditional: bool | None = None

    @abstractmethod
    def honours_conditions(self, key: str) -> bool:
        """Whether the service copies an object only while it has the ETag that was asked for.

        Some servers ignore that condition, and would copy whatever lies there by now. They are asked to copy the
        destination's own object `key` onto itself, under conditions that do not hold: nothing changes where they are
        honoured, and where they are not, its bytes stay what they are. Raises StorageFailed.
        """

    @abstractmethod
    def copy(self, source: str, key: str, etag: str) -> str | None:
        """Copy the object `source` to `key` if its ETag is `etag` and no object has that key.

        Returns the copy's ETag; None when one of the conditions failed. Raises NotFound (no source) and StorageFailed.
        """

    @abstractmethod
    def read(self, source: str) -> tuple[StoredObject, Iterator[bytes]]:
        """An object of the source, and its bytes in chunks, which belong to this ETag. Raises NotFound."""


class Store(ABC):
    """Objects by key. Can be pickled.

    `url` may be shown: it has no credentials. `concurrency` is the number of threads that use the store fully.
    """

    url: str
    concurrency: int
    erased: Erased = erasures.NOTHING  # objects that are neither read nor copied, from here or to here
    is_shared = True  # whether other machines reach the same objects under its URL
    cluster: "Cluster | None" = (
        None  # whose workers reach it: where maps over its objects run, in place of threads here
    )

    @property
    def readers(self) -> int:
        """The number of threads that read the store fully."""
        return self.concurrency

    @abstractmethod
    def require_readable(self) -> None:
        """Raises StorageFailed when the store does not exist or cannot be read."""

    @abstractmethod
    def scan(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Every object below the folder `prefix`, in chunks, in any order; none where the folder does not exist."""

    @abstractmethod
    def find_many(self, keys: Sequence[str]) -> "DataFrame":
        """Those of `keys` that exist, with the columns of `list`; by listing or one by one, whichever is cheaper."""

    @abstractmethod
    def find(self, key: str) -> StoredObject | None:
        """What the store knows of one object; None where it has none."""

    @abstractmethod
    def read(self, key: str) -> Iterator[bytes]:
        """An object's bytes, in chunks. Raises NotFound."""

    def fill(self, key: str, put: Put) -> Generator[memoryview]:
        """The bytes of `read`, each also put into a new file; threads put them until the iterator is closed."""
        offset = 0
        for chunk in prefetch_large(self.read(key)):
            put(offset, memoryview(chunk))
            offset += len(chunk)
            yield memoryview(chunk)

    @abstractmethod
    def write(self, key: str, chunks: Chunks) -> bool:
        """Store an object, which becomes visible when it is complete; False when the key exists, which is unchanged.

        An exception from `chunks` ends the write, and nothing of it is left.
        """

    @abstractmethod
    def replace(self, key: str, chunks: Chunks) -> None:
        """Store an object in place of a damaged one, which is read until the new one is complete. In staging alone."""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; a key that does not exist is no error. For `gc` alone, in staging."""

    def erase(self, keys: Sequence[str]) -> None:
        """Remove objects for good, with all versions that the store has of them. For `registry erase` alone, anywhere.

        A key that does not exist is no error. Raises StorageFailed, also where something is left.
        """
        self.delete(keys)

    @abstractmethod
    def removal(self, key: str) -> str:
        """The command with which an administrator deletes an object."""

    def copier_from(self, source: "Store") -> Copier | None:  # noqa: ARG002 - for stores that can copy
        """The copier from `source` to this store inside their service; None where they share none."""
        return None

    def list(self, prefix: str = "") -> "DataFrame":
        """Every object below the folder `prefix`: columns key, size (bytes), etag, modified (UTC), sorted by key."""
        import polars as pl

        return pl.concat([to_frame([]), *map(to_frame, self.scan(prefix))]).sort("key")

    def head(self, key: str) -> StoredObject:
        """What the store knows of one object. Raises NotFound."""
        if found := self.find(key):
            return found
        raise NotFound(f"{self.url}/{key} does not exist")

    def has(self, key: str) -> bool:
        """Whether there is an object with this key."""
        return self.find(key) is not None

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises NotFound."""
        chunks = self.read(key)
        first, second = next(chunks, b""), next(chunks, None)
        if second is None:
            return first
        out = BytesIO()  # a list of chunks and what they are joined to would be twice the object
        out.writelines((first, second))
        out.writelines(chunks)
        return out.getvalue()

    def put(self, key: str, data: bytes) -> bool:
        """Store `data`; False when the key exists, which is unchanged."""
        return self.write(key, lambda: iter((data,)))


def cluster_of(*stores: Store) -> "Cluster | None":
    """The cluster that reaches all of these stores; None where a map over their objects runs here."""
    return next((one.cluster for one in stores), None) if all(one.cluster for one in stores) else None


def to_frame(objects: Iterable[StoredObject]) -> "DataFrame":
    """Objects as a frame: columns key, size (bytes), etag, modified (UTC)."""
    import polars as pl

    schema = _schema()
    left, frames = iter(objects), [pl.DataFrame(schema=schema)]
    while rows := list(islice(left, FRAME_ROWS)):  # Python's objects take ten times as much memory as a frame's
        frames.append(pl.DataFrame(rows, schema, orient="row"))
    return pl.concat(frames)


def join_columns(
    keys: Sequence[str], sizes: Sequence[int], etags: tuple[Sequence[int], Sequence[int]], modified: Sequence[int]
) -> "DataFrame":
    """The same of objects whose fields are given by column, which takes a fifth of the time.

    An ETag is two numbers that a dash joins; `modified` is in nanoseconds.
    """
    import polars as pl

    first, second = pl.Series(etags[0], dtype=pl.UInt64), pl.Series(etags[1], dtype=pl.Int64)
    etag = pl.select(pl.concat_str(first, second, separator="-")).to_series()
    microseconds = pl.Series(modified, dtype=pl.Int64) // 1000
    return pl.DataFrame({"key": keys, "size": sizes, "etag": etag, "modified": microseconds}, _schema())


def _schema() -> "Schema":
    import polars as pl

    return pl.Schema(
        {"key": pl.String(), "size": pl.Int64(), "etag": pl.String(), "modified": pl.Datetime("us", "UTC")}
    )


def concat(frames: "Iterable[DataFrame]") -> "DataFrame":
    """Frames of `to_frame`, of which there is at least one, as one."""
    import polars as pl

    return pl.concat(frames)


def prefetch_large(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; from the second on, each is fetched while the one before is in use."""
    first = next(chunks, b"")
    yield first
    yield from chunks if len(first) < CHUNK else prefetch(chunks)


def prefetch(chunks: Iterator[T]) -> Iterator[T]:
    """The same chunks, none of them None, each fetched by another thread while the one before is in use."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, chunks, None)
        while (chunk := pending.result()) is not None:
            pending = pool.submit(next, chunks, None)
            yield chunk
