"""A made-up second task: how bright an image is, from 0 to 255, judged by the mean absolute error; lower is better.

The truth is the column `brightness` of `metadata.parquet`; the output is `levels`, one number for an image.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy
import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.dataset import thumbnails
from registry.dataset.changes import Example
from registry.dataset.parquet_files import Stored
from registry.errors import Refused
from registry.model.changes import Evidence, PairedComparison, Role, Slice
from registry.model.model_file import ModelOutput

NAME = "brightness"
OUTPUTS: tuple[ModelOutput, ...] = (ModelOutput("levels", (1,)),)
TRUTH: tuple[str, ...] = ("brightness",)
SHARES: Collection[str] = ()
GATE = "{metric: mae, max: 20}"
PLOTS: Mapping[str, Mapping[str, str]] = {"levels.csv": {"template": "scatter", "x": "brightness", "y": "level"}}


def tabulate(test: DataFrame, outputs: Mapping[str, numpy.ndarray], classes: Sequence[str]) -> DataFrame:
    levels = pl.Series("level", outputs["levels"][:, 0])
    return test.select("uuid", "label", col("brightness").cast(pl.Float64)).with_columns(levels).sort("uuid")


def summarise(rows: DataFrame) -> DataFrame:
    return rows


def read(stored: Stored, test: DataFrame, what: str) -> DataFrame:
    try:
        found = pl.read_parquet(stored, columns=["uuid", "level"])
    except pl.exceptions.PolarsError as error:
        raise Refused(f"{what} has no levels", fix="dvc repro") from error
    return test.select("uuid", "label", col("brightness").cast(pl.Float64)).join(found, on="uuid").sort("uuid")


def differing(recorded: Stored, judged: Stored) -> list[str]:
    both = pl.read_parquet(judged).join(pl.read_parquet(recorded), on="uuid", suffix="_recorded")
    return both.filter((col("level") - col("level_recorded")).abs() > 0.01)["uuid"].to_list()


def measure(table: DataFrame) -> dict[str, object]:
    return {
        "mae": _error(table),
        "images": table.height,
        "per_class": {
            label: {"mae": _error(rows)} for (label,), rows in sorted(table.group_by("label"), key=lambda one: one[0])
        },
    }


def _error(table: DataFrame) -> float:
    return round(float(table.select((col("level") - col("brightness")).abs().mean()).item()), 4)


def plots(table: DataFrame) -> Mapping[str, str]:
    return {"levels.csv": table.select("brightness", "level").write_csv()}


def join(base: DataFrame, new: DataFrame, images: DataFrame) -> DataFrame:
    levels = (side.select("uuid", col("level").alias(role)) for role, side in ((Role.BASE, base), (Role.NEW, new)))
    known = images.select("uuid", "md5", "label", "old_label", col("brightness").cast(pl.Float64))
    return known.join(next(levels), on="uuid").join(next(levels), on="uuid").sort("uuid")


def single(new: DataFrame, images: DataFrame) -> DataFrame:
    return images.select("uuid", "md5").join(new, on="uuid")


def compare(shared: DataFrame, confidence: float = 0.95) -> PairedComparison | None:
    if shared.is_empty():
        return None
    errors = shared.select(base=(col("base") - col("brightness")).abs(), new=(col("new") - col("brightness")).abs())
    base, new = float(errors["base"].sum()) / errors.height, float(errors["new"].sum()) / errors.height
    worse, better = int((errors["new"] > errors["base"]).sum()), int((errors["new"] < errors["base"]).sum())
    reach = 1.96 * float((errors["new"] - errors["base"]).std() or 0) / math.sqrt(errors.height)  # type: ignore[arg-type]
    low, high = new - base - reach, new - base + reach
    return PairedComparison(
        errors.height, base, new, new - base, low, high, confidence, worse, better, None, "mae",
        is_share=False, higher_is_better=False,
    )  # fmt: skip


def slices(shared: DataFrame, columns: Mapping[str, DataFrame]) -> Iterator[Slice]:
    for name, values in columns.items():
        for value in values["value"].unique().sort():
            if found := compare(shared.join(values.filter(value=value), on="uuid", how="semi")):
                yield Slice(name, value, found)


def evidence(shared: DataFrame, read: Reader) -> Evidence:
    if Role.BASE not in shared.columns:
        return Evidence()
    furthest = shared.sort((col("new") - col("brightness")).abs(), descending=True).head(2)
    return Evidence(
        tuple(
            Example(
                "Furthest from the truth",
                2,
                uuid,
                f"{base:.0f} → {new:.0f}",
                thumbnails.render(uuid, uuid, md5, read),
            )
            for uuid, md5, base, new in furthest.select("uuid", "md5", "base", "new").iter_rows()
        )
    )
