"""How two versions of a model differ: on both test sets, image by image, and against the gates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from polars import DataFrame, col

from registry.core import layout, manifests
from registry.core.artifact_files import Reader
from registry.core.values import Gate
from registry.dataset import contact_sheets, metadata_tables
from registry.dataset.changes import Sheet
from registry.dataset.contact_sheets import CaptionedImage
from registry.errors import Refused
from registry.model import gates, metrics, predictions
from registry.model.changes import Evaluation, Flip, GateResult, GateState, ModelChange, PairedComparison, Role
from registry.model.version import ModelVersion, TestSet, VersionPair

Key = tuple[Role, Role]  # the model and the test set of an evaluation
OWN_NEW, OWN_BASE = (Role.NEW, Role.NEW), (Role.BASE, Role.BASE)
TITLES = {
    Flip.BROKEN: "Broken: correct with the base, wrong now",
    Flip.FIXED: "Fixed: wrong with the base, correct now",
}
CONFIDENCES = "; in brackets: confidence of the base and the new model"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluations:
    """The predictions and metrics of each model on each test set, and the reasons why one is missing.

    Its containers are filled while models are run.
    """

    predictions: dict[Key, DataFrame]
    metrics: dict[Key, Mapping[str, float]]
    unknown: list[str]


def finite_metrics(values: Mapping[str, object]) -> dict[str, float]:
    """The metrics that are finite numbers."""
    return {name: number for name, value in values.items() if (number := metrics.finite(value)) is not None}


def compare(pair: VersionPair, found: Evaluations, read: Reader) -> ModelChange:
    """The whole comparison; `read` is asked for the metadata of the test set and for images of contact sheets."""
    old, new = pair.base, pair.new
    known = new or old
    change = ModelChange(
        pair.artifact,
        known.manifest.title if known else str(pair.artifact),
        old.manifest.version if old else None,
        new.manifest.version if new else None,
        trained=bool(new and new.weights and not (old and old.weights == new.weights)),
        metrics=metrics.compare_metrics(old.metrics if old else {}, new.metrics if new else {}),
        params=metrics.compare_params(_recipe(old), _recipe(new)) if old and new else (),
        evaluations=tuple(_evaluations(pair, found)),
        curves=metrics.read_curves({version.role: version.files for version in pair.versions}, pair.artifact),
        metadata_changes=tuple(_metadata_changes(old, new)) if old and new else (),
    )
    if new:
        change = _with_images(change, pair, new, found, read)
    return replace(change, unknown="; ".join(dict.fromkeys(found.unknown)))


def _recipe(version: ModelVersion) -> str:
    return version.lock.recipe if version.lock else ""


def _metadata_changes(old: ModelVersion, new: ModelVersion) -> Iterator[str]:
    for one in fields(new.manifest):
        if one.name != "version" and getattr(old.manifest, one.name) != getattr(new.manifest, one.name):
            yield one.name
    card = layout.card_path(new.manifest.id)
    texts = [version.files.tree.read(card) if card in version.files.entries else b"" for version in (old, new)]
    if texts[0] != texts[1]:
        yield "card"


# --- on both test sets ------------------------------------------------------------------------------------------------


def _evaluations(pair: VersionPair, found: Evaluations) -> Iterator[Evaluation]:
    tests = {version.role: version.test_set for version in pair.versions if version.test_set}
    for model, own_test in tests.items():
        for role, test in tests.items():
            predicted = found.predictions.get((model, role))
            if predicted is None:
                predicted = _covering(found.predictions.get((model, model)), test)
            if predicted is None:
                continue
            measured = predictions.measure(predicted, test.frame)
            values = found.metrics.get((model, role))
            if not values and own_test.equals(test):
                values = found.metrics.get((model, model))
            yield Evaluation(model, role, test.frame.height, measured["accuracy"], values or measured)


def _covering(own: DataFrame | None, test: TestSet) -> DataFrame | None:
    """A model's predictions on its own test set, where they cover all of another one."""
    if own is None:
        return None
    covered = own.join(test.frame, on="uuid", how="semi")
    return covered if covered.height == test.frame.height else None


# --- image by image ---------------------------------------------------------------------------------------------------


def _with_images(
    change: ModelChange, pair: VersionPair, new: ModelVersion, found: Evaluations, read: Reader
) -> ModelChange:
    """The change with what differs between the predictions of single images, and with the gates."""
    columns = _columns(new, read, found)
    shared = _shared(pair, found)
    change = replace(change, gates=tuple(_gates(pair, new, found, shared, columns)))
    mine = found.predictions.get(OWN_NEW)
    if shared is not None:
        shown = {name: values for name, values in columns.items() if name in new.manifest.slices}
        flips = predictions.flips(shared)
        change = replace(
            change,
            comparison=predictions.compare(shared),
            slices=tuple(predictions.slices(shared, shown)),
            flips=flips.drop("md5"),
            sheets=tuple(_sheets(flips, read)),
            relabelled=shared.filter(col("label") != col("old_label")).height,
        )
    elif pair.base is None and new.test_set and mine is not None:
        shared = predictions.single(new.test_set.frame, mine)
    if shared is None:
        return change
    return replace(change, confusion=predictions.confusion(shared), calibration=predictions.calibration(shared))


def _shared(pair: VersionPair, found: Evaluations) -> DataFrame | None:
    """The shared test images with both models' predictions (see `predictions.join`); None where one has none."""
    old, new = (version.test_set if version else None for version in (pair.base, pair.new))
    theirs, mine = found.predictions.get(OWN_BASE), found.predictions.get(OWN_NEW)
    if old is None or new is None or theirs is None or mine is None:
        return None
    return predictions.join(old.frame, new.frame, theirs, mine)


def _columns(new: ModelVersion, read: Reader, found: Evaluations) -> dict[str, DataFrame]:
    """The metadata columns of the new test set that slices and gates name: uuid, value."""
    wanted = dict.fromkeys([*new.manifest.slices, *(gate.slice[0] for gate in new.manifest.gates if gate.slice)])
    table = new.test_set.table if new.test_set else None
    data = read(table) if wanted and table else None
    columns: dict[str, DataFrame] = {}
    for name in wanted:
        try:
            values = metadata_tables.read_texts(data, name) if data else None
        except Refused as error:
            found.unknown.append(f"{error} (of the test set)")
            continue
        if values is None:
            found.unknown.append(f"metadata.parquet of the test set has no column {name}")
        else:
            columns[name] = values
    return columns


def _sheets(flips: DataFrame, read: Reader) -> Iterator[Sheet]:
    for kind, title in TITLES.items():
        rows = flips.filter(col("kind") == kind)
        if rows.height:
            pictures = [_picture(row) for row in contact_sheets.sample(rows).iter_rows(named=True)]
            has_scores = rows["new_score"].null_count() < rows.height
            yield contact_sheets.render(kind, f"{title}{CONFIDENCES * has_scores}", pictures, rows.height, read)


def _picture(row: Mapping[str, Any]) -> CaptionedImage:  # a row of a frame, which has no static types
    scores = [f"{score:.2f}" for score in (row["base_score"], row["new_score"]) if score is not None]
    note = f"label {row['label']}" + (f" ({', '.join(scores)})" if scores else "")
    return CaptionedImage(row["md5"], (row["base"], row["new"]), note)


# --- gates ------------------------------------------------------------------------------------------------------------


def _gates(
    pair: VersionPair,
    new: ModelVersion,
    found: Evaluations,
    shared: DataFrame | None,
    columns: Mapping[str, DataFrame],
) -> Iterator[GateResult]:
    """Every gate of the new manifest, evaluated as far as the images allow."""
    document = manifests.read_document(new.files.tree, pair.artifact)
    for place, gate in enumerate(new.manifest.gates):
        numbers = {**_slice_metric(gate, new, found, columns), **new.metrics}
        against_base = _against_base(gate, pair, found, shared, columns)
        result = gates.combine([gates.evaluate_bounds(gate, numbers), against_base])
        yield replace(result, line=document.line(("gates", place)))


def _slice_metric(
    gate: Gate, new: ModelVersion, found: Evaluations, columns: Mapping[str, DataFrame]
) -> Mapping[str, float]:
    """The accuracy on the slice that a gate is about, over all images of the new test set."""
    predicted = found.predictions.get(OWN_NEW)
    if not gate.slice or predicted is None or new.test_set is None or gate.slice[0] not in columns:
        return {}
    rows = predictions.select_value(new.test_set.frame, columns[gate.slice[0]], gate.slice[1])
    return {gates.metric_key(gate): predictions.measure(predicted, rows)["accuracy"]} if rows.height else {}


def _against_base(
    gate: Gate, pair: VersionPair, found: Evaluations, shared: DataFrame | None, columns: Mapping[str, DataFrame]
) -> GateResult | None:
    if gate.no_worse_than and pair.is_same_training:
        return GateResult(gate, GateState.PASSED, f"{gates.describe(gate)}: same training as the base model")
    if pair.base is None:
        missing = "the base version cannot be read" if pair.faults else "this is the first version of the model"
        return gates.evaluate_against_base(gate, None, missing)
    if shared is None:
        missing = "; ".join(dict.fromkeys(found.unknown)) or "there are no predictions"
        return gates.evaluate_against_base(gate, None, missing)
    return gates.evaluate_against_base(gate, _compared_subset(gate, shared, columns))


def _compared_subset(gate: Gate, shared: DataFrame, columns: Mapping[str, DataFrame]) -> PairedComparison | None:
    """Both models on the shared images that a gate is about."""
    subset = gates.subset(gate)
    if subset is None:
        return predictions.compare(shared)
    if subset.column == gates.LABEL:
        return predictions.compare(shared.filter(col("label") == subset.value))
    if subset.column not in columns:
        return None
    return predictions.compare(predictions.select_value(shared, columns[subset.column], subset.value))
