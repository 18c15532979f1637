"""What the site shows of the images of a release: how many of which class, how columns are distributed, single images.

The data of the grid are scripts that call `registryCatalog`, because a page that was opened from a folder may load
scripts, and no JSON. `index.js` names everything else and is written last: where it is, a release is complete.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.catalog.columns import Columns, Distribution
from registry.core import digests
from registry.core.layout import SPLITS
from registry.core.parts import Parts
from registry.core.settings import CatalogImages
from registry.core.values import Column

CHUNK = 500  # rows in a file
SAMPLED = 12  # images of each class and split
EXAMPLES = 32  # on a release's own contact sheet
FIRST_CODE = 35  # the character of the first value; no quote is among those that follow
_START, _END = b"registryCatalog(", b");\n"


class Group(NamedTuple):
    """The rows of one class in one split, which follow each other."""

    split: str
    label: str
    rows: int


@dataclass(frozen=True, slots=True)
class ShownItems:
    """What `index.js` says: of `total` images, those of the `groups` are shown one by one, in this order.

    `sheets` are the contact sheets with their thumbnails, by name.
    """

    total: int
    groups: tuple[Group, ...] = ()
    columns: tuple[Distribution, ...] = ()
    sheets: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """The images that are shown one by one."""
        return sum(group.rows for group in self.groups)


def key(listed: Parts, columns: Sequence[Column], images: CatalogImages, erased: str, before: str) -> str:
    """The name of what is shown of the files of a version: the same name, the same files.

    `erased` stands for what must not be shown, `before` for the releases whose images are on sheets already.
    """
    parts = [dict(listed), [[column.name, column.type] for column in columns], images.value, erased, before]
    return digests.md5(json.dumps(parts).encode())[:16]


def choose(items: DataFrame, images: CatalogImages) -> DataFrame:
    """The rows that are shown, by split, class and UUID; a sample is the same each time, and hardly moves with more."""
    if images is CatalogImages.NONE:
        return items.clear()
    if images is CatalogImages.SAMPLE:
        place = pl.int_range(pl.len()).over("split", "label")
        items = items.sort("md5", "uuid").filter(place < SAMPLED)
    return items.sort(col("split").cast(pl.Enum(SPLITS)), "label", "uuid")


def examples(rows: DataFrame) -> tuple[str, ...]:
    """The images of a release's own contact sheet (MD5s), class by class: as many of each, and hardly others later."""
    known = rows.filter(col("md5").is_not_null()).sort("md5", "uuid").unique("md5", keep="first", maintain_order=True)
    ranked = known.with_columns(rank=pl.int_range(pl.len()).over("label")).sort("rank", "label")
    return tuple(ranked.head(EXAMPLES).sort("label", "rank")["md5"])


def groups(rows: DataFrame) -> tuple[Group, ...]:
    """The classes of chosen rows, in their order."""
    counted = rows.group_by("split", "label", maintain_order=True).len()
    return tuple(Group(str(split), label, number) for split, label, number in counted.iter_rows())


# --- files ------------------------------------------------------------------------------------------------------------


def write_index(found: ShownItems) -> bytes:
    """`index.js`."""
    return _script({"at": "index", "chunk": CHUNK, **asdict(found), "groups": [list(one) for one in found.groups]})


def read_index(data: bytes) -> ShownItems | None:
    """What an `index.js` says; None for one that is damaged."""
    try:
        found = json.loads(data.removeprefix(_START).removesuffix(_END))
        columns = tuple(
            Distribution(**{**one, "values": tuple(one["values"]), "counts": tuple(one["counts"])})
            for one in found["columns"]
        )
        groups = tuple(Group(*one) for one in found["groups"])
        return ShownItems(int(found["total"]), groups, columns, tuple(map(str, found["sheets"])))
    except (ValueError, KeyError, TypeError):
        return None


def file_names(found: ShownItems) -> Iterator[str]:
    """The files beside `index.js`."""
    yield from (f"rows-{number}.js" for number in range(-(-found.rows // CHUNK)))
    yield from (f"codes-{number}.js" for number, one in enumerate(found.columns) if one.values and found.rows)


def write_rows(rows: DataFrame, metadata: DataFrame, columns: Columns) -> Iterator[tuple[str, bytes]]:
    """The files with the rows that were chosen, and with the values by which they are filtered, by name.

    `rows` have uuid, and `place`: that of the thumbnail in the sheets of the index, null for none.
    """
    texts = rows.select("uuid", "place").join(
        metadata.drop("split", "label").select("uuid", pl.exclude("uuid").cast(pl.String)),
        on="uuid", how="left", maintain_order="left",
    )  # fmt: skip
    for number, start in enumerate(range(0, texts.height, CHUNK)):
        part = texts.slice(start, CHUNK)
        yield f"rows-{number}.js", _script({"at": f"rows-{number}", **part.to_dict(as_series=False)})
    codes = rows.select("uuid").join(columns.codes, on="uuid", how="left", maintain_order="left")
    for number, one in enumerate(columns.distributions):
        if one.values and rows.height:
            text = "".join(
                chr(FIRST_CODE + code) for code in codes[one.column].fill_null(len(one.values))
            )  # erased ones have none
            yield f"codes-{number}.js", _script({"at": f"codes-{number}", "codes": text})


def _script(data: Mapping[str, Any]) -> bytes:
    return _START + json.dumps(data, separators=(",", ":")).encode() + _END
