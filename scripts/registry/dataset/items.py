"""The items of a dataset version, parsed from the paths in its `.dir` object, and how two versions differ."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from polars import DataFrame, col

from registry.core import erasures, item_paths
from registry.core.erasures import Erased
from registry.core.layout import SPLITS
from registry.core.values import Counts, Diff


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A version's items: columns uuid, split, label, md5; `tables` has the md5 of each split's `metadata.parquet`.

    `unexpected_files` are the files that are neither.
    """

    frame: DataFrame
    tables: Mapping[str, str]
    unexpected_files: tuple[str, ...]


def parse(files: DataFrame) -> Items:
    """The items of a `.dir` object's files (columns md5, relpath: what `dir_listing.read` gives)."""
    parts = col("relpath").str.extract_groups(item_paths.ITEM_PATH).struct.field("uuid", "split", "label")
    named = files.select("md5", "relpath", parts)
    is_item = col("uuid").is_not_null()
    frame = named.filter(is_item).select("uuid", col("split").cast(pl.Enum(SPLITS)), "label", "md5")
    split = col("relpath").str.extract(item_paths.METADATA_PATH).alias("split")
    rest = named.filter(~is_item).select("md5", "relpath", split)
    tables = rest.filter(col("split").is_not_null()).sort("split")
    unexpected_files = rest.filter(col("split").is_null()).sort("relpath")
    return Items(frame, dict(tables.select("split", "md5").iter_rows()), tuple(unexpected_files["relpath"]))


def count(frame: DataFrame, split: str = "split", label: str = "label") -> Counts:
    """How many rows a frame has per split (in the order train, val, test) and class (sorted)."""
    counted = frame.group_by(split, label).len().sort(split, label)
    counts: dict[str, dict[str, int]] = {}
    for split_name, label_name, number in counted.iter_rows():
        counts.setdefault(split_name, {})[label_name] = number
    return counts


def find_repeated(items: Items) -> DataFrame:
    """The rows of every duplicate uuid, sorted by uuid: an item in two splits or under two labels."""
    return items.frame.filter(col("uuid").is_duplicated()).sort("uuid", "split", "label")


def compare(old: Items, new: Items, erased: Erased = erasures.NOTHING) -> Diff:
    """How two versions differ, neither of which has duplicate uuids.

    What had to leave, `erased`, is counted and in no row: a report must not show it once more.
    """
    both = old.frame.join(new.frame, on="uuid", how="full", coalesce=True, suffix="_new").rename(
        {name: f"{name}_old" for name in ("split", "label", "md5")}
    )
    differs = {name: col(f"{name}_old").ne_missing(col(f"{name}_new")) for name in ("split", "label", "md5")}
    rows = both.filter(pl.any_horizontal(*differs.values())).sort("uuid")
    in_old, in_new = col("md5_old").is_not_null(), col("md5_new").is_not_null()
    gone = erased.find_items(rows.filter(~in_new)["uuid"])
    rows = rows.filter(in_new | ~col("uuid").is_in(gone))
    in_both = rows.filter(in_old & in_new)
    return Diff(
        before=count(old.frame),
        after=count(new.frame),
        added=count(rows.filter(~in_old), "split_new", "label_new"),
        removed=count(rows.filter(~in_new), "split_old", "label_old"),
        relabelled=count(in_both.filter(differs["label"]), "split_new", "label_new"),
        moved=count(in_both.filter(differs["split"]), "split_new", "label_new"),
        changed=count(in_both.filter(differs["md5"]), "split_new", "label_new"),
        rows=rows,
        tables=dict(old.tables) != dict(new.tables),
        erased=len(gone),
    )
