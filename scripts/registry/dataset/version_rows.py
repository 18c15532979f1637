"""What a version has of a selection: its images, in which split and under which path, and the table of each split."""

from collections.abc import Iterator

import polars as pl
from polars import col

from registry.core import adoption, item_paths, layout, manifests
from registry.core.values import DatasetManifest
from registry.dataset import metadata_tables, splits
from registry.errors import InvalidData


def items_of(manifest: DatasetManifest, selection: pl.DataFrame) -> pl.DataFrame:
    """uuid, label, split and key of each image that is not excluded, sorted by uuid; an adopted one's is its file."""
    rows = selection.filter(~col("uuid").is_in(list(manifest.exclude))).sort("uuid")
    if rows.is_empty():
        path = layout.manifest_path(manifest.id)
        raise InvalidData(f"{path}: exclude: removes every image", [], fix="exclude fewer images, or select more")
    key = col(adoption.FILE) if manifest.is_adopted else pl.format(manifests.lake_keys(manifest).format(), "uuid")
    return rows.select("uuid", "label", splits.split_column(manifest.split, rows), key=key)


def item_path() -> pl.Expr:
    """An image's path in a version, from the columns split, label, uuid and key (in the lake)."""
    return pl.format(item_paths.ITEM_PATH_FORMAT, "split", "label", "uuid", _extension())


def _extension() -> pl.Expr:
    """The file name extension of an image, as a column that no manifest can have: that of its key, in lower case."""
    return col("key").str.extract(item_paths.EXTENSION).str.to_lowercase().alias("_extension")


def metadata(manifest: DatasetManifest, selection: pl.DataFrame, rows: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Each split that has rows, and its `metadata.parquet`; `rows` has each image's uuid, split and key in the lake."""
    for split in manifest.split.ratios:
        part = selection.join(rows.filter(col("split") == split).select("uuid", _extension()), on="uuid")
        if len(part):
            file_name = pl.format(item_paths.FILE_NAME_FORMAT, "label", "uuid", "_extension")
            named = part.select(file_name.alias(metadata_tables.FILE_NAME), pl.exclude("_extension"))
            yield split, metadata_tables.write(named, manifest.classes)


# --- summary ----------------------------------------------------------------------------------------------------------
