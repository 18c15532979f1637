"""The answers of two models, image by image, as frames: what both were asked, where they differ, how sure they were."""

from collections.abc import Iterator, Mapping
from io import BytesIO

import polars as pl
from polars import DataFrame, col

from registry.core import item_paths
from registry.errors import Refused
from registry.model import paired_comparison
from registry.model.changes import Paired, Slice
from registry.model.gates import LABEL

VALUES = 20  # of a metadata column that a reviewer is shown, the most frequent ones
BINS = 10  # of confidence
WHICH = ("base", "new")
_SCORE = "score_"


def read(data: bytes, test: DataFrame, what: str) -> DataFrame:
    """A model's answers for the images of a test set (columns uuid, label, md5): uuid, predicted, score.

    `data` is a `predictions.parquet`: uuid, predicted, and score_CLASS for each class where the model has scores; the
    answer's score is that of the class it names. Raises Refused where it is none, or an image lacks its one answer;
    `what` names it then.
    """
    try:
        table = pl.read_parquet(BytesIO(data))
        known = table.select(col("uuid", "predicted").cast(pl.String), _score(table))
    except pl.exceptions.PolarsError as error:
        fault = f"{what} is not a Parquet file with the columns uuid and predicted"
        raise Refused(fault, fix="have evaluate.py write it") from error
    answers = test.select("uuid").join(known, on="uuid", how="left", maintain_order="left")
    if lacking := answers["predicted"].null_count():
        raise Refused(f"{what} has no answer for {lacking:,} of {test.height:,} test images", fix="dvc repro")
    if answers.height > test.height:
        raise Refused(f"{what} answers {answers.height - test.height:,} times too often", fix="dvc repro")
    return answers


def _score(table: DataFrame) -> pl.Expr:
    names = [name.removeprefix(_SCORE) for name in table.columns if name.startswith(_SCORE)]
    scores = (pl.when(col("predicted") == name).then(col(f"{_SCORE}{name}")) for name in names)
    return (pl.coalesce(*scores) if names else pl.lit(None)).cast(pl.Float64).alias("score")


def measure(answers: DataFrame, test: DataFrame) -> dict[str, float]:
    """Accuracy and macro F1 (over the labels of the test set) of the answers for all of a test set's images."""
    judged = test.join(answers, on="uuid")
    label, predicted = judged["label"], judged["predicted"]
    f1 = [
        2 * ((label == name) & (predicted == name)).sum() / ((label == name).sum() + (predicted == name).sum())
        for name in sorted(set(label))
    ]
    return {"accuracy": (label == predicted).mean(), "macro_f1": sum(f1) / len(f1)}


# --- images that both versions have -----------------------------------------------------------------------------------


def meet(base_test: DataFrame, new_test: DataFrame, base: DataFrame, new: DataFrame) -> DataFrame:
    """The images (same uuid, same bytes) of both test sets, with both models' answers, sorted by uuid.

    Columns uuid, md5, label (the new one, by which both are judged), old_label, base, base_score, new, new_score.
    """
    same = new_test.select("uuid", "md5", "label").join(
        base_test.select("uuid", "md5", old_label="label"), on=("uuid", "md5")
    )
    for which, answers in zip(WHICH, (base, new), strict=True):
        same = same.join(answers.select("uuid", col("predicted").alias(which), _named(which)), on="uuid")
    return same.sort("uuid")


def alone(test: DataFrame, new: DataFrame) -> DataFrame:
    """A first version's images, in the form of `meet` without the columns of a base."""
    answers = new.select("uuid", col("predicted").alias("new"), _named("new"))
    return test.select("uuid", "md5", "label", old_label="label").join(answers, on="uuid").sort("uuid")


def _named(which: str) -> pl.Expr:
    return col("score").alias(f"{which}_score")


def compare(common: DataFrame) -> Paired | None:
    """Both models on the images of `meet`; None where there is none."""
    return paired_comparison.compare(*common.select(*_tally()).row(0))


def _tally() -> tuple[pl.Expr, ...]:
    """How many images both models have right, the base alone, the new one alone, and neither."""
    base, new = col("base") == col("label"), col("new") == col("label")
    cases = {"both": base & new, "broke": base & ~new, "fixed": ~base & new, "neither": ~base & ~new}
    return tuple(case.sum().alias(name) for name, case in cases.items())


def slices(common: DataFrame, columns: Mapping[str, DataFrame]) -> Iterator[Slice]:
    """Both models on each class, then on the most frequent values of each column (what `column` made of it)."""
    for name, values in {LABEL: common.select("uuid", value="label"), **columns}.items():
        counted = values.join(common, on="uuid").drop_nulls("value").group_by("value").agg(pl.len(), *_tally())
        frequent = counted.sort("len", "value", descending=[True, False]).head(VALUES)
        for value, _, *counts in (counted.sort("value") if name == LABEL else frequent).iter_rows():
            yield Slice(name, value, paired_comparison.compare(*counts))


def choose(rows: DataFrame, values: DataFrame, value: str) -> DataFrame:
    """The images that have a value."""
    return rows.join(values.filter(col("value") == value), on="uuid", how="semi", maintain_order="left")


def column(table: bytes, name: str) -> DataFrame | None:
    """A column of a `metadata.csv` as text: uuid and value (null where the cell is empty); None if there is none."""
    metadata = pl.read_csv(table, infer_schema=False)
    if name not in metadata.columns:
        return None
    uuid = col("file_name").str.extract_groups(item_paths.FILE_NAME).struct.field("uuid")
    return metadata.select(uuid, col(name).alias("value"))


# --- what a reviewer looks at -----------------------------------------------------------------------------------------


def flips(common: DataFrame) -> DataFrame:
    """The images that one model has right and the other wrong: see `review.ModelChange`, and md5; sorted by uuid."""
    base, new = col("base") == col("label"), col("new") == col("label")
    kind = pl.when(base).then(pl.lit("broke")).otherwise(pl.lit("fixed")).alias("kind")
    columns = ("uuid", pl.lit("test").alias("split"), "label", "base", "new", "base_score", "new_score", kind, "md5")
    return common.filter(base != new).select(columns)


def confusion(common: DataFrame) -> DataFrame:
    """How often a label (actual) got an answer (predicted), for each model: which, actual, predicted, images."""
    parts = (
        common.group_by(actual="label", predicted=which).agg(images=pl.len().cast(pl.Int64)).with_columns(_which(which))
        for which in WHICH
        if which in common.columns
    )
    return pl.concat(parts).select("which", "actual", "predicted", "images").sort("which", "actual", "predicted")


def calibration(common: DataFrame) -> DataFrame | None:
    """How often answers of a confidence are right, for each model: which, bin, confidence, accuracy, images.

    `bin` is the middle of one of ten. None where no model has scores.
    """
    parts = [_calibration(common, which) for which in WHICH if which in common.columns]
    found = pl.concat(parts).sort("which", "bin")
    return found if found.height else None


def _calibration(common: DataFrame, which: str) -> DataFrame:
    place = (col("confidence") * BINS).floor().clip(0, BINS - 1)
    known = common.select(confidence=f"{which}_score", right=(col(which) == col("label"))).drop_nulls().drop_nans()
    binned = known.group_by(bin=((place + 0.5) / BINS).round(6)).agg(
        col("confidence").mean(), accuracy=col("right").mean(), images=pl.len().cast(pl.Int64)
    )
    return binned.select(_which(which), "bin", "confidence", "accuracy", "images")


def _which(which: str) -> pl.Expr:
    return pl.lit(which).alias("which")
