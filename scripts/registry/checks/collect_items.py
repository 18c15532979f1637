"""Reads the objects that a dataset's pointers name, for the facts that rules need of them. Loads Polars."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from registry.checks.context import DatasetSubject, Listing, RepeatedImages
from registry.core import erasures, parts
from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.core.values import Diff
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
    """The dataset with its lists of files, and, where an item is listed once only, how the latest release differs.

    A version in parts is read prefix by prefix: memory never holds all of it.
    """
    content = subject.releases.latest.content if subject.releases.latest else None
    released = parts.of(content.objects) if content else {}
    listings, diffs, unread = list[Listing](), list[Diff](), ""
    for old, new in parts.aligned(released, parts.of(subject.content.objects)):
        found = items.read(new, read_object)
        listings.append(_listing(found))
        if released and not unread and not listings[-1].repeated:
            try:
                before = found if old == new else items.read(old, read_object)
                diffs.append(items.compare(before, found, erased))
            except (NotFound, Refused) as error:
                unread = error.message
    listing = _join(listings)
    is_compared = released and not unread and not listing.repeated
    return replace(
        subject, listing=listing, diff=items.join(diffs) if is_compared else None, unread=unread or subject.unread
    )


def _listing(found: Items) -> Listing:
    tables = frozenset(folder.partition("/")[0] for folder in found.tables)
    return Listing(items.count(found.frame), tables, found.unexpected_files, _find_repeated(found))


def _join(listings: Sequence[Listing]) -> Listing:
    """What the lists of all parts say; an image that is listed twice is so in one part, by its UUID."""
    repeated = [one.repeated for one in listings if one.repeated]
    return Listing(
        items.add_counts(one.counts for one in listings),
        frozenset[str]().union(*(one.tables for one in listings)),
        tuple(file for one in listings for file in one.unexpected_files),
        replace(repeated[0], count=sum(one.count for one in repeated)) if repeated else None,
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
