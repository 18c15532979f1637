"""Taking images into staging: which of them the stores have already, and which are copied or read and validated."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl
from polars import DataFrame, col

from registry.core import digests
from registry.core.digests import object_key
from registry.core.progress import Progress
from registry.dataset import image_validation, validation_cache
from registry.errors import NotFound
from registry.storage import ingest
from registry.storage.base import Store
from registry.storage.lake_objects import Ingest, IngestResult
from registry.storage.parallel import parallel_map
from registry.storage.states import ObjectState
from registry.storage.verified_reads import put_intact
from registry.storage.verify import find_corrupt
from registry.sync import inventory

SLICE = 100_000  # images after which the validation cache is written


@dataclass(frozen=True, slots=True)
class Places:
    """Where a build reads and writes: the registry's root, the lake, staging, production, and DVC's cache."""

    root: Path
    lake: Store
    staging: Store
    production: Store
    cache: Store

    @property
    def validation_cache(self) -> Path:
        """The file of `validation_cache`."""
        return self.root / validation_cache.PATH

    def of(self, lake: Store) -> "Places":
        """The same with another store in place of the lake."""
        return replace(self, lake=lake)


def store_object(md5: str, data: bytes, places: Places) -> str:
    """An object that was made here: into DVC's cache, and into staging unless production has it. Returns its md5."""
    places.cache.put(object_key(md5), data)
    if not places.production.has(object_key(md5)):
        put_intact(places.staging, md5, data)
    return md5


def with_stored(known: DataFrame, places: Places) -> DataFrame:
    """Rows (md5, size) with `stored`: whether staging or production has the object, intact by its size and ETag."""
    wanted, found = known.filter(col("md5").is_not_null()).select("md5", "size").unique("md5"), []
    for store in (places.staging, places.production):
        present = wanted.join(inventory.find_stored(store, wanted["md5"]), on="md5", suffix="_found")
        corrupt = find_corrupt(store, present)
        present = present.filter(col("size_found") == col("size"), ~col("md5").is_in(list(corrupt)))
        found.append(present["md5"])
        wanted = wanted.join(present, on="md5", how="anti")
    return known.with_columns(stored=col("md5").is_in(pl.concat(found).implode()).fill_null(value=False))


def take(
    pending: DataFrame,
    places: Places,
    progress: Progress | None = None,
    *,
    lenient: bool,
    validate_all: bool,
    find_fault: Callable[[str, bytes], str | None] | None = None,
) -> DataFrame:
    """The results of `ingest` for images of the lake (rows of `Store.find_many`); valid ones are cached by slices.

    `validate_all` also reads the images that stores could copy. `find_fault` takes the place of the validation by a
    key's extension, for stores whose keys have none; then nothing is cached. Raises StorageFailed.
    """
    inspect = find_fault or partial(image_validation.find_fault, lenient=lenient)
    job = Ingest(places.lake, places.staging, places.production, inspect, not validate_all)
    parts = []
    for part in pending.iter_slices(SLICE):
        started = datetime.now(UTC)
        parts.append(ingest.ingest(job, part, progress=progress))
        if find_fault is None:
            valid = parts[-1].filter(col("fault").is_null() & col("inspected"))
            as_listed = part.select(validation_cache.IDENTITY).join(valid, on=["key", "size"])
            validation_cache.record(places.validation_cache, places.lake.url, as_listed, started, lenient=lenient)
    return pl.concat([ingest.ingest(job, pending.clear()), *parts])


def validate_stored(images: DataFrame, places: Places, progress: Progress | None = None, *, lenient: bool) -> DataFrame:
    """The results, as of `take`, for images (md5, key) that are objects of the registry already.

    What was validated before is not read. Raises StorageFailed.
    """
    known = validation_cache.validated(places.validation_cache)
    unread = validation_cache.find_new(images.select("md5", "key", path="key"), known, lenient=lenient)
    read = partial(_validate, (places.cache, places.staging, places.production), lenient)
    found = parallel_map(read, unread.select("key", "md5").rows(), concurrency=8, progress=progress)
    results = DataFrame(found, ingest.SCHEMA, orient="row")
    valid = results.filter(col("fault").is_null()).select("md5", path="key")
    validation_cache.record_objects(places.validation_cache, valid, lenient=lenient)
    return results


def _validate(stores: tuple[Store, ...], lenient: bool, image: tuple[str, str]) -> IngestResult:
    key, md5 = image
    data = next((found for store in stores if (found := _get(store, md5)) is not None), None)
    fault = ObjectState.MISSING.value if data is None else image_validation.find_fault(key, data, lenient=lenient)
    return IngestResult(key, len(data or b""), md5, fault, inspected=True, copied=False)


def _get(store: Store, md5: str) -> bytes | None:
    """An intact object of a store; None where it has none."""
    try:
        data = store.get(object_key(md5))
    except NotFound:
        return None
    return data if digests.md5(data) == md5 else None
