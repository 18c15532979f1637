"""The items of a dataset version, parsed from the paths in its `.dir` objects, and how two versions differ."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from polars import DataFrame, Series, col

from registry.core import erasures, item_paths, parts
from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.core.layout import SPLITS
from registry.core.parts import Parts
from registry.core.values import Counts, Diff
from registry.dataset import version_files

_ROWS = 65_536  # paths that are taken apart at once: a million at once take 80 MB more
_JOINED = 250_000  # items that are compared at once: a million at once take 200 MB more
_FACTS = ("split", "label", "md5")  # of an item, by its uuid
_SCHEMA = pl.Schema({"uuid": pl.String(), "split": pl.Enum(SPLITS), "label": pl.String(), "md5": pl.String()})


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A version's items: columns uuid, split, label, md5; `tables` has the MD5s of `metadata.parquet` by its folder.

    That is a split, or a part of one (`train/0a`). `unexpected_files` are the files that are neither.
    """

    frame: DataFrame
    tables: Mapping[str, str]
    unexpected_files: tuple[str, ...]

    @property
    def layout(self) -> int | None:
        """The digits of the prefixes of its parts, 0 for one folder; None without images."""
        return max((len(folder.partition("/")[2]) for folder in self.tables), default=None)


def read(found: Parts, read_object: Reader, name: str = "") -> Items:
    """The items of a version in these parts; messages call it `name`. Raises as `version_files.read`."""
    return parse(version_files.read(found, read_object, name))


def concat(parts: Sequence[Items]) -> Items:
    """The items of all of these parts of a version."""
    tables = {folder: md5 for part in parts for folder, md5 in part.tables.items()}
    files = tuple(file for part in parts for file in part.unexpected_files)
    return Items(pl.concat((part.frame for part in parts), rechunk=False), tables, files)


def parse(files: DataFrame) -> Items:
    """The items of a version's files (columns md5, relpath: what `version_files.read` gives).

    An image in a part that its UUID does not belong to is an unexpected file.
    """
    groups = col("relpath").str.extract_groups(item_paths.ITEM_PATH)
    frames, others = [DataFrame(schema=_SCHEMA)], [files.select("md5", "relpath").clear()]
    for some in files.iter_slices(_ROWS):
        named = some.select("md5", "relpath", groups.struct.field("uuid", "split", "label", "prefix"))
        is_item = col("uuid").is_not_null() & _is_in_place(named)
        frames.append(named.filter(is_item).select("uuid", col("split").cast(pl.Enum(SPLITS)), "label", "md5"))
        others.append(named.filter(~is_item).select("md5", "relpath"))
    frame, rest = pl.concat(frames, rechunk=True), pl.concat(others)
    unexpected_files = rest.filter(~col("relpath").str.contains(item_paths.METADATA_PATH)).sort("relpath")
    return Items(frame, tables(rest), tuple(unexpected_files["relpath"]))


def tables(files: DataFrame) -> Mapping[str, str]:
    """The MD5 of the `metadata.parquet` of each folder among a version's files (columns md5, relpath), sorted."""
    found = files.filter(col("relpath").str.contains(item_paths.METADATA_PATH)).sort("relpath")
    return dict(found.select(col("relpath").str.extract("^(.*)/"), "md5").iter_rows())


def _is_in_place(named: DataFrame) -> Series:
    """Whether each image is in the part of its UUID, where the version has parts."""
    right, places = Series([True]).new_from_index(0, len(named)), named["prefix"].is_not_null().arg_true()
    uuids, prefixes = (named[name].gather(places).to_list() for name in ("uuid", "prefix"))
    found = [parts.prefix(uuid, len(prefix)) == prefix for uuid, prefix in zip(uuids, prefixes, strict=True)]
    return right.scatter(places, found) if found else right


def count(frame: DataFrame, split: str = "split", label: str = "label") -> Counts:
    """How many rows a frame has per split (in the order train, val, test) and class (sorted)."""
    counted = frame.group_by(split, label).len().sort(split, label)
    counts: dict[str, dict[str, int]] = {}
    for split_name, label_name, number in counted.iter_rows():
        counts.setdefault(split_name, {})[label_name] = number
    return counts


def add_counts(several: Iterable[Counts]) -> Counts:
    """The sum of counts, in the order of `count`."""
    found: dict[str, dict[str, int]] = {}
    for counts in several:
        for split, classes in counts.items():
            known = found.setdefault(split, {})
            for label, number in classes.items():
                known[label] = known.get(label, 0) + number
    return {split: dict(sorted(found[split].items())) for split in SPLITS if split in found}


def find_repeated(items: Items) -> DataFrame:
    """The rows of every duplicate uuid, sorted by uuid: an item in two splits or under two labels."""
    if items.frame["uuid"].hash().n_unique() == len(items.frame):  # of numbers: of a million UUIDs it takes 90 MB more
        return items.frame.clear()
    return items.frame.filter(col("uuid").is_duplicated()).sort("uuid", "split", "label")


def compare(old: Items, new: Items, erased: Erased = erasures.NOTHING) -> Diff:
    """How two versions differ, neither of which has duplicate uuids.

    What had to leave, `erased`, is counted and in no row: a report must not show it once more.
    """
    rows = pl.concat(_find_different(*pair) for pair in _share_out(old.frame, new.frame)).sort("uuid")
    in_old, in_new = col("md5_old").is_not_null(), col("md5_new").is_not_null()
    gone = erased.find_items(rows.filter(~in_new)["uuid"])
    rows = rows.filter(in_new | ~col("uuid").is_in(gone))
    in_both = rows.filter(in_old & in_new)
    return Diff(
        before=count(old.frame),
        after=count(new.frame),
        added=count(rows.filter(~in_old), "split_new", "label_new"),
        removed=count(rows.filter(~in_new), "split_old", "label_old"),
        relabelled=count(in_both.filter(_differs("label")), "split_new", "label_new"),
        moved=count(in_both.filter(_differs("split")), "split_new", "label_new"),
        changed=count(in_both.filter(_differs("md5")), "split_new", "label_new"),
        rows=rows,
        tables=old.layout in {None, new.layout} and dict(old.tables) != dict(new.tables),
        erased=len(gone),
    )


def _share_out(old: DataFrame, new: DataFrame) -> Iterator[tuple[DataFrame, DataFrame]]:
    """Both in parts that have no uuid in common."""
    count = 1 + max(len(old), len(new)) // _JOINED
    part = col("uuid").hash() % count
    for number in range(count):
        yield old.filter(part == number), new.filter(part == number)


def _find_different(old: DataFrame, new: DataFrame) -> DataFrame:
    """The rows of items that are in one of both, or not the same: columns uuid, split_old, split_new and so on."""
    both = old.join(new, on="uuid", how="full", coalesce=True, suffix="_new").rename(
        {name: f"{name}_old" for name in _FACTS}
    )
    return both.filter(pl.any_horizontal(*map(_differs, _FACTS)))


def _differs(name: str) -> pl.Expr:
    return col(f"{name}_old").ne_missing(col(f"{name}_new"))


def join(diffs: Sequence[Diff]) -> Diff:
    """How two versions differ whose parts differ like this (`parts.aligned`); there is at least one pair."""
    counted = ("before", "after", "added", "removed", "relabelled", "moved", "changed")
    return Diff(
        **{name: add_counts(getattr(diff, name) for diff in diffs) for name in counted},
        rows=pl.concat(diff.rows for diff in diffs).sort("uuid"),
        tables=any(diff.tables for diff in diffs),
        erased=sum(diff.erased for diff in diffs),
    )
