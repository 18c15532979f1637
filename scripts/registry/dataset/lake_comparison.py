"""Whether the images of a version have the bytes that the lake has under their UUIDs; few are read for it.

Proof is an ETag that is the MD5 (a bucket's plain ETag), or what `validation_cache` recorded of the object as it is. A
folder's files are read. Under SSE-KMS an ETag looks like an MD5 and is none, and that of an upload in parts has a dash:
such images are counted as not proven, unless a build on this machine read them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.core import digests, manifests
from registry.core.values import DatasetManifest
from registry.dataset import lake_lookup, validation_cache
from registry.dataset.differences import LakeDifferences
from registry.errors import NotFound, StorageFailed
from registry.storage.base import Store
from registry.storage.ingest import SAMPLE, sample_order
from registry.storage.local import Folder
from registry.storage.parallel import parallel_map
from registry.storage.verified_reads import PLAIN_ETAG

SHOWN = 3  # paths that a message names


def compare(
    manifest: DatasetManifest, images: DataFrame, lake: Store, cache: Path, progress: Callable[[int, int], None]
) -> LakeDifferences:
    """How images (columns uuid, md5, relpath) differ from the lake; `cache` is the file of `validation_cache`.

    Raises NotFound where there is no lake, StorageFailed.
    """
    lake.require_readable()
    key = pl.format(manifests.lake_keys(manifest).format(), "uuid")
    try:
        found = lake_lookup.find(manifest, images.with_columns(key=key), lake)
    except NotFound:
        return LakeDifferences(missing=len(images), examples=_examples(images))
    there = found.filter(col("problem").is_null())
    read_before = validation_cache.lookup(
        cache, lake.url, there.select("key", "size", "etag", "modified"), lenient=True
    ).select("key", known="md5")
    there = there.join(read_before, on="key", how="left")
    missing = found.filter(col("problem").is_not_null())
    open_ = there.filter(~(col("known") == col("md5")).fill_null(value=False) & (col("etag") != col("md5")))
    wrong = open_.filter(col("known").is_not_null())
    faulty = pl.concat([wrong.select("relpath"), missing.select("relpath")])
    try:
        different, unproven = _read(open_.filter(col("known").is_null()), lake, progress)
    except StorageFailed as error:  # as for a login that may list the lake, and not read it
        so_far = LakeDifferences(len(wrong), len(missing), examples=_examples(faulty))
        return replace(so_far, unread=error.message, fix=error.fix)
    examples = _examples(pl.concat([faulty, different]))
    return LakeDifferences(len(wrong) + len(different), len(missing), len(unproven), examples)


def _examples(images: DataFrame) -> tuple[str, ...]:
    return tuple(images["relpath"].sort().head(SHOWN))


def _read(images: DataFrame, lake: Store, progress: Callable[[int, int], None]) -> tuple[DataFrame, DataFrame]:
    """The images (relpath) whose bytes differ, and those that are not proven; a bucket's are read as a sample."""
    is_plain = col("etag").str.contains(PLAIN_ETAG)
    candidates = images if isinstance(lake, Folder) else images.filter(is_plain)
    sample = candidates["key"].to_list()
    if not isinstance(lake, Folder):
        sample = sorted(sample, key=sample_order)[:SAMPLE]
    hashed = parallel_map(partial(_hash, lake), sample, concurrency=lake.concurrency, progress=progress)
    md5s = {key: result.md5 for key, result in zip(sample, hashed, strict=True)}
    judged = candidates.with_columns(read=col("key").replace_strict(md5s, default=None, return_dtype=pl.String))
    etags_are_md5s = bool(md5s) and judged.filter(col("read").is_not_null() & (col("read") != col("etag"))).is_empty()
    differs = (col("read") != col("md5")).fill_null(value=etags_are_md5s)
    different = judged.filter(differs).select("relpath")
    proven = judged.filter(col("read") == col("md5")).select("relpath")
    rest = images.select("relpath").join(pl.concat([different, proven]), on="relpath", how="anti")
    return different, rest


class _Hashed(NamedTuple):
    """The MD5 of an object that was read, and its bytes, for progress."""

    md5: str
    moved: int


def _hash(lake: Store, key: str) -> _Hashed:
    data = lake.get(key)
    return _Hashed(digests.md5(data), len(data))
