"""The pictures of a change: contact sheets of its items, and the images that are or look the same as others."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import polars as pl
from polars import DataFrame, Series, col

from registry.core.artifact_files import Reader
from registry.core.values import Diff
from registry.dataset import contact_sheets, perceptual_hash
from registry.dataset.changes import DuplicatePair
from registry.dataset.items import Items
from registry.errors import StorageFailed

MOST_TWINS = 50
LANES = 16  # threads: decoding keeps the processors busy, and a bucket answers many at a time


# --- twins ------------------------------------------------------------------------------------------------------------


def find_identical(new: Items) -> tuple[DuplicatePair, ...]:
    """The items whose bytes another item of this version has too: each with the first of them, by uuid."""
    if new.frame["md5"].n_unique() == new.frame.height:
        return ()  # nearly always, and much faster to say
    alike = new.frame.filter(col("md5").is_duplicated()).sort("md5", "uuid")
    firsts = alike.unique("md5", keep="first", maintain_order=True)
    both = alike.join(firsts, on="md5", suffix="_first").filter(col("uuid") != col("uuid_first"))
    return tuple(_twins(row, 0, exact=True) for row in both.sort("uuid_first", "uuid").iter_rows(named=True))


def _twins(row: dict[str, str], distance: int, *, exact: bool) -> DuplicatePair:
    sides = (row[f"{what}{end}"] for what in ("uuid", "split", "label") for end in ("_first", ""))
    return DuplicatePair(*sides, distance=distance, exact=exact)


def new_md5s(diff: Diff) -> Series:
    """The md5s of what a change added or gave other bytes."""
    return diff.rows.filter(col("md5_new").is_not_null(), col("md5_old").ne_missing(col("md5_new")))["md5_new"]


def find_near(
    md5s: Series, new: Items, read: Reader, notes: Path, progress: Callable[[int, int], None] | None = None
) -> tuple[tuple[DuplicatePair, ...], str]:
    """Which of these items look like another item of the version; and what could not be looked at, in words.

    Every image of the version is decoded once, what is known of it being remembered in `notes`.
    """
    frame = new.frame.sort("uuid").unique("md5", keep="first", maintain_order=True)
    wanted = frame.select("md5", is_fresh=col("md5").is_in(md5s.implode())).sort("md5")
    known = _look(wanted["md5"], read, notes, progress or (lambda _images, _size: None))
    parts = known.join(wanted, on="md5").partition_by("is_fresh", as_dict=True, include_key=False)
    some, others = (parts.get((is_fresh,), known.clear()) for is_fresh in (True, False))
    found = perceptual_hash.find_pairs(some, others)
    unseen = wanted.join(known, on="md5", how="anti")["is_fresh"]
    return tuple(_named(found, frame)), _missed(int(unseen.sum()), int((~unseen).sum()), wanted)


def _look(md5s: Series, read: Reader, notes: Path, progress: Callable[[int, int], None]) -> DataFrame:
    """What is known of these images: those that nobody looked at before are decoded now, where they can be read."""
    known = perceptual_hash.lookup(notes, md5s)
    looked: dict[str, perceptual_hash.Fingerprint | None] = {}

    def look(md5: str) -> None:
        data = read(md5)
        if data is not None:
            looked[md5] = perceptual_hash.fingerprint(data)
        progress(1, len(data or b""))

    progress(known.height, 0)
    with contact_sheets.without_warnings(), ThreadPoolExecutor(LANES) as pool:
        list(pool.map(look, md5s.filter(~md5s.is_in(known["md5"].implode()))))
    if looked:
        with suppress(StorageFailed):  # a cache that only reads: the next run takes as long as this one
            perceptual_hash.record(notes, perceptual_hash.to_frame(looked))
    return pl.concat([known, perceptual_hash.to_frame(looked)])


def _named(found: DataFrame, frame: DataFrame) -> Iterator[DuplicatePair]:
    both = found.join(frame, left_on="first", right_on="md5", maintain_order="left").join(
        frame, left_on="second", right_on="md5", suffix="_first", maintain_order="left"
    )
    for row in both.iter_rows(named=True):
        yield _twins(row, row["distance"], exact=False)


def _missed(fresh: int, others: int, wanted: DataFrame) -> str:
    """What was not looked at, in words; empty where all was."""
    news, olds = int(wanted["is_fresh"].sum()), int((~wanted["is_fresh"]).sum())
    parts = [f"{fresh:,} of the {news:,} new ones"] if fresh else []
    parts += [f"{others:,} of the {olds:,} others"] if others else []
    return f"whether new images look like others: {' and '.join(parts)} could not be read" if parts else ""


def rank(twins: Iterable[DuplicatePair]) -> tuple[tuple[DuplicatePair, ...], int]:
    """The MOST_TWINS pairs that matter most (same bytes, then in two splits, then nearest), and how many more."""
    ranked = sorted(twins, key=lambda one: (not one.exact, one.first_split == one.second_split, one.distance))
    return tuple(ranked[:MOST_TWINS]), max(0, len(ranked) - MOST_TWINS)
