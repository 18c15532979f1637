"""The predictions of two models, image by image, as frames: joined, compared, sliced, and counted."""

from collections.abc import Iterator, Mapping

import polars as pl
from polars import DataFrame, col

from registry.core.wording import plural
from registry.dataset import parquet_files
from registry.errors import Refused
from registry.model import paired_comparison
from registry.model.changes import Flip, PairedComparison, Role, Slice
from registry.model.gates import LABEL

VALUES = 20  # slices of one metadata column: its most frequent values
BINS = 10  # of the reliability diagram
MAX_COLUMNS = 10_002  # uuid, predicted, and a score for each of the classes that a manifest may have
_SCORE = "score_"


def read(data: bytes, test: DataFrame, what: str) -> DataFrame:
    """A model's predictions for the images of a test set (columns uuid, label, md5): uuid, predicted, score.

    `data` is a `predictions.parquet`: uuid, predicted, and score_CLASS for each class where the model has scores;
    `score` is that of the predicted class. Raises Refused, naming `what`, where `data` is not such a file or does not
    have exactly one prediction for each image.
    """
    try:
        table = parquet_files.read_table(data, what, wanted=_is_known, columns_at_most=MAX_COLUMNS, fix="dvc repro")
        known = table.select(col("uuid", "predicted").cast(pl.String), _score(table))
    except pl.exceptions.PolarsError as error:
        fault = f"{what} is not a Parquet file with the columns uuid and predicted"
        raise Refused(fault, fix="write these columns in evaluate.py, then run `dvc repro`") from error
    found = test.select("uuid").join(known, on="uuid", how="left", maintain_order="left")
    if missing := found["predicted"].null_count():
        raise Refused(f"{what} has no prediction for {missing:,} of {test.height:,} test images", fix="dvc repro")
    if duplicates := found.height - test.height:
        raise Refused(f"{what} contains {plural(duplicates, 'duplicate prediction')}", fix="dvc repro")
    return found


def _is_known(name: str) -> bool:
    return name in {"uuid", "predicted"} or name.startswith(_SCORE)


def _score(table: DataFrame) -> pl.Expr:
    names = [name.removeprefix(_SCORE) for name in table.columns if name.startswith(_SCORE)]
    scores = (pl.when(col("predicted") == name).then(col(f"{_SCORE}{name}")) for name in names)
    return (pl.coalesce(*scores) if names else pl.lit(None)).cast(pl.Float64).alias("score")


def measure(predictions: DataFrame, test: DataFrame) -> dict[str, float]:
    """Accuracy and macro F1 (over the labels of the test set) of predictions for all images of a test set."""
    joined = test.join(predictions, on="uuid")
    label, predicted = joined["label"], joined["predicted"]
    f1 = [
        2 * ((label == name) & (predicted == name)).sum() / ((label == name).sum() + (predicted == name).sum())
        for name in sorted(set(label))
    ]
    return {"accuracy": (label == predicted).mean(), "macro_f1": sum(f1) / len(f1)}


# --- shared test images -----------------------------------------------------------------------------------------------


def join(base_test: DataFrame, new_test: DataFrame, base: DataFrame, new: DataFrame) -> DataFrame:
    """The images (same uuid, same md5) of both test sets, with both models' predictions, sorted by uuid.

    Columns uuid, md5, label (the new one, against which both are evaluated), old_label, base, base_score, new,
    new_score.
    """
    same = new_test.select("uuid", "md5", "label").join(
        base_test.select("uuid", "md5", old_label="label"), on=("uuid", "md5")
    )
    for role, predicted in ((Role.BASE, base), (Role.NEW, new)):
        same = same.join(_of(role, predicted), on="uuid")
    return same.sort("uuid")


def single(test: DataFrame, new: DataFrame) -> DataFrame:
    """The images of a first version, in the form of `join` without the columns of a base."""
    return test.select("uuid", "md5", "label", old_label="label").join(_of(Role.NEW, new), on="uuid").sort("uuid")


def _of(role: Role, predicted: DataFrame) -> DataFrame:
    return predicted.select("uuid", col("predicted").alias(role), col("score").alias(f"{role}_score"))


def compare(shared: DataFrame) -> PairedComparison | None:
    """Both models on the images of `join`; None where there is none."""
    return paired_comparison.compare(*shared.select(*_tally()).row(0))


def _tally() -> tuple[pl.Expr, ...]:
    """How many images both models classify correctly, the base only, the new one only, and neither."""
    base, new = col("base") == col("label"), col("new") == col("label")
    cases = {"both": base & new, "broken": base & ~new, "fixed": ~base & new, "neither": ~base & ~new}
    return tuple(case.sum().alias(name) for name, case in cases.items())


def slices(shared: DataFrame, columns: Mapping[str, DataFrame]) -> Iterator[Slice]:
    """Both models on each class, then on the most frequent values of each column (a frame of uuid and value)."""
    for name, values in {LABEL: shared.select("uuid", value="label"), **columns}.items():
        counted = values.join(shared, on="uuid").drop_nulls("value").group_by("value").agg(pl.len(), *_tally())
        frequent = counted.sort("len", "value", descending=[True, False]).head(VALUES)
        for value, _, *counts in (counted.sort("value") if name == LABEL else frequent).iter_rows():
            if found := paired_comparison.compare(*counts):
                yield Slice(name, value, found)


def select_value(rows: DataFrame, values: DataFrame, value: str) -> DataFrame:
    """The rows whose image has a value (`values`: a frame of uuid and value)."""
    return rows.join(values.filter(col("value") == value), on="uuid", how="semi", maintain_order="left")


# --- for reviewers ----------------------------------------------------------------------------------------------------


def flips(shared: DataFrame) -> DataFrame:
    """The images that only one model classifies correctly, sorted by uuid: see `ModelChange.flips`, and md5."""
    base, new = col("base") == col("label"), col("new") == col("label")
    kind = pl.when(base).then(pl.lit(Flip.BROKEN.value)).otherwise(pl.lit(Flip.FIXED.value)).alias("kind")
    columns = ("uuid", pl.lit("test").alias("split"), "label", "base", "new", "base_score", "new_score", kind, "md5")
    return shared.filter(base != new).select(columns)


def confusion(shared: DataFrame) -> DataFrame:
    """How often each class (actual) was predicted as each class, per model: model, actual, predicted, images."""
    parts = (
        shared.group_by(actual="label", predicted=role.value)
        .agg(images=pl.len().cast(pl.Int64))
        .with_columns(_model(role))
        for role in Role
        if role in shared.columns
    )
    return pl.concat(parts).select("model", "actual", "predicted", "images").sort("model", "actual", "predicted")


def calibration(shared: DataFrame) -> DataFrame | None:
    """Accuracy by predicted confidence, per model: model, bin, confidence, accuracy, images.

    `bin` is the centre of one of ten bins. None where no model has scores.
    """
    parts = [_calibration(shared, role) for role in Role if role in shared.columns]
    found = pl.concat(parts).sort("model", "bin")
    return found if found.height else None


def _calibration(shared: DataFrame, role: Role) -> DataFrame:
    place = (col("confidence") * BINS).floor().clip(0, BINS - 1)
    known = shared.select(confidence=f"{role}_score", correct=(col(role) == col("label"))).drop_nulls().drop_nans()
    binned = known.group_by(bin=((place + 0.5) / BINS).round(6)).agg(
        col("confidence").mean(), accuracy=col("correct").mean(), images=pl.len().cast(pl.Int64)
    )
    return binned.select(_model(role), "bin", "confidence", "accuracy", "images")


def _model(role: Role) -> pl.Expr:
    return pl.lit(role.value).alias("model")
