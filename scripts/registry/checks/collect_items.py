"""Reads the objects that a dataset's pointers name, for the facts that rules need of them. Loads Polars."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import polars as pl

from registry.checks.context import DatasetSubject, Listing, RepeatedImages
from registry.core import erasures, parts
from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.dataset import items, parquet_files, parquet_footer
from registry.dataset.items import Items
from registry.errors import NotFound, Refused
from registry.storage.reader import require_object
from registry.sync import dir_listing

_SELECTION = "selection.parquet"


def with_objects(
    subject: DatasetSubject, names: Collection[str], read_object: Reader, erased: Erased = erasures.NOTHING
) -> DatasetSubject:
    """The dataset with what its objects `names` (raw, prepared) say; the first fault of reading is in `unread`.

    `erased` is what had to leave the dataset.
    """
    steps: list[Callable[[DatasetSubject, Reader], DatasetSubject]] = []
    if "prepared" in names:
        steps.append(partial(_with_listing, erased=erased))
    if "raw" in names:
        steps.append(_with_null_shares)
    for step in steps:
        try:
            subject = step(subject, read_object)
        except (NotFound, Refused) as error:
            subject = replace(subject, unread=error.message)
    return subject


def _with_listing(subject: DatasetSubject, read_object: Reader, *, erased: Erased) -> DatasetSubject:
    """The dataset with its list of files, and, where an item is listed once only, how the latest release differs."""
    found = items.read(parts.of(subject.content.objects), read_object)
    subject = replace(subject, listing=_listing(found))
    content = subject.releases.latest.content if subject.releases.latest else None
    released = parts.of(content.objects) if content else {}
    if not released or (subject.listing and subject.listing.repeated):
        return subject
    try:
        return replace(subject, diff=items.compare(items.read(released, read_object), found, erased))
    except (NotFound, Refused) as error:
        return replace(subject, unread=error.message)


def _listing(found: Items) -> Listing:
    return Listing(
        items.count(found.frame), items.splits_with_tables(found), found.unexpected_files, _find_repeated(found)
    )


def _find_repeated(found: Items) -> RepeatedImages | None:
    repeated = items.find_repeated(found)
    if repeated.is_empty():
        return None
    uuid = repeated["uuid"][0]
    rows = repeated.filter(pl.col("uuid") == uuid).select("split", "label").rows()
    return RepeatedImages(repeated["uuid"].n_unique(), uuid, tuple(f"{split}/{label}" for split, label in rows))


def _with_null_shares(subject: DatasetSubject, read_object: Reader) -> DatasetSubject:
    columns, md5 = list(subject.manifest.expectations.max_null_share), subject.content.objects["raw"]
    if not columns:
        return subject
    files = dir_listing.read(require_object(read_object, md5), md5)
    listed = files.filter(pl.col("relpath") == _SELECTION)["md5"]
    if listed.is_empty():
        raise Refused(f"{subject.id}/raw: {_SELECTION} is missing")
    data, name = require_object(read_object, listed[0]), f"{subject.id}/raw/{_SELECTION}"
    try:
        rows = parquet_files.read_table(data, name, wanted=columns.__contains__, at_most=_rows(subject))
    except pl.exceptions.PolarsError as error:
        raise Refused(f"{name} is not a Parquet file") from error
    known = [name for name in columns if name in rows.columns]
    return replace(subject, null_shares={name: rows[name].null_count() / max(rows.height, 1) for name in known})


def _rows(subject: DatasetSubject) -> int:
    """The rows that the selection has at most."""
    return subject.selection.rows if subject.selection else parquet_footer.MAX_ROWS
