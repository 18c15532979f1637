"""Makes the rows of a selection of what was read of a source: UUIDs, labels, splits, and one row for each image."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from polars import DataFrame, col

from registry.core import item_paths
from registry.core.adoption import BYTES, FILE, GIVEN_SPLIT, MD5, uuid_of
from registry.core.layout import SPLITS
from registry.core.values import Column
from registry.core.wording import abbreviate, plural
from registry.errors import InvalidData
from registry.scaffold.adopt_layout import Image, LeftOut
from registry.scaffold.adopt_metadata import Metadata

_RANK = {"test": 0, "val": 1, "train": 2, None: 3}  # which of several splits an image keeps


@dataclass(frozen=True, slots=True)
class Read:
    """An image as it was read or copied: its MD5, its size in bytes, and what is wrong with it (None: nothing)."""

    md5: str
    size: int
    fault: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows, sorted by uuid, and their columns; `exclude` has the reason of each image that a version may not have.

    `left_out` are files that are no row; `notes` are what a person should know of UUIDs and splits.
    """

    frame: DataFrame
    columns: tuple[Column, ...]
    exclude: Mapping[str, str]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def make(images: Sequence[Image], classes: Mapping[str, str], metadata: Metadata, read: Mapping[str, Read]) -> Rows:
    """The rows of the images that were read; `classes` are by label. Raises InvalidData where no image is left.

    Of files with the same bytes one becomes a row: that of the split test before val before train, so that no test
    image is a training image. Where their labels differ, it is excluded.
    """
    by_md5: dict[str, list[Image]] = {}
    for image in sorted(images, key=lambda one: (_RANK[one.split], one.path)):
        if image.path in read:
            by_md5.setdefault(read[image.path].md5, []).append(image)
    left_out, exclude, chosen, moved = list[LeftOut](), dict[str, str](), list[Image](), 0
    reasons: dict[str, str] = {}
    for same in by_md5.values():
        first = same[0]
        chosen.append(first)
        other = next((one for one in same if classes[one.label or ""] != classes[first.label or ""]), None)
        if other:
            reasons[first.path] = f"identical to {_line(other.path)}, whose label is {classes[other.label or '']}"
        elif fault := read[first.path].fault:
            reasons[first.path] = fault
        moved += len({one.split for one in same}) > 1
        left_out += [LeftOut(one.path, "byte-identical to another image") for one in same[1:]]
    if len(reasons) == len(chosen):
        problems = [f"{path}: {why}" for path, why in reasons.items()]
        raise InvalidData("no image of the source can be adopted", problems, fix="correct the images in the source")
    uuids, notes = _uuids(chosen, metadata, read)
    exclude = {uuids[path]: why for path, why in reasons.items()}
    if moved:
        notes.append(
            f"{plural(moved, 'image was', 'images were')} in several splits: kept in test before val before train"
        )
    frame, columns = _frame(chosen, classes, metadata, read, uuids)
    return Rows(frame, columns, dict(sorted(exclude.items())), tuple(left_out), tuple(notes))


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:180]


def _uuids(chosen: Sequence[Image], metadata: Metadata, read: Mapping[str, Read]) -> tuple[dict[str, str], list[str]]:
    """The UUID of each path: as a table says, else as its file is named, else by its bytes; and notes."""
    said = {image.path: metadata.uuids.get(image.path) or _named(image.path) for image in chosen}
    counted: dict[str, int] = {}
    for name in said.values():
        if name:
            counted[name] = counted.get(name, 0) + 1
    uuids = {path: name if name and counted[name] == 1 else uuid_of(read[path].md5) for path, name in said.items()}
    clashing = sorted(path for path, name in said.items() if name and counted[name] > 1)
    notes = [f"UUIDs: {_describe_uuids(said, counted)}"]
    if clashing:
        notes.append(f"{plural(len(clashing), 'file')} share a UUID with another one, and got one of their bytes: "
                     f"{abbreviate(clashing)}")  # fmt: skip
    return uuids, notes


def _describe_uuids(said: Mapping[str, str | None], counted: Mapping[str, int]) -> str:
    own = sum(1 for name in said.values() if name and counted[name] == 1)
    parts = [f"{own:,} as in the source"] if own else []
    return ", ".join([*parts, *([f"{len(said) - own:,} made of the bytes"] if own < len(said) else [])])


def _named(path: str) -> str | None:
    stem = path.rpartition("/")[2].rpartition(".")[0].lower()
    return stem if re.fullmatch(item_paths.UUID, stem) else None


def _frame(
    chosen: Sequence[Image],
    classes: Mapping[str, str],
    metadata: Metadata,
    read: Mapping[str, Read],
    uuids: Mapping[str, str],
) -> tuple[DataFrame, tuple[Column, ...]]:
    facts = {
        "uuid": [uuids[image.path] for image in chosen],
        "label": [classes[image.label or ""] for image in chosen],
        FILE: [image.path for image in chosen],
        MD5: [read[image.path].md5 for image in chosen],
        BYTES: [read[image.path].size for image in chosen],
    }
    columns = [Column("uuid", "uuid", "uuid", nullable=False), Column("label", "label", "string", nullable=False)]
    columns += [Column(FILE, FILE, "string", False), Column(MD5, MD5, "string", False)]
    columns += [Column(BYTES, BYTES, "integer", False)]
    frame = DataFrame(facts, schema_overrides={BYTES: pl.Int64})
    if any(image.split for image in chosen):
        splits = pl.Series(GIVEN_SPLIT, [image.split for image in chosen], pl.String)
        frame = frame.with_columns(splits)
        columns.append(Column(GIVEN_SPLIT, GIVEN_SPLIT, "string", nullable=True))  # later rows may have none
    if metadata.types:
        frame = frame.join(metadata.rows, left_on=FILE, right_on="path", how="left", maintain_order="left")
        columns += [
            Column(name, metadata.names[name], kind, frame[name].has_nulls()) for name, kind in metadata.types.items()
        ]
    return frame.sort("uuid"), tuple(columns)


def count(frame: DataFrame) -> Mapping[str, int]:
    """How many rows have each given split; none where the source has no splits."""
    if GIVEN_SPLIT not in frame.columns:
        return {}
    found = dict(frame.filter(col(GIVEN_SPLIT).is_not_null()).group_by(GIVEN_SPLIT).len().rows())
    return {split: found.get(split, 0) for split in SPLITS}


def ratios(counts: Mapping[str, int]) -> dict[str, float]:
    """The shares of splits in hundredths, as they are; their sum is one."""
    total = sum(counts.values())
    parts = {split: round(100 * number / total) or int(number > 0) for split, number in counts.items()}
    largest = max(parts, key=lambda split: counts[split])
    parts[largest] += 100 - sum(parts.values())
    return {split: part / 100 for split, part in parts.items()}


def describe_exclusions(rows: Rows) -> Iterator[str]:
    """A line for each reason, with the number of images and the files of the first of them."""
    files = dict(rows.frame.select("uuid", FILE).rows())
    reasons: dict[str, list[str]] = {}
    for uuid, why in rows.exclude.items():
        reasons.setdefault(re.sub(r" to .*", " to another image of another label", why), []).append(files[uuid])
    for why, paths in sorted(reasons.items()):
        yield f"excluded: {plural(len(paths), 'image')}, {why}: {abbreviate(sorted(paths))}"
