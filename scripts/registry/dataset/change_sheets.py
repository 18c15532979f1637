"""The contact sheets of a change: the images that were added, removed and relabelled."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.values import Diff
from registry.dataset import contact_sheets
from registry.dataset.changes import Sheet
from registry.dataset.contact_sheets import CaptionedImage


def render(diff: Diff, read: Reader) -> tuple[Sheet, ...]:
    """A sheet each of added, removed and relabelled images, where there are any; only shown images are read."""
    in_new, in_old = col("md5_new").is_not_null(), col("md5_old").is_not_null()
    kinds = (
        ("added", "Added", "new", in_new & ~in_old),
        ("removed", "Removed", "old", in_old & ~in_new),
        ("relabelled", "Relabelled", "new", in_old & in_new & (col("label_old") != col("label_new"))),
    )
    sheets = (_render_sheet(diff.rows.filter(chosen), name, title, side, read) for name, title, side, chosen in kinds)
    return tuple(sheet for sheet in sheets if sheet)


def _render_sheet(rows: DataFrame, name: str, title: str, side: str, read: Reader) -> Sheet | None:
    if rows.is_empty():
        return None
    # A relabelled image is sampled by its old and new label, so that every transition is shown.
    transition = pl.concat_str("label_old", "label_new", separator="\n", ignore_nulls=True)
    candidates = rows.select("uuid", pl.exclude("uuid"), transition.alias("transition"), md5=f"md5_{side}")
    images = [_caption(row) for row in contact_sheets.sample(candidates, "transition").iter_rows(named=True)]
    return contact_sheets.render(name, title, images, rows.height, read)


def _caption(row: Mapping[str, Any]) -> CaptionedImage:
    labels, splits = (dict.fromkeys(row[f"{what}_{side}"] for side in ("old", "new")) for what in ("label", "split"))
    note = f"{row['uuid'][:8]} · {' to '.join(split for split in splits if split)}"
    return CaptionedImage(row["md5"], tuple(label for label in labels if label), note)
