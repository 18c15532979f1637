"""Opening stores, and moving many objects: `ingest` from a lake, `transfer` between stores, `audit` where they are.

All three are one map over partitions behind Python's Executor interface: threads by default, any other on demand. An
object comes to its name only when its bytes are what the name says, so that a wrong body under a right name never
spreads: they were hashed on their way through here; or, where two stores copy between themselves, the store hashed them
(a plain ETag is the MD5), copied them only while that held, and the copy has that ETag too.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from registry.core.pointers import object_key
from registry.core.progress import Progress
from registry.errors import NotFound, StorageFailed
from registry.storage.base import Copier, Store
from registry.storage.parallel import spread

if TYPE_CHECKING:
    from polars import DataFrame


STATES = ("copied", "present", "missing", "corrupt", "held")


# --- between stores of objects ----------------------------------------------------------------------------------------


def transfer(
    source: Store,
    destination: Store,
    md5s: Iterable[str],
    *,
    asked: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> "DataFrame":
    """Copy objects that `destination` lacks; the `.dir` objects last, and only when everything else arrived.

    It is asked what it has, unless the caller `asked` it just now; what is there is never overwritten.

    Returns the columns md5, size (bytes; 0 where nothing was read) and state, sorted by md5. States: `copied`;
    `present` (was there already; not read); `missing` at the source; `corrupt` (other bytes than the name says: not
    copied); `held` (a `.dir`, because another object is missing or corrupt). Raises StorageFailed.
    """
    names = sorted(set(md5s))
    there = set() if asked else set(destination.look([object_key(md5) for md5 in names])["key"])
    rows: list[tuple[str, int, str]] = [(md5, 0, "present") for md5 in names if object_key(md5) in there]
    if rows and progress:
        progress(len(rows), 0)
    left = [md5 for md5 in names if object_key(md5) not in there]
    work = partial(_copy_part, source, destination, destination.copier_from(source))
    run = partial(spread, work, lanes=max(source.lanes, destination.lanes), progress=progress, executor=executor)
    rows += run([md5 for md5 in left if not md5.endswith(".dir")])
    dirs = [md5 for md5 in left if md5.endswith(".dir")]
    complete = all(state in {"copied", "present"} for _, _, state in rows)
    rows += run(dirs) if complete else [(md5, 0, "held") for md5 in dirs]
    return _states(rows)


def audit(
    store: Store, md5s: Iterable[str], *, progress: Progress | None = None, executor: Executor | None = None
) -> "DataFrame":
    """Read objects where they are: columns md5, size and state (`present`, `missing` or `corrupt`), sorted by md5."""
    work = partial(_audit_part, store)
    return _states(spread(work, sorted(set(md5s)), lanes=store.lanes, progress=progress, executor=executor))


def _states(rows: Sequence[tuple[str, int, str]]) -> "DataFrame":
    import polars as pl

    schema = {"md5": pl.String, "size": pl.Int64, "state": pl.Enum(STATES)}
    return pl.DataFrame(rows, schema, orient="row").sort("md5")


def _copy_part(
    source: Store, destination: Store, copier: Copier | None, md5s: Sequence[str]
) -> list[tuple[str, int, str]]:
    return [(md5, *_copy(source, destination, copier, md5)) for md5 in md5s]


def _copy(source: Store, destination: Store, copier: Copier | None, md5: str) -> tuple[int, str]:
    if copier and (done := _copy_inside(copier, destination, md5)):
        return done
    return _twice(lambda: (copier and _copy_read(copier, destination, md5)) or _copy_through(source, destination, md5))


def _copy_through(source: Store, destination: Store, md5: str) -> tuple[int, str]:
    reading = _Reading(source.read, md5)
    try:
        is_new = destination.write(object_key(md5), reading)
    except _Unproven as fault:
        return reading.size, fault.state
    return reading.size, "copied" if is_new else "present"


def _twice(read: Callable[[], tuple[int, str]]) -> tuple[int, str]:
    """What is corrupt is read once more: a bit may have changed on its way here, and somebody is told to delete it."""
    done = read()
    return read() if done[1] == "corrupt" else done


def _copy_inside(copier: Copier, destination: Store, md5: str) -> tuple[int, str] | None:
    """The bytes that had to be read, and the state; None where the source's ETag is not the MD5 that it should be.

    Then the object came in parts or under a KMS key, or holds other bytes: reading it tells.
    """
    key, right = object_key(md5), md5.removesuffix(".dir")
    try:
        etag = copier.copy(key, key, right)
    except NotFound:
        return 0, "missing"
    if etag == right:
        return 0, "copied"
    size, state = _find_proven(destination, md5)
    if state == "missing":
        return None
    return size, "copied" if etag else "present"  # another writer was quicker, or an answer was lost


def _copy_read(copier: Copier, destination: Store, md5: str) -> tuple[int, str] | None:
    """Read an object, and have it copied as long as it is what was read; None where it is too large to be copied."""
    key = object_key(md5)
    try:
        found, chunks = copier.read(key)
        if found.size > copier.largest:
            return None
        size, state = _read_through(lambda _: chunks, md5)
        if state != "present":
            return size, state
        etag = copier.copy(key, key, found.etag)
    except NotFound:
        return 0, "missing"
    if etag in {found.etag, md5.removesuffix(".dir")}:
        return size, "copied"
    more, state = _find_proven(destination, md5)
    if state == "missing":
        return size, "corrupt"  # swapped since it was read
    return size + more, "copied" if etag else "present"


def _find_proven(store: Store, md5: str) -> tuple[int, str]:
    """As `_prove`. Raises StorageFailed for a corrupt object."""
    done = prove(store, md5)
    if done[1] == "corrupt":
        refuse_damaged(store, object_key(md5))
    return done


def refuse_damaged(store: Store, key: str) -> NoReturn:
    """Raises StorageFailed for an object with other bytes than its name says."""
    fault = f"{store.url}/{key} holds other bytes than its name says"
    raise StorageFailed(fault, fix="ask who writes there; delete that object, then run the same command again")


def prove(store: Store, md5: str) -> tuple[int, str]:
    """The bytes that had to be read to tell, and the state of an object: as in `audit`, but an ETag may prove it."""
    there = store.find(object_key(md5))
    if there and there.etag == md5.removesuffix(".dir"):
        return 0, "present"
    return _audit(store, md5) if there else (0, "missing")


def _audit_part(store: Store, md5s: Sequence[str]) -> list[tuple[str, int, str]]:
    return [(md5, *_audit(store, md5)) for md5 in md5s]


def _audit(store: Store, md5: str) -> tuple[int, str]:
    return _twice(lambda: _read_through(store.read, md5))


def _read_through(read: Callable[[str], Iterator[bytes]], md5: str) -> tuple[int, str]:
    reading = _Reading(read, md5)
    try:
        for _ in reading():
            pass
    except _Unproven as fault:
        return reading.size, fault.state
    return reading.size, "present"


class _Unproven(Exception):
    """An object is not what its name says: it is `missing` or `corrupt`."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class _Reading:
    """An object's bytes, which end with _Unproven unless they are what its name says; `size` is how many came."""

    def __init__(self, read: Callable[[str], Iterator[bytes]], md5: str) -> None:
        self._read, self._md5 = read, md5
        self.size = 0

    def __call__(self) -> Iterator[bytes]:
        """From the start (`stores.Chunks`)."""
        digest, self.size = hashlib.md5(usedforsecurity=False), 0
        try:
            for chunk in self._read(object_key(self._md5)):
                digest.update(chunk)
                self.size += len(chunk)
                yield chunk
        except NotFound:
            raise _Unproven("missing") from None
        if digest.hexdigest() != self._md5.removesuffix(".dir"):
            raise _Unproven("corrupt")


def require_size(store: Store, key: str, found: int, right: int) -> None:
    """Raises StorageFailed when an object has another size (bytes) than its name allows."""
    if found != right:
        fault = f"{store.url}/{key} has {found:,} bytes where its name means {right:,}: it is damaged"
        raise StorageFailed(fault, fix="delete that object, then run the same command again")
