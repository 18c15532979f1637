"""Objects by their MD5, read from the first store that has an intact copy. A damaged copy counts as absent."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

from registry.core import digests
from registry.core.artifact_files import Reader
from registry.core.digests import object_key
from registry.core.erasures import Erased
from registry.core.progress import Progress
from registry.errors import LoginEnded, NotFound, RegistryError
from registry.storage.base import Store
from registry.storage.parallel import Cluster, Moved, parallel_map

Item = TypeVar("Item")
Result = TypeVar("Result", bound=Moved)
ABSENT = "no intact copy in DVC's cache, staging or production"
ERASED = "it was erased"


class ObjectReader:
    """Reads verified objects from `stores`, in their order; a function from MD5 to bytes (`artifact_files.Reader`).

    A store that fails counts as one without the object; where no other has it, `warn` is called with its reason, once
    for each store, as it is for each damaged copy. Thread-safe.
    """

    def __init__(self, stores: Iterable[Store], warn: Callable[[str], None] = lambda _: None) -> None:
        self._stores = tuple(stores)
        self._warn = warn
        self._warned: set[str] = set()
        self.ended: LoginEnded | None = None  # why a store may have what no other has: its login has ended

    def __call__(self, md5: str) -> bytes | None:
        """An object's bytes; None where no store has an intact copy."""
        failed = list[tuple[Store, RegistryError]]()
        data = next((data for store in self._stores if (data := self._read(store, md5, failed)) is not None), None)
        if data is None:
            for store, error in failed:
                self._warn_once(store.url, str(error))
        return data

    def shared(self) -> tuple[Reader, Cluster | None]:
        """The reader for a map over objects, and the cluster that its stores have; this one where they have none."""
        stores = tuple(store for store in self._stores if store.cluster)
        if not stores:
            return self, None
        return SharedReader(stores, stores[0].erased), stores[0].cluster

    def has_erased(self, md5: str) -> bool:
        """Whether an object was erased, so that no store may have it."""
        return any(store.erased.has_object(md5) for store in self._stores)

    def _read(self, store: Store, md5: str, failed: list[tuple[Store, RegistryError]]) -> bytes | None:
        if store.erased.has_object(md5):
            self._warn_once(md5, f"object {md5} was erased, and is not read")
            return None
        try:
            for _ in range(2):  # the fault may lie in the transmission
                data = store.get(object_key(md5))
                if digests.matches(data, md5):
                    return data
        except NotFound:
            return None
        except RegistryError as error:
            self.ended = error if isinstance(error, LoginEnded) else self.ended
            failed.append((store, error))
            return None
        place = f"{store.url}/{object_key(md5)}"
        self._warn_once(place, f"{digests.describe_mismatch(place, digests.md5(data))}; the copy was skipped")
        return None

    def _warn_once(self, place: str, message: str) -> None:
        if place not in self._warned:
            self._warned.add(place)
            self._warn(message)


@dataclass(frozen=True, slots=True)
class SharedReader:
    """Reads verified objects in a worker of a cluster, from the stores that it reaches, in their order.

    Raises StorageFailed where one fails and no other has the object: the worker may lack a right that others have.
    """

    stores: tuple[Store, ...]
    erased: Erased

    def __call__(self, md5: str) -> bytes | None:
        """An object's bytes; None where no store has an intact copy."""
        failed = list[RegistryError]()
        for store in () if self.erased.has_object(md5) else self.stores:
            try:
                for _ in range(2):
                    data = store.get(object_key(md5))
                    if digests.matches(data, md5):
                        return data
            except NotFound:
                continue
            except RegistryError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return None

    def has_erased(self, md5: str) -> bool:
        """Whether an object was erased, so that no store may have it."""
        return self.erased.has_object(md5)


def map_reading(
    work: Callable[[Reader, Item], Result],
    read: Reader,
    items: Sequence[Item],
    *,
    concurrency: int,
    progress: Progress | None = None,
) -> list[Result]:
    """`work` of every item, as `parallel_map`: it reads objects, with `read`, or in a cluster as its workers can.

    With a cluster, `work` and the items are pickled, and DVC's caches on this machine are not read.
    """
    chosen, cluster = read.shared() if isinstance(read, ObjectReader) else (read, None)
    task = partial(work, chosen)
    return parallel_map(task, items, concurrency=concurrency, progress=progress, executor=cluster)


class LazyReader:
    """A reader that is opened when the first object is asked for; one that cannot be opened has no object."""

    def __init__(self, open_reader: Callable[[], ObjectReader]) -> None:
        self._open = cache(open_reader)

    def __call__(self, md5: str) -> bytes | None:
        """An object's bytes; None where no store has an intact copy."""
        try:
            return self._open()(md5)
        except RegistryError:
            return None

    def has_erased(self, md5: str) -> bool:
        """Whether an object was erased, so that no store may have it."""
        try:
            return self._open().has_erased(md5)
        except RegistryError:
            return False


def absence(read: Reader, md5: str) -> str:
    """Why a reader has no bytes of an object, in a message."""
    is_erased = isinstance(read, ObjectReader | SharedReader | LazyReader) and read.has_erased(md5)
    return ERASED if is_erased else ABSENT


def require_object(read: Reader, md5: str, name: str = "") -> bytes:
    """An object's bytes; `name` is what a message calls it. Raises NotFound where no store has an intact copy."""
    data = read(md5)
    if data is None:
        why = absence(read, md5)
        fix = "use a later version: registry list" if why == ERASED else "registry pull"
        raise NotFound(f"{describe_object(md5, name)}: {why}", fix=fix)
    return data


def describe_object(md5: str, name: str = "") -> str:
    """An object in a message: its path, where it has one, and its MD5."""
    return f"{name} ({md5})" if name else f"object {md5}"
