"""What a dataset leaves out: invalid images that are added to `exclude:`, and excluded images that are valid by now."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import polars as pl
from polars import DataFrame, col

from registry.core import digests, documents, layout, manifests
from registry.core.values import DatasetManifest
from registry.dataset import image_formats, image_validation, lake_lookup
from registry.errors import NotFound, Refused
from registry.storage.base import Store

MAX_READ = 1000  # excluded images that are looked at again
# How the reasons begin that a build writes; a person may exclude an image that is valid.
_REASONS = (
    *("missing", "empty file", "truncated", "damaged", "cannot be decoded", "expected ", "identical to ", "image has "),
    *("file has ", "animated ", "the lake has ", "JPEG ", "lossless JPEG", "hierarchical JPEG", "PNG in Apple's"),
    "decoding takes ",
)


def exclude(manifest: DatasetManifest, data: bytes, reasons: Mapping[str, str]) -> bytes:
    """`dataset.yaml` with invalid images, by UUID, and their reasons under `exclude:`. Raises Refused for too many."""
    changes: dict[documents.Location, object] = {("exclude", uuid): reason for uuid, reason in reasons.items()}
    edited = documents.edit_yaml(data, changes if manifest.exclude else {("exclude",): dict(reasons)})
    if len(edited) > documents.MAX_BYTES:
        fix = "replace them in the lake, or select without them"
        path = layout.manifest_path(manifest.id)
        raise Refused(f"{path}: {len(reasons):,} images are too many for exclude: (the file may have 1 MiB)", fix=fix)
    return edited


def is_of_build(reason: str) -> bool:
    """Whether a reason under `exclude:` is one that a build writes; others are a person's."""
    return reason.startswith(_REASONS)


def find_valid(manifest: DatasetManifest, selection: DataFrame, lake: Store, used: pl.Series) -> tuple[str, ...]:
    """The UUIDs of selected images that a build excluded and that it would accept now, sorted; of adopted ones, none.

    `used` are the MD5s of the version's images. An image that a person excluded is not looked at. Raises StorageFailed.
    """
    if manifest.is_adopted:
        return ()  # their bytes never change
    excluded = [uuid for uuid, reason in manifest.exclude.items() if is_of_build(reason)]
    rows = selection.select("uuid").filter(col("uuid").is_in(excluded)).sort("uuid").head(MAX_READ)
    key = pl.format(manifests.lake_keys(manifest).format(), "uuid")
    try:
        found = lake_lookup.find(manifest, rows.with_columns(key=key), lake) if len(rows) else None
    except NotFound:
        return ()
    if found is None:
        return ()
    readable = found.filter(col("problem").is_null(), col("size").is_between(1, image_formats.MAX_BYTES))
    with ThreadPoolExecutor(lake.concurrency) as pool:
        md5s = pl.Series("md5", pool.map(partial(_find_md5, manifest, lake), readable["key"]), pl.String)
    candidates = readable.select("uuid").with_columns(md5s).drop_nulls()
    alone = candidates.filter(~col("md5").is_duplicated() & ~col("md5").is_in(used.implode()))
    return tuple(alone["uuid"])


def _find_md5(manifest: DatasetManifest, lake: Store, key: str) -> str | None:
    """The MD5 of a valid image; None for another one."""
    try:
        data = lake.get(key)
    except NotFound:
        return None
    return None if image_validation.find_fault(key, data, lenient=manifest.lenient) else digests.md5(data)
