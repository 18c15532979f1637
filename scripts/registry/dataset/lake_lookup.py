"""Which object of the lake is the image of each UUID: by the key that the manifest gives, with any extension or one."""

import polars as pl
from polars import DataFrame, col

from registry.core import item_paths, manifests
from registry.core.item_paths import LakeKeys
from registry.core.values import DatasetManifest
from registry.core.wording import plural
from registry.errors import NotFound
from registry.storage.base import Store

MISSING = "missing from the lake"
OTHER_EXTENSION = f"{MISSING}, which has "
MAX_PROBED = 1000  # missing images that are looked for under other extensions
_FOUND = ("key", "size", "etag", "modified")


def find(manifest: DatasetManifest, rows: DataFrame, lake: Store) -> DataFrame:
    """`rows` (with the columns uuid and key) with size, etag and modified of each image, or the `problem` with it.

    `key` becomes that of the object. Raises NotFound when the lake has none of the images, StorageFailed.
    """
    keys = manifests.lake_keys(manifest)
    found = _look_up(keys, rows["uuid"], lake)
    missing = rows.join(found, on="uuid", how="anti")["uuid"]
    others = _find_others(keys, missing, lake)
    if found.is_empty():
        _raise_nothing_found(manifest, rows, others, lake)
    joined = rows.join(_require_one(found), on="uuid", how="left", maintain_order="left", suffix="_found")
    joined = joined.join(others, on="uuid", how="left", maintain_order="left", suffix="_other")
    elsewhere = pl.format(f"{OTHER_EXTENSION}{{}}", "key_other")
    absent = pl.when(col("key_found").is_null()).then(pl.coalesce(elsewhere, pl.lit(MISSING)))
    return joined.with_columns(key=pl.coalesce("key_found", "key"), problem=pl.coalesce("problem", absent)).drop(
        "key_found", "key_other"
    )


def suggest(manifest: DatasetManifest) -> str:
    """The manifest's `image` that takes every extension: `photos/{uuid}.*`."""
    return manifests.lake_keys(manifest).format(item_paths.UUID_PLACEHOLDER, item_paths.ANY_EXTENSION)


def _look_up(keys: LakeKeys, uuids: pl.Series, lake: Store) -> DataFrame:
    """Every object that may be the image of one of the UUIDs: its uuid, and the columns of `Store.list`."""
    frame = uuids.to_frame("uuid")
    asked = pl.concat(
        frame.select("uuid", key=pl.format(keys.format(extension=extension), "uuid")) for extension in keys.extensions
    )
    return asked.join(lake.find_many(asked["key"].to_list()), on="key", maintain_order="left").select("uuid", *_FOUND)


def _require_one(found: DataFrame) -> DataFrame:
    """One row for each uuid: its object, or the `problem` that there are several.

    Where a file system ignores case, one file is found as `.jpg` and as `.JPG`.
    """
    if found["uuid"].is_unique().all():  # what follows takes as long as asking for them did
        return found.with_columns(problem=pl.lit(None, pl.String))
    same = ["uuid", "size", "etag", "lower"]
    distinct = found.sort("key").with_columns(lower=col("key").str.to_lowercase()).unique(same, keep="last")
    joined = col("key").sort().str.join(" and ")
    several = pl.when(pl.len() > 1).then(pl.format("the lake has {}, expected one of them", joined))
    columns = [pl.when(pl.len() == 1).then(col(name).first()).alias(name) for name in _FOUND]
    groups = distinct.group_by("uuid").agg(*columns, problem=several, several=joined)
    return groups.with_columns(key=pl.coalesce("key", "several")).drop("several")


def _find_others(keys: LakeKeys, missing: pl.Series, lake: Store) -> DataFrame:
    """For missing images, a key with another extension that the lake has: columns uuid, key."""
    every = item_paths.parse_lake_keys(keys.format(item_paths.UUID_PLACEHOLDER, item_paths.ANY_EXTENSION))
    wanted = missing.head(MAX_PROBED) if keys.extension != item_paths.ANY_EXTENSION else missing.clear()
    found = _look_up(every, wanted, lake).sort("key")
    return found.unique("uuid", keep="first", maintain_order=True).select("uuid", "key")


def _raise_nothing_found(manifest: DatasetManifest, rows: DataFrame, others: DataFrame, lake: Store) -> None:
    fix = "check lake: in registry.yaml and image: in dataset.yaml"
    example = f"{lake.url}/{rows['key'][0]}"
    if len(others):
        example = f"{example}, but {others['key'][0]} does"
        fix = f'set image: "{suggest(manifest)}" in dataset.yaml, which takes every ending'
    raise NotFound(f"none of {plural(len(rows), 'image')} exists in the lake: {example}", fix=fix)
