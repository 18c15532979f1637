"""Which lake objects were validated before, with their MD5s, so that growing a dataset costs the new part only.

An entry is valid as long as the store reports the same size, ETag and time of the object. It says whether the image was
validated leniently: then decoders may warn of it, which a dataset without `lenient` does not accept.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from polars import col

from registry.core import item_paths
from registry.storage import parquet_cache

PATH = ".dvc/tmp/registry/images.2.parquet"  # count up when `image_validation.find_fault` becomes stricter
SETTLED = timedelta(seconds=2)  # coarsest clock of a file system (FAT); as Git does with its index ("racy git")
OBJECTS = "objects"  # stands for the lake in entries of objects, which have no lake

VALIDATED = ("md5", "format", "lenient")
IDENTITY = ("key", "size", "etag", "modified")  # what `Store.find_many` says of an object
_SCHEMA: parquet_cache.Schema = {
    "lake": pl.String,
    "key": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "modified": pl.Datetime("us", "UTC"),
    "md5": pl.String,
    "lenient": pl.Boolean,
}


def lookup(path: Path, lake: str, objects: pl.DataFrame, *, lenient: bool) -> pl.DataFrame:
    """`objects` (rows of `Store.find_many`) with the column md5: null for an object not validated in this state.

    With `lenient`, an object that was validated strictly counts, too; not the other way round.
    """
    cached = parquet_cache.read(path, _SCHEMA).filter(col("lake") == lake, ~col("lenient") | lenient)
    return objects.join(cached.select(*IDENTITY, "md5"), on=IDENTITY, how="left", maintain_order="left")


def record(path: Path, lake: str, images: pl.DataFrame, read_from: datetime, *, lenient: bool) -> None:
    """Cache valid images (the columns of IDENTITY and md5) that were read after `read_from`. Raises StorageFailed.

    Objects that were changed just before are left out: the next change might have the same time.
    """
    settled = images.filter(col("modified") < read_from.astimezone(UTC) - SETTLED)
    rows = settled.with_columns(lake=pl.lit(lake), lenient=pl.lit(lenient))
    parquet_cache.add(
        path, rows.select(col(name).cast(dtype) for name, dtype in _SCHEMA.items()), _SCHEMA, ["lake", "key"]
    )


def validated(path: Path) -> pl.DataFrame:
    """The valid images, whatever their lake: columns of VALIDATED, each row once."""
    return parquet_cache.read(path, _SCHEMA).drop_nulls("md5").select("md5", _format("key"), "lenient").unique()


def find_new(images: pl.DataFrame, known: pl.DataFrame, *, lenient: bool) -> pl.DataFrame:
    """The images (columns md5 and path) that are not among the `known` ones (columns of VALIDATED).

    Valid bytes are an image of one format: under a name of another one they are unknown.
    """
    usable = known.filter(~col("lenient") | lenient)
    return images.with_columns(_format("path")).join(usable, on=["md5", "format"], how="anti").drop("format")


def record_objects(path: Path, images: pl.DataFrame, *, lenient: bool) -> None:
    """Cache valid images (columns md5 and path) that were read as objects, from any store. Raises StorageFailed."""
    never_changed = datetime.fromtimestamp(0, UTC)
    frame = images.select("md5", key=pl.format("{}.{}", "md5", _format("path")), size=0, etag=pl.lit(""))
    record(path, OBJECTS, frame.with_columns(modified=never_changed), datetime.now(UTC), lenient=lenient)


def _format(column: str) -> pl.Expr:
    """The format that a key or path says by its extension: `jpg`, `png` or `webp`."""
    extension = col(column).str.extract(item_paths.EXTENSION).str.to_lowercase()
    return extension.replace({"jpeg": "jpg"}).fill_null("").alias("format")
