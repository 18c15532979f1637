"""How two versions of a model differ: on the test images that are fair to both, and against the gates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from polars import DataFrame, col, concat

from registry.core import artifact_files, layout, manifests
from registry.core.artifact_files import Reader
from registry.core.model_values import Gate
from registry.core.wording import plural
from registry.dataset import metadata_tables
from registry.errors import Refused
from registry.model import gates, metrics, model_file, tasks
from registry.model.changes import Evidence, GateResult, GateState, ModelChange, PairedComparison, Role
from registry.model.judge import Judgement
from registry.model.tasks import Task
from registry.model.version import PREDICTIONS, ModelVersion, TestSet, VersionPair
from registry.storage.reader import absence, describe_object

NOT_MEASURED = "the new model could not be measured"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Predictions that were recorded when a version was measured."""

    task: Task
    predictions: DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """What the judge measured of each version, and the reasons why something is missing.

    `faults` are what is wrong with the model file of the new version. Its containers are filled while models are
    measured.
    """

    by_role: dict[Role, Judgement | Recorded]
    unknown: list[str]
    faults: list[str]


def shared_test(base: TestSet, new: TestSet) -> TestSet:
    """The test images of the new version that neither model was trained on, by UUID and by content."""
    frame = new.frame
    for seen in (base.seen, new.seen):
        frame = frame.join(seen, on="uuid", how="anti").join(seen, on="md5", how="anti")
    return replace(new, frame=frame.sort("uuid"))


def compare(pair: VersionPair, found: Judgements, read: Reader) -> ModelChange:
    """The whole comparison; `read` is asked for the metadata of the test set and for images that are shown."""
    old, new = pair.base, pair.new
    known = new or old
    change = ModelChange(
        pair.artifact,
        known.manifest.title if known else str(pair.artifact),
        old.manifest.version if old else None,
        new.manifest.version if new else None,
        trained=bool(new and new.model_files and not (old and old.model_files == new.model_files)),
        origin=new.manifest.origin if new else None,
        builds_on=tuple(map(str, new.backbones)) if new else (),
        tests=new.test_set.frame.height if new and new.test_set else 0,
        params=metrics.compare_params(_recipe(old), _recipe(new)) if old and new else (),
        curves=metrics.read_curves({version.role: version.files for version in pair.versions}, pair.artifact),
        metadata_changes=tuple(_metadata_changes(old, new)) if old and new else (),
    )
    if new and new.manifest.is_measured:
        change = replace(change, shares=tasks.of(new.manifest).SHARES)
        measured = _measure(pair, new, found, read)
        change = _describe(change, new, found, measured, read)
        change = replace(
            change,
            gates=tuple(_gates(pair, new, measured, found)),
            disagreements=tuple(_disagreements(new, found, read)),
        )
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


# --- what was recorded ------------------------------------------------------------------------------------------------


def _disagreements(new: ModelVersion, found: Judgements, read: Reader) -> Iterator[str]:
    """Where what is recorded is not what the judge gets from the model file."""
    yield from found.faults
    yield from recorded_faults(new)
    judged = found.by_role.get(Role.NEW)
    if new.predictions is None or new.stored is None or not isinstance(judged, Judgement):
        return
    recorded = read(new.stored.md5)  # once more: with many classes it is too large to be kept in memory meanwhile
    if recorded is None:
        found.unknown.append(f"{describe_object(new.stored.md5, new.stored.path)}: {absence(read, new.stored.md5)}")
    elif uuids := judged.task.differing(recorded, judged.stored):
        images = plural(len(uuids), "test image")
        yield f"predictions.parquet differs from what model.onnx gives for {images}, such as {uuids[0]}"


def recorded_faults(new: ModelVersion) -> Iterator[str]:
    """What is not recorded, and where the recorded metrics are not those of the recorded predictions."""
    if new.fault:
        yield new.fault
    if new.lock is not None and not new.model_files:
        yield f"the training recorded no {model_file.NAME}"
    if not new.manifest.is_measured:
        return
    if new.lock is not None and new.stored is None:
        yield f"the training recorded no {PREDICTIONS}"
    if new.predictions is None:
        return
    measured = flat_metrics(tasks.of(new.manifest).measure(new.predictions))
    if differing := [name for name in {**measured, **new.metrics} if measured.get(name) != new.metrics.get(name)]:
        name = differing[0]
        expected = f"{measured[name]} from predictions.parquet" if name in measured else "no such metric"
        yield f"metrics.json has {name} {new.metrics.get(name, '(missing)')}, expected {expected}"


def flat_metrics(values: Mapping[str, object]) -> Mapping[str, object]:
    """Metrics with their nested names joined by dots, as gates name them."""
    return artifact_files.flatten_metrics(values, "metrics.json")


# --- what was measured ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What the judge measured: the new model's predictions on all its test images (None: not known).

    `shared` has both models' predictions on the shared test images (see `tasks.Task.join`; None: not compared),
    `columns` the metadata of the new test images that slices and gates name, `reported` the metrics of the training by
    file.
    """

    task: Task
    own: DataFrame | None
    shared: DataFrame | None
    columns: Mapping[str, DataFrame]
    reported: Mapping[str, Mapping[str, object]]


def _measure(pair: VersionPair, new: ModelVersion, found: Judgements, read: Reader) -> _Measured:
    task, judged = tasks.of(new.manifest), found.by_role.get(Role.NEW)
    own = judged.predictions if judged else new.predictions if pair.is_same_training else None
    base = found.by_role.get(Role.BASE)
    shared = None
    if own is not None and base and pair.base and pair.base.test_set and new.test_set:
        images = _with_old_labels(shared_test(pair.base.test_set, new.test_set), pair.base.test_set)
        shared = task.join(base.predictions, own, images)
    return _Measured(task, own, shared, _columns(new, read, found), new.reported)


def _with_old_labels(shared: TestSet, base: TestSet) -> DataFrame:
    old = base.frame.select("uuid", "md5", old_label="label")
    frame = shared.frame.join(old, on=("uuid", "md5"), how="left", maintain_order="left")
    return frame.with_columns(col("old_label").fill_null(col("label")))


def _columns(new: ModelVersion, read: Reader, found: Judgements) -> dict[str, DataFrame]:
    """The metadata columns of the new test set that slices and gates name: uuid, value."""
    wanted = dict.fromkeys([*new.manifest.slices, *(gate.slice[0] for gate in new.manifest.gates if gate.slice)])
    data = [read(table) for table in new.test_set.tables.values()] if wanted and new.test_set else []
    columns: dict[str, DataFrame] = {}
    for name in wanted:
        try:
            values = _values(data, name)
        except Refused as error:
            found.unknown.append(f"{error} (of the test set)")
            continue
        if values is None:
            found.unknown.append(f"metadata.parquet of the test set has no column {name}")
        else:
            columns[name] = values
    return columns


def _values(tables: Sequence[bytes | None], name: str) -> DataFrame | None:
    """A column of all tables; None where one of them has not got it, or no store has the table."""
    found = [metadata_tables.read_texts(table, name) if table else None for table in tables]
    values = [one for one in found if one is not None]
    return concat(values) if values and len(values) == len(found) else None


def _describe(
    change: ModelChange, new: ModelVersion, found: Judgements, measured: _Measured, read: Reader
) -> ModelChange:
    """The change with what was measured: on the shared test images, or a first version on all of its own."""
    task, shared, own = measured.task, measured.shared, measured.own
    if shared is not None:
        shown = {name: values for name, values in measured.columns.items() if name in new.manifest.slices}
        sides = [_with_images(found.by_role[role].predictions, shared) for role in (Role.BASE, Role.NEW)]
        return replace(
            change,
            images=shared.height,
            metrics=metrics.compare_metrics(*(_metrics(task, side) for side in sides)),
            comparison=task.compare(shared),
            slices=tuple(task.slices(shared, shown)),
            relabelled=shared.filter(col("label") != col("old_label")).height,
            **_fields(task.evidence(shared, read)),
        )
    if own is None:
        return change
    if change.old is not None:  # not compared: only the new model's own numbers are known
        return replace(change, images=own.height, metrics=metrics.compare_metrics({}, _metrics(task, own)))
    evidence = task.evidence(task.single(own, new.test_set.frame), read) if new.test_set else Evidence()
    measured_metrics = metrics.compare_metrics({}, _metrics(task, own))
    return replace(change, images=own.height, metrics=measured_metrics, **_fields(evidence))


def _fields(evidence: Evidence) -> dict[str, Any]:
    return {one.name: getattr(evidence, one.name) for one in fields(evidence)}


def _metrics(task: Task, predictions: DataFrame) -> Mapping[str, object]:
    return flat_metrics(task.measure(predictions)) if predictions.height else {}


def _with_images(rows: DataFrame, images: DataFrame) -> DataFrame:
    """The rows for the images of a frame; both have the column uuid."""
    return rows.join(images, on="uuid", how="semi", maintain_order="left")


# --- gates ------------------------------------------------------------------------------------------------------------


def _gates(pair: VersionPair, new: ModelVersion, measured: _Measured, found: Judgements) -> Iterator[GateResult]:
    """Every gate of the new manifest, evaluated by the judge's numbers as far as the images allow."""
    document = manifests.read_document(new.files.tree, pair.artifact)
    numbers = _metrics(measured.task, measured.own) if measured.own is not None else None
    for place, gate in enumerate(new.manifest.gates):
        bounds = _against_bounds(gate, measured, numbers)
        result = gates.combine([bounds, _against_base(gate, pair, measured, found)])
        yield replace(result, line=document.line(("gates", place)))


def _against_bounds(gate: Gate, measured: _Measured, numbers: Mapping[str, object] | None) -> GateResult | None:
    if gate.min is None and gate.max is None:
        return None
    if measured.own is None or numbers is None:
        return GateResult(gate, GateState.NOT_EVALUATED, f"{gates.describe(gate)} is not known: {NOT_MEASURED}")
    return gates.evaluate_bounds(gate, {**_slice_metric(gate, measured), **numbers}, measured.reported)


def _slice_metric(gate: Gate, measured: _Measured) -> Mapping[str, object]:
    """The metric on the slice that a gate is about, over all images of the new test set."""
    if not gate.slice or measured.own is None or gate.slice[0] not in measured.columns:
        return {}
    column, value = gate.slice
    rows = _with_images(measured.own, measured.columns[column].filter(col("value") == value))
    return {gates.metric_key(gate): _metrics(measured.task, rows).get(gate.metric)} if rows.height else {}


def _against_base(gate: Gate, pair: VersionPair, measured: _Measured, found: Judgements) -> GateResult | None:
    if gate.no_worse_than and pair.is_same_training:
        return GateResult(gate, GateState.PASSED, f"{gates.describe(gate)}: same training as the base model")
    if pair.base is None:
        missing = "the base version cannot be read" if pair.faults else "this is the first version of the model"
        return gates.evaluate_against_base(gate, None, missing)
    if measured.shared is None:
        missing = "; ".join(dict.fromkeys(found.unknown)) or "the base version has no model file"
        return gates.evaluate_against_base(gate, None, missing)
    return gates.evaluate_against_base(gate, _compared_subset(gate, measured, measured.shared))


def _compared_subset(gate: Gate, measured: _Measured, shared: DataFrame) -> PairedComparison | None:
    """Both models on the shared images that a gate is about, at its confidence."""
    subset = gates.subset(gate)
    if subset is None:
        return measured.task.compare(shared, gate.confidence)
    if subset.column == gates.LABEL:
        return measured.task.compare(shared.filter(col("label") == subset.value), gate.confidence)
    if subset.column not in measured.columns:
        return None
    images = measured.columns[subset.column].filter(col("value") == subset.value)
    return measured.task.compare(_with_images(shared, images), gate.confidence)
