"""Which lake objects were validated before, with their MD5s, so that growing a dataset costs the new part only.

An entry is valid as long as the store reports the same size, ETag and time of the object.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from registry.dataset import parquet_cache

PATH = ".dvc/tmp/registry/images.2.parquet"  # count up when `image_validation.find_fault` becomes stricter
SETTLED = timedelta(seconds=2)  # coarsest clock of a file system (FAT); as Git does with its index ("racy git")
OBJECTS = "objects"  # stands for the lake in entries of objects, which have no lake

IDENTITY = ("key", "size", "etag", "modified")  # what `Store.find_many` says of an object
_SCHEMA: parquet_cache.Schema = {
    "lake": pl.String,
    "key": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "modified": pl.Datetime("us", "UTC"),
    "md5": pl.String,
}


def lookup(path: Path, lake: str, objects: pl.DataFrame) -> pl.DataFrame:
    """`objects` (rows of `Store.find_many`) with the column md5: null for an object not validated in this state."""
    cached = parquet_cache.read(path, _SCHEMA).filter(pl.col("lake") == lake)
    return objects.join(cached.select(*IDENTITY, "md5"), on=IDENTITY, how="left", maintain_order="left")


def record(path: Path, lake: str, images: pl.DataFrame, read_from: datetime) -> None:
    """Cache valid images (the columns of IDENTITY and md5) that were read after `read_from`. Raises StorageFailed.

    Objects that were changed just before are left out: the next change might have the same time.
    """
    settled = images.filter(pl.col("modified") < read_from.astimezone(UTC) - SETTLED)
    rows = settled.with_columns(lake=pl.lit(lake)).select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
    parquet_cache.add(path, rows, _SCHEMA, ["lake", "key"])


def validated_md5s(path: Path) -> pl.Series:
    """The MD5s of all valid images, whatever their lake."""
    return parquet_cache.read(path, _SCHEMA)["md5"].drop_nulls().unique()


def record_objects(path: Path, md5s: list[str]) -> None:
    """Cache valid images that were read as objects, under their own MD5, from any store. Raises StorageFailed."""
    never_changed = datetime.fromtimestamp(0, UTC)
    frame = pl.DataFrame({"key": md5s, "size": 0, "etag": "", "modified": never_changed, "md5": md5s})
    record(path, OBJECTS, frame, datetime.now(UTC))
