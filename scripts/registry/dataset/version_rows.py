"""What a version has of a selection: its images, in which folder and under which path, and the table of each folder."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from polars import DataFrame, Series, col

from registry.core import adoption, item_paths, layout, manifests, parts
from registry.core.values import DatasetManifest
from registry.dataset import metadata_tables, splits
from registry.errors import InvalidData

_SLICE = 1_000_000  # UUIDs whose prefixes are Python's objects at a time


def items_of(manifest: DatasetManifest, selection: DataFrame) -> DataFrame:
    """uuid, label, split and key of each image that is not excluded, sorted by uuid; an adopted one's is its file."""
    rows = included(manifest, selection)
    key = col(adoption.FILE) if manifest.is_adopted else pl.format(manifests.lake_keys(manifest).format(), "uuid")
    return rows.select("uuid", "label", splits.split_column(manifest.split, rows), key=key)


def require_images(manifest: DatasetManifest, selection: DataFrame) -> None:
    """Raise InvalidData where every image of a selection is excluded."""
    if included(manifest, selection).is_empty():
        path = layout.manifest_path(manifest.id)
        raise InvalidData(f"{path}: exclude: removes every image", [], fix="exclude fewer images, or select more")


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """A folder of a version that has a table, by its path: a split, or a part of one. `rows` are numbers of rows."""

    path: str
    rows: Series


def included(manifest: DatasetManifest, selection: DataFrame) -> DataFrame:
    """The rows of a selection that are not excluded, sorted by uuid."""
    rows = selection.filter(~col("uuid").is_in(list(manifest.exclude))) if manifest.exclude else selection
    return rows if rows["uuid"].is_sorted() else rows.sort("uuid")


def folder_column(manifest: DatasetManifest, rows: DataFrame, prefix: str = "") -> Series:
    """The folder of each image, by uuid and split: the split, or the part of a version in parts. A column `folder`.

    `prefix` is that of all rows, where it is known.
    """
    split = rows["split"].cast(pl.String).alias("folder")
    if not manifest.folders:
        return split
    last = pl.lit(prefix) if prefix else prefixes(rows["uuid"], parts.DIGITS[manifest.folders])
    return split.to_frame().select(pl.concat_str("folder", last, separator="/")).to_series()


def prefixes(uuids: Series, digits: int) -> Series:
    """The prefix of each image's part. A column `prefix`."""
    slices = (uuids.slice(start, _SLICE) for start in range(0, len(uuids), _SLICE))
    found = [Series("prefix", [parts.prefix(uuid, digits) for uuid in some], pl.String) for some in slices]
    return pl.concat([Series("prefix", [], pl.String), *found])


def item_path() -> pl.Expr:
    """An image's path in a version, from the columns folder, label, uuid and key (in the lake)."""
    return pl.format(item_paths.ITEM_PATH_FORMAT, "folder", "label", "uuid", _extension())


def _extension() -> pl.Expr:
    """The file name extension of an image, as a column that no manifest can have: that of its key, in lower case."""
    return col("key").str.extract(item_paths.EXTENSION).str.to_lowercase().alias("_extension")


def tables(manifest: DatasetManifest, selection: DataFrame, rows: DataFrame) -> Iterator[tuple[Folder, bytes]]:
    """Each folder that has images, sorted by its path, and its `metadata.parquet`.

    `rows` has each image of the selection, sorted by uuid: folder, and key in the lake.
    """
    chosen = included(manifest, selection)  # the same images in the same order
    for folder in group(rows["folder"]):
        part = chosen[folder.rows].with_columns(rows[folder.rows].select(_extension()).to_series())
        file_name = pl.format(item_paths.FILE_NAME_FORMAT, "label", "uuid", "_extension")
        named = part.select(file_name.alias(metadata_tables.FILE_NAME), pl.exclude("_extension"))
        yield folder, metadata_tables.write(named, manifest.classes)


def group(folders: Series) -> Iterator[Folder]:
    """The rows of each value, which are in their order; the values are sorted."""
    places = pl.int_range(pl.len(), dtype=pl.UInt32).alias("rows")
    grouped = folders.alias("folder").to_frame().with_columns(places).group_by("folder").agg("rows").sort("folder")
    for number, path in enumerate(grouped["folder"]):
        yield Folder(path, grouped["rows"][number])
