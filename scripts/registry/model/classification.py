"""The task of classification: what a model's scores mean, how it is measured, and how two models compare.

Predictions are a frame in the form of `summarise`; shared test images are one in the form of `join`. All scores of many
classes may be larger than the memory, and are read some columns at a time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy
import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.wording import plural
from registry.dataset import parquet_files, thumbnails
from registry.dataset.changes import Example
from registry.dataset.parquet_files import Stored, StoredTable
from registry.errors import Refused
from registry.model import paired_comparison
from registry.model.changes import Evidence, Flip, PairedComparison, Role, Slice
from registry.model.gates import LABEL, PER_CLASS
from registry.model.model_file import CLASSES, TOLERANCE, ModelOutput

OUTPUTS: tuple[ModelOutput, ...] = (ModelOutput("scores", (CLASSES,), sums_to_one=True),)
TRUTH: tuple[str, ...] = ()  # the label says it
SHARES: Collection[str] = ("accuracy",)
GATE = "{metric: accuracy, min: 0.8}"
PLOTS: Mapping[str, Mapping[str, str]] = {
    "confusion.csv": {"template": "confusion", "title": "Confusion matrix", "x": "actual", "y": "predicted"}
}
SCORE = "score_"  # and the class: a column of predictions.parquet
BINS = 15  # of the expected calibration error
SMALLEST = 1e-12  # the score below which the loss of an image grows no more
VALUES = 20  # slices of one metadata column: its most frequent values
RELIABILITY_BINS = 10  # of the reliability diagram
MAX_COLUMNS = 10_003  # uuid, label, predicted, and a score for each of the classes that a manifest may have
COLUMNS = 64  # of scores that are in memory at a time
TITLES = {
    Flip.BROKEN: "Broken: correct with the base, wrong now",
    Flip.FIXED: "Fixed: wrong with the base, correct now",
}
REPRO = "dvc repro"
EXAMPLES = 12  # pictures of each kind of flips; the table has all


# --- predictions ------------------------------------------------------------------------------------------------------


def tabulate(test: DataFrame, outputs: Mapping[str, numpy.ndarray], classes: Sequence[str]) -> DataFrame:
    """The rows of `predictions.parquet`, sorted by uuid: uuid, label, predicted, and score_CLASS for each class.

    `test` has the columns uuid and label; the output `scores` (images, classes) is in its order.
    """
    scores = outputs["scores"]
    names = pl.Series("predicted", list(classes), pl.String)
    table = test.select("uuid", "label").with_columns(names.gather(scores.argmax(1)))
    columns = numpy.ascontiguousarray(scores.T)  # all at once: Polars alone would take them out one by one
    named = zip(classes, columns, strict=True)
    return table.hstack([pl.Series(f"{SCORE}{name}", column) for name, column in named]).sort("uuid")


def summarise(rows: DataFrame) -> DataFrame:
    """The predictions in rows of `tabulate`: uuid, label, predicted, its score, and own_score, that of the label.

    The latter is null where the model does not know the label.
    """
    names = [name for name in rows.columns if name.startswith(SCORE)]
    return _with_scores(rows.select("uuid", "label", "predicted"), names, rows.select).drop("highest")


def read(stored: Stored, test: DataFrame, what: str) -> DataFrame:
    """The predictions in a `predictions.parquet`, as `summarise` has them, with the labels of `test` (uuid, label).

    Raises Refused, naming `what`, where it is not such a file, does not have exactly one prediction for each image, or
    predicts another class than the one with the highest score.
    """
    fault = f"{what} is not a Parquet file with the columns uuid, predicted and a score of each class"
    try:
        table = _open(stored, what)
        if not (names := _scores(table)):
            raise Refused(fault, fix=REPRO)
        known = table.read(["uuid", "predicted"]).select(pl.all().cast(pl.String)).with_row_index("row")
        found = test.select("uuid", "label").join(known, on="uuid", how="left").sort("uuid")
        _require_each_once(found, test.height, table.rows, what)
        rows = found["row"]
        found = _with_scores(found.drop("row"), names, lambda some: table.read(some)[rows])
    except pl.exceptions.PolarsError as error:
        raise Refused(fault, fix=REPRO) from error
    odd = found.filter(col("score").ne_missing(col("highest")))
    if odd.height:
        uuid = odd["uuid"][0]
        raise Refused(f"{what} predicts another class than the one with the highest score, such as {uuid}", fix=REPRO)
    return found.drop("highest")


def _open(stored: Stored, what: str) -> StoredTable:
    return parquet_files.open_table(stored, what, wanted=_is_known, columns_at_most=MAX_COLUMNS, fix=REPRO)


def _is_known(name: str) -> bool:
    return name in {"uuid", "predicted"} or name.startswith(SCORE)


def _scores(table: StoredTable) -> list[str]:
    return [name for name in table.columns if name.startswith(SCORE)]


def _require_each_once(found: DataFrame, images: int, rows: int, what: str) -> None:
    """Raise Refused where there is not one prediction for each of the images, in a file of so many rows."""
    if missing := found["predicted"].null_count():
        raise Refused(f"{what} has no prediction for {missing:,} of {images:,} test images", fix=REPRO)
    if duplicates := found.height - images:
        raise Refused(f"{what} contains {plural(duplicates, 'duplicate prediction')}", fix=REPRO)
    if others := rows - images:
        raise Refused(f"{what} has predictions for {plural(others, 'other image')} than the test set", fix=REPRO)


def _with_scores(rows: DataFrame, names: Sequence[str], read_scores: Callable[[Sequence[str]], DataFrame]) -> DataFrame:
    """Rows (uuid, label, predicted) with score, own_score and highest (NaN where a score is none); all are Float64."""
    highest = numpy.full(rows.height, -numpy.inf, numpy.float32)
    places = DataFrame({"name": [name.removeprefix(SCORE) for name in names]}, schema={"name": pl.String})
    at = {key: _places(rows[of], places) for key, of in (("score", "predicted"), ("own_score", "label"))}
    found = {key: numpy.full(rows.height, numpy.nan, numpy.float32) for key in at}
    for start in range(0, len(names), COLUMNS):
        values = read_scores(names[start : start + COLUMNS]).cast(pl.Float32).to_numpy()
        numpy.maximum(highest, values.max(1), out=highest)
        for key, place in at.items():
            here = numpy.flatnonzero((place >= start) & (place < start + COLUMNS))
            found[key][here] = values[here, place[here] - start]
    series = [pl.Series(key, values, pl.Float64).fill_nan(None) for key, values in found.items()]
    return rows.with_columns(*series, pl.Series("highest", highest, pl.Float64))


def _places(names: pl.Series, known: DataFrame) -> numpy.ndarray:
    """The place of each name in the column `name`; -1 for one that is not there."""
    named = names.alias("name").to_frame()
    found = named.join(known.with_row_index("place"), on="name", how="left", maintain_order="left")
    places: numpy.ndarray = found["place"].cast(pl.Int64).fill_null(-1).to_numpy()
    return places


def differing(recorded: Stored, judged: Stored) -> list[str]:
    """The uuids of images for which a recorded `predictions.parquet` has not what the judge's has; `read` accepts both.

    They may differ by TOLERANCE in a score, and name another class where two scores are that close.
    """
    theirs, ours = (_open(one, "predictions.parquet") for one in (recorded, judged))
    uuids, names = ours.read(["uuid"]), _scores(ours)
    if sorted(_scores(theirs)) != sorted(names):
        return uuids["uuid"].to_list()
    known = theirs.read(["uuid"]).select(col("uuid").cast(pl.String)).with_row_index("row")
    rows = uuids.join(known, on="uuid", how="left", maintain_order="left")["row"]
    far = numpy.zeros(ours.rows, bool)
    for start in range(0, len(names), COLUMNS):
        some = names[start : start + COLUMNS]
        now, before = (table.read(some).cast(pl.Float32) for table in (ours, theirs))
        far |= (abs(now.to_numpy() - before[rows].to_numpy()) > TOLERANCE).any(1)
    return uuids.filter(pl.Series(far))["uuid"].to_list()


# --- metrics ----------------------------------------------------------------------------------------------------------


def measure(table: DataFrame) -> dict[str, object]:
    """The metrics of predictions, as `summarise` gives them, rounded to six digits.

    An image whose label the model does not know counts as wrong and is left out of the loss. Raises ZeroDivisionError
    for a table without rows.
    """
    correct = table["label"] == table["predicted"]
    per_class = dict(_measure_classes(table, correct))
    return {
        "accuracy": _rounded(float(correct.sum()) / table.height),
        "macro_f1": _rounded(sum(one["f1"] for one in per_class.values()) / len(per_class)),
        "loss": _loss(table),
        "ece": _calibration_error(table, correct),
        "images": table.height,
        PER_CLASS: per_class,
    }


def _measure_classes(table: DataFrame, correct: pl.Series) -> Iterator[tuple[str, dict[str, float]]]:
    """Precision, recall and F1 of each label that has images; the precision of one that is never predicted is 0."""
    actual, predicted, hits = (
        dict(names.value_counts().iter_rows())
        for names in (table["label"], table["predicted"], table.filter(correct)["label"])
    )
    for label, images in sorted(actual.items()):
        right, said = hits.get(label, 0), predicted.get(label, 0)
        yield (
            label,
            {
                "precision": _rounded(right / max(said, 1)),
                "recall": _rounded(right / images),
                "f1": _rounded(2 * right / (images + said)),
                "images": images,
            },
        )


def _loss(table: DataFrame) -> float | None:
    """The mean cross-entropy; None where the model knows no label of the images."""
    known = table["own_score"].drop_nulls()
    return _rounded(-float(known.clip(SMALLEST, 1).log().to_numpy().mean())) if len(known) else None


def _calibration_error(table: DataFrame, correct: pl.Series) -> float:
    """The expected calibration error over bins of confidence (Guo et al. 2017, arxiv.org/abs/1706.04599)."""
    score = table["score"]
    bins = (score * BINS).floor().clip(0, BINS - 1)
    gaps = DataFrame({"bin": bins, "gap": score - correct.cast(pl.Float64)}).group_by("bin").agg(col("gap").sum())
    return _rounded(float(gaps["gap"].abs().sum()) / table.height)


def _rounded(value: float) -> float:
    return round(value, 6)


def plots(table: DataFrame) -> Mapping[str, str]:
    """`confusion.csv` with the columns of DVC's confusion template: actual, predicted; one row per image."""
    return {"confusion.csv": table.select(actual="label", predicted="predicted").write_csv()}


# --- shared test images -----------------------------------------------------------------------------------------------


def join(base: DataFrame, new: DataFrame, images: DataFrame) -> DataFrame:
    """Both models' predictions on shared test images, sorted by uuid.

    `images` has the columns uuid, md5, label (the new one, against which both are evaluated) and old_label. Columns
    uuid, md5, label, old_label, base, base_score, new, new_score.
    """
    shared = images.select("uuid", "md5", "label", "old_label")
    for role, predicted in ((Role.BASE, base), (Role.NEW, new)):
        shared = shared.join(_of(role, predicted), on="uuid")
    return shared.sort("uuid")


def single(new: DataFrame, images: DataFrame) -> DataFrame:
    """The predictions of a first version, in the form of `join` without the columns of a base."""
    shown = images.select("uuid", "md5", "label", old_label="label")
    return shown.join(_of(Role.NEW, new), on="uuid").sort("uuid")


def _of(role: Role, predicted: DataFrame) -> DataFrame:
    return predicted.select("uuid", col("predicted").alias(role), col("score").alias(f"{role}_score"))


def compare(shared: DataFrame, confidence: float = paired_comparison.CONFIDENCE) -> PairedComparison | None:
    """The accuracy of both models on the images of `join`; None where there is none."""
    both, broken, fixed, neither = shared.select(*_tally()).row(0)
    return paired_comparison.compare(both, broken, fixed, neither, confidence)


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


# --- for reviewers ----------------------------------------------------------------------------------------------------


def evidence(shared: DataFrame, read: Reader) -> Evidence:
    """What a reviewer sees of the images of `join` or `single`; `read` is asked for images."""
    if Role.BASE not in shared.columns:
        return Evidence(confusion=confusion(shared), calibration=calibration(shared))
    changed = flips(shared)
    return Evidence(tuple(examples(changed, read)), changed.drop("md5"), confusion(shared), calibration(shared))


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
    place = (col("confidence") * RELIABILITY_BINS).floor().clip(0, RELIABILITY_BINS - 1)
    known = shared.select(confidence=f"{role}_score", correct=(col(role) == col("label"))).drop_nulls().drop_nans()
    binned = known.group_by(bin=((place + 0.5) / RELIABILITY_BINS).round(6)).agg(
        col("confidence").mean(), accuracy=col("correct").mean(), images=pl.len().cast(pl.Int64)
    )
    return binned.select(_model(role), "bin", "confidence", "accuracy", "images")


def _model(role: Role) -> pl.Expr:
    return pl.lit(role.value).alias("model")


def examples(flips: DataFrame, read: Reader) -> Iterator[Example]:
    """Pictures of some `flips`, broken ones first; `read` is asked for them."""
    for kind, title in TITLES.items():
        rows = flips.filter(col("kind") == kind)
        shown = thumbnails.sample(rows, number=EXAMPLES)
        for place, row in enumerate(shown.iter_rows(named=True), 1):
            alt = f"image labelled {row['label']}"
            picture = thumbnails.render(f"{kind}-{place}", alt, row["md5"], read)
            yield Example(title, rows.height, row["uuid"], _caption(row), picture)


def _caption(row: Mapping[str, Any]) -> str:  # a row of a frame, which has no static types
    base, new = (f"{row[role]} {row[f'{role}_score']:.2f}" for role in Role)
    return f"label {row['label']}; predicted {base} → {new}"
