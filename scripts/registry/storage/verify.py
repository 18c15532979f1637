"""Proof that the objects of a store are intact: their content has the MD5 that is their name."""

from collections.abc import Iterable
from functools import partial
from typing import NoReturn

from polars import DataFrame, col

from registry.core.digests import describe_mismatch
from registry.core.progress import Progress
from registry.errors import StorageFailed
from registry.storage.base import Store
from registry.storage.parallel import parallel_map
from registry.storage.results import to_frame
from registry.storage.states import ObjectState
from registry.storage.verified_reads import PLAIN_ETAG, verify

SAMPLE = 8  # objects that tell whether the ETags of a store are MD5s


def audit(store: Store, md5s: Iterable[str], *, progress: Progress | None = None) -> DataFrame:
    """Read objects where they are: columns md5, moved (bytes) and state (`present`, `missing` or `corrupt`)."""
    names, work = sorted(set(md5s)), partial(verify, store)
    return to_frame(
        parallel_map(work, names, concurrency=store.concurrency, progress=progress, executor=store.cluster),
    )


def find_corrupt(store: Store, found: DataFrame, progress: Progress | None = None) -> frozenset[str]:
    """Those of `found` (columns md5, etag) that are corrupt, as far as ETags tell.

    An object is read where its ETag could be an MD5 and is another one. Under SSE-KMS that is true of each; so where no
    ETag is the MD5, a few are read, and the others only if one of those is corrupt. Raises StorageFailed.
    """
    name, etag = col("md5").str.strip_suffix(".dir"), col("etag")
    doubtful = found.filter(etag.str.contains(PLAIN_ETAG) & (etag != name))["md5"].unique().sort()
    first = doubtful if found.filter(etag == name).height else doubtful.head(SAMPLE)
    corrupt = audit_corrupt(store, first, progress)
    rest = doubtful.filter(~doubtful.is_in(first.implode())) if corrupt else first.clear()
    return corrupt | audit_corrupt(store, rest, progress)


def audit_corrupt(store: Store, md5s: Iterable[str], progress: Progress | None = None) -> frozenset[str]:
    """Read objects: those that are corrupt. Raises StorageFailed."""
    return frozenset(audit(store, md5s, progress=progress).filter(col("state") == ObjectState.CORRUPT)["md5"])


def raise_corrupt(store: Store, key: str) -> NoReturn:
    """Raise StorageFailed for an object whose content does not match its MD5, where it cannot be replaced."""
    fix = f"ask an administrator to delete that object ({store.removal(key)}), then run the same command again"
    raise StorageFailed(describe_mismatch(f"{store.url}/{key}"), fix=fix)
