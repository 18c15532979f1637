"""The contact sheets of a change: what was added, removed and relabelled."""

import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.values import Diff
from registry.dataset import contact_sheets
from registry.dataset.changes import Sheet
from registry.dataset.contact_sheets import CaptionedImage

# --- contact sheets ---------------------------------------------------------------------------------------------------


def render(diff: Diff, read: Reader) -> tuple[Sheet, ...]:
    """A sheet each of what was added, removed and relabelled, where anything was; `read` is asked for what is shown."""
    there, gone = col("md5_new").is_not_null(), col("md5_old").is_not_null()
    kinds = (
        ("added", "Added", "new", there & ~gone),
        ("removed", "Removed", "old", gone & ~there),
        ("relabelled", "Relabelled", "new", gone & there & (col("label_old") != col("label_new"))),
    )
    drawn = (_sheet(diff.rows.filter(chosen), name, title, side, read) for name, title, side, chosen in kinds)
    return tuple(sheet for sheet in drawn if sheet)


def _sheet(rows: DataFrame, name: str, title: str, side: str, read: Reader) -> Sheet | None:
    if rows.is_empty():
        return None
    # A class of a relabelled image is where it was and where it is: each of these ways is to be seen.
    way = pl.concat_str("label_old", "label_new", separator="\n", ignore_nulls=True)
    chosen = contact_sheets.sample(rows.select("uuid", pl.exclude("uuid"), way.alias("way"), md5=f"md5_{side}"), "way")
    pictures = [_picture(row) for row in chosen.iter_rows(named=True)]
    return contact_sheets.render(name, title, pictures, rows.height, read)


def _picture(row: dict[str, str | None]) -> CaptionedImage:
    labels, splits = (dict.fromkeys(row[f"{what}_{side}"] for side in ("old", "new")) for what in ("label", "split"))
    places = " to ".join(split for split in splits if split)
    return CaptionedImage(row["md5"], tuple(label for label in labels if label), f"{row['uuid'][:8]} · {places}")
