"""Duplicates in a dataset version: items with identical bytes, and items that look like new ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from polars import DataFrame, Series, col

from registry.core.artifact_files import Reader
from registry.core.values import Diff
from registry.core.wording import join, plural
from registry.dataset import perceptual_hash, thumbnails
from registry.dataset.changes import DuplicateItem, DuplicatePair, Symmetry
from registry.dataset.items import Items
from registry.errors import StorageFailed
from registry.storage.reader import map_reading

MAX_PAIRS = 50
THREADS = 16  # decoding keeps the processors busy, and a bucket answers many at a time

Progress = Callable[[int, int], None]  # images, bytes


class NearDuplicates(NamedTuple):
    """Near-duplicates of new images, and in words what could not be compared, and what shows too little for that."""

    pairs: tuple[DuplicatePair, ...] = ()
    unknown: str = ""
    skipped: str = ""


def find_identical(version: Items, new: Series) -> tuple[DuplicatePair, ...]:
    """The items whose bytes another item of this version has too: each with the first of them, an old one if there is.

    `new` holds the UUIDs of new images, as `new_uuids` gives them.
    """
    if version.frame["md5"].n_unique() == version.frame.height:
        return ()  # nearly always, and much faster to compute
    repeated = _marked(version.frame, new).filter(col("md5").is_duplicated()).sort("md5", "is_new", "uuid")
    firsts = repeated.unique("md5", keep="first", maintain_order=True)
    both = repeated.join(firsts, on="md5", suffix="_first").filter(col("uuid") != col("uuid_first"))
    rows = both.sort("uuid_first", "uuid").with_columns(md5_first="md5")
    return tuple(_pair(row) for row in rows.iter_rows(named=True))


def _marked(frame: DataFrame, new: Series) -> DataFrame:
    return frame.with_columns(is_new=col("uuid").is_in(new.implode()))


def _pair(row: Mapping[str, Any], distance: int = 0, symmetry: Symmetry = Symmetry.NONE) -> DuplicatePair:
    first, second = (
        DuplicateItem(*(row[f"{name}{suffix}"] for name in ("uuid", "split", "label", "md5", "is_new")))
        for suffix in ("_first", "")
    )
    if first.is_new and not second.is_new:
        first, second = second, first
    return DuplicatePair(first, second, distance, symmetry)


def new_uuids(diff: Diff) -> Series:
    """The UUIDs of the images that a change added or replaced."""
    return diff.rows.filter(col("md5_new").is_not_null(), col("md5_old").ne_missing(col("md5_new")))["uuid"]


def find_near(
    new: Series, version: Items, read: Reader, cache: Path, progress: Progress | None = None
) -> NearDuplicates:
    """The near-duplicates of the new images (UUIDs) in a version.

    An image whose bytes an old item has is not new: its near-duplicates were there before.
    Every image of the version is decoded once; its fingerprint is kept in `cache`.
    """
    first_items = _marked(version.frame, new).sort("is_new", "uuid").unique("md5", keep="first", maintain_order=True)
    images = first_items.select("md5", "is_new").sort("md5")
    known = fingerprints(images["md5"], read, cache, progress or (lambda _images, _size: None))
    parts = known.join(images, on="md5").partition_by("is_new", as_dict=True, include_key=False)
    some, others = (parts.get((is_new,), known.clear()) for is_new in (True, False))
    found, omitted = perceptual_hash.find_pairs(some, others)
    unknown = [_describe_unreadable(images.join(known, on="md5", how="anti"), images)]
    if omitted:
        unknown.append(f"images that look alike are too many: at least {omitted:,} candidates were not compared")
    plain = some["hashes"].null_count()
    skipped = f"{plural(plain, 'new image')} of one colour, or nearly" if plain else ""
    return NearDuplicates(tuple(_with_items(found, first_items)), "; ".join(filter(None, unknown)), skipped)


class _Computed(NamedTuple):
    """What was computed of an image, of which `moved` bytes were read; None where they are no image."""

    moved: int
    fingerprint: perceptual_hash.Fingerprint | None
    is_there: bool = True


def _compute(read: Reader, md5: str) -> _Computed:
    data = read(md5)
    if data is None:
        return _Computed(0, None, is_there=False)
    return _Computed(len(data), perceptual_hash.fingerprint(data))


def fingerprints(md5s: Series, read: Reader, cache: Path, progress: Progress) -> DataFrame:
    """The fingerprints of these images, from the cache or computed now; without those that cannot be read."""
    known = perceptual_hash.lookup(cache, md5s)
    progress(known.height, 0)
    absent = md5s.filter(~md5s.is_in(known["md5"].implode())).to_list()
    with thumbnails.without_warnings():  # it is not safe to set within a thread
        results = map_reading(_compute, read, absent, concurrency=THREADS, progress=progress)
    computed = {md5: one.fingerprint for md5, one in zip(absent, results, strict=True) if one.is_there}
    if computed:
        with suppress(StorageFailed):  # a read-only cache: the next run takes as long as this one
            perceptual_hash.record(cache, perceptual_hash.to_frame(computed))
    return pl.concat([known, perceptual_hash.to_frame(computed)])


def _with_items(found: DataFrame, items: DataFrame) -> Iterator[DuplicatePair]:
    both = found.join(items, left_on="first", right_on="md5", maintain_order="left").join(
        items, left_on="second", right_on="md5", suffix="_first", maintain_order="left"
    )
    for row in both.rename({"first": "md5", "second": "md5_first"}).iter_rows(named=True):
        yield _pair(row, row["distance"], Symmetry(row["symmetry"]))


def _describe_unreadable(unreadable: DataFrame, images: DataFrame) -> str:
    """How many images are missing from the comparison; empty where none is."""
    parts = []
    for is_new, kind in ((True, "new"), (False, "other")):
        missing, total = (frame.filter(is_new=is_new).height for frame in (unreadable, images))
        parts += [f"{missing:,} of {total:,} {kind} images"] if missing else []
    return f"near-duplicates of unreadable images: {join(parts)} could not be read" if parts else ""


def rank(pairs: Iterable[DuplicatePair]) -> tuple[tuple[DuplicatePair, ...], int]:
    """The MAX_PAIRS most important pairs (in two splits, then identical, then nearest), and how many more."""
    ranked = sorted(pairs, key=lambda pair: (not pair.crosses_splits, not pair.is_identical, pair.distance))
    return tuple(ranked[:MAX_PAIRS]), max(0, len(ranked) - MAX_PAIRS)
