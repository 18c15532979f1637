"""What was learned of lake objects: an MD5 for each sound image, so that growing a dataset costs the new part only.

A note holds as long as the store says the same of the object (size, etag, time). Losing the file costs time alone.
"""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl

from registry.core.atomic_write import write_atomically

PATH = ".dvc/tmp/registry/images.1.parquet"  # count up when `images.judge` becomes stricter
SETTLED = timedelta(seconds=2)  # coarsest clock of a file system (FAT); as Git does with its index ("racy git")

IDENTITY = ("key", "size", "etag", "modified")  # what `Store.look` says of an object
_FORM = {
    "lake": pl.String,
    "key": pl.String,
    "size": pl.Int64,
    "etag": pl.String,
    "modified": pl.Datetime("us", "UTC"),
    "md5": pl.String,
}


def lookup(path: Path, lake: str, objects: pl.DataFrame) -> pl.DataFrame:
    """`objects` (rows of `Store.look`) with the column md5: null where nothing is known of just this object."""
    notes = _read(path).filter(pl.col("lake") == lake)
    return objects.join(notes.select(*IDENTITY, "md5"), on=IDENTITY, how="left", maintain_order="left")


def record(path: Path, lake: str, images: pl.DataFrame, read_from: datetime) -> None:
    """Remember sound images (the columns of IDENTITY and md5) that were read after `read_from`. Raises StorageFailed.

    Objects that were changed just before are left out: the next change might leave the same time behind.
    """
    settled = images.filter(pl.col("modified") < read_from.astimezone(UTC) - SETTLED)
    new = settled.select(pl.lit(lake).alias("lake"), *IDENTITY, "md5").cast(_FORM)
    out = BytesIO()
    both = pl.concat([new, _read(path)]).unique(["lake", "key"], keep="first", maintain_order=True)
    both.write_parquet(out, compression="zstd", compression_level=1)
    write_atomically(path, out.getvalue())


def _read(path: Path) -> pl.DataFrame:
    """All notes; none where the file is missing, broken or of another form."""
    try:
        notes = pl.read_parquet(BytesIO(path.read_bytes()))
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame(schema=_FORM)
    return notes if notes.schema == _FORM else pl.DataFrame(schema=_FORM)


def validated_md5s(path: Path) -> pl.Series:
    """The MD5s of all images that were found sound, wherever they lay."""
    return _read(path)["md5"].drop_nulls().unique()


def record_objects(path: Path, md5s: list[str]) -> None:
    """Remember sound images that were read as objects, under their own MD5, in any store. Raises StorageFailed."""
    old = datetime.fromtimestamp(0, UTC)  # an object's bytes never change
    frame = pl.DataFrame({"key": md5s, "size": 0, "etag": "", "modified": old, "md5": md5s})
    record(path, "objects", frame, datetime.now(UTC))
