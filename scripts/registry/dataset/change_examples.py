"""Examples of a change: some of the images that were added, removed and relabelled, each as a picture."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.values import Diff
from registry.dataset import thumbnails
from registry.dataset.changes import Example


def render(diff: Diff, read: Reader) -> tuple[Example, ...]:
    """The examples of added, removed and relabelled images, where there are any; only shown images are read."""
    in_new, in_old = col("md5_new").is_not_null(), col("md5_old").is_not_null()
    kinds = (
        ("Added", "new", in_new & ~in_old),
        ("Removed", "old", in_old & ~in_new),
        ("Relabelled", "new", in_old & in_new & (col("label_old") != col("label_new"))),
    )
    return tuple(
        example
        for title, side, chosen in kinds
        for example in _render(diff.rows.filter(chosen).with_columns(md5=f"md5_{side}"), title, read)
    )


def _render(rows: DataFrame, title: str, read: Reader) -> Iterator[Example]:
    if rows.is_empty():
        return
    # A relabelled image is sampled by its old and new label, so that every transition is shown.
    transition = pl.concat_str("label_old", "label_new", separator="\n", ignore_nulls=True)
    shown = thumbnails.sample(rows.with_columns(transition=transition), "transition").to_dicts()
    captions = [_caption(row) for row in shown]
    wanted = [
        thumbnails.Wanted(f"{title.lower()}-{place}", f"image of {caption}", row["md5"])
        for place, (row, caption) in enumerate(zip(shown, captions, strict=True), 1)
    ]
    pictures = thumbnails.render_all(wanted, read)
    for row, caption, picture in zip(shown, captions, pictures, strict=True):
        yield Example(title, rows.height, row["uuid"], caption, picture)


def _caption(row: Mapping[str, Any]) -> str:  # a row of a frame, which has no static types
    """`train/cat`, or `train/cat → train/dog`."""
    sides = (f"{row[f'split_{side}']}/{row[f'label_{side}']}" for side in ("old", "new") if row[f"md5_{side}"])
    return " → ".join(dict.fromkeys(sides))
