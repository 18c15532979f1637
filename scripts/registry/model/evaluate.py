"""Compares the models of two trees: each judged on both test sets, image by image, and held against its gates."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from polars import DataFrame, col

from registry.core import artifact_files, layout, manifests
from registry.core.artifact_files import Reader
from registry.core.tree import DictTree, Tree
from registry.core.values import ArtifactId, Gate, Kind
from registry.dataset import contact_sheets
from registry.dataset.changes import Sheet
from registry.dataset.contact_sheets import CaptionedImage
from registry.errors import RegistryError
from registry.model import evaluation_run, gates, metrics, predictions
from registry.model.changes import Cell, GateResult, ModelChange, Paired
from registry.model.evaluation_run import Trial
from registry.model.version import Side, TestSet, is_same, read_side
from registry.sync import inventory
from registry.sync.inventory import Reached

BASE, NEW = predictions.WHICH
Progress = Callable[[int, int], None]  # so many more runs are done, so many bytes


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A model that has to be run on a test set, because its locked answers do not cover it."""

    model: str
    data: str
    trial: Trial
    needs: tuple[tuple[Reached, str], ...]  # outputs, each with the path of the part that is needed

    def __str__(self) -> str:
        return f"{self.trial.artifact}: run the {self.model} model on the {self.data} test set"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One model to compare: its two versions, and what has to be run for that."""

    artifact: ArtifactId
    base: Side | None
    new: Side | None
    runs: tuple[Run, ...] = ()
    unknown: tuple[str, ...] = ()


# --- what to run ------------------------------------------------------------------------------------------------------


def changed(old: Tree, new: Tree) -> tuple[ArtifactId, ...]:
    """The models whose folders differ between two trees, sorted."""
    both = sorted({*layout.find(old), *layout.find(new)})
    return tuple(one for one in both if one.kind is Kind.MODEL and _content(old, one) != _content(new, one))


def _content(tree: Tree, artifact: ArtifactId) -> dict[str, bytes]:
    return {entry.path: tree.read(entry.path) for entry in tree.list(str(artifact))}


def plan(old: Tree, new: Tree, artifact: ArtifactId, read: Reader) -> Plan:
    """What has to be run to compare a model of two trees; nothing where the locked answers and earlier runs do.

    `read` is asked for lists of files and predictions. What cannot be read is said in the plan, and raises nothing.
    """
    faults: list[str] = []
    sides = {}
    for which, tree in ((BASE, old), (NEW, new)):
        try:
            there = tree.has(layout.manifest_path(artifact))
            sides[which] = read_side(which, tree, artifact, read) if there else None
        except RegistryError as error:
            faults.append(f"the {which} version cannot be read: {evaluation_run.reason(error)}")
            sides[which] = None
    runs = tuple(_runs(sides[BASE], sides[NEW])) if all(sides.values()) else ()
    return Plan(artifact, sides[BASE], sides[NEW], runs, tuple(faults))


def open_runs(root: Path, plans: Iterable[Plan]) -> tuple[Run, ...]:
    """The runs whose outcome nobody remembers."""
    return tuple(run for plan in plans for run in plan.runs if evaluation_run.recall(root, run.trial) is None)


def _runs(base: Side, new: Side) -> Iterator[Run]:
    if not (base.test and new.test) or is_same(base, new):
        return
    for model in (base, new):
        for data in (base, new):
            if model.answers is None if model is data else model.test.lacks(data.test):
                yield _run(model, data)


def _run(model: Side, data: Side) -> Run:
    tree, artifact = model.files.tree, model.manifest.id
    made = tuple(
        out for out in inventory.outputs(tree, artifact) if not out.path.endswith(f"/{evaluation_run.PREDICTIONS}")
    )
    code = tuple(sorted({dep.path for dep in model.lock.deps if tree.list(dep.path)}))
    files = data.test.frame.select("relpath", "md5")
    if data.test.table:
        files = files.vstack(DataFrame({"relpath": ["test/metadata.csv"], "md5": [data.test.table]}))
    output = data.test.output
    wanted = [(Reached(artifact, out), out.path) for out in made] + [(Reached(artifact, output), f"{output.path}/test")]
    return Run(model.which, data.which, Trial(artifact, tree, code, made, files), tuple(wanted))


# --- what came out ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What is known when everything was run: answers and metrics by model and test set, and what is not."""

    answers: dict[tuple[str, str], DataFrame]
    metrics: dict[tuple[str, str], Mapping[str, float]]
    unknown: list[str]


def apply(plan: Plan, root: Path, cache: Path, read: Reader, progress: Progress = lambda *_: None) -> ModelChange:
    """Run what has to be run, with objects that the cache has, and compare. Code that fails is said, nothing raised."""
    sides = [side for side in (plan.base, plan.new) if side]
    found = _Found({}, {}, list(plan.unknown))
    for side in sides:
        if side.answers is not None:
            found.answers[side.which, side.which] = side.answers
            found.metrics[side.which, side.which] = _numbers(side.metrics)
    for run in plan.runs:
        _carry_out(run, {side.which: side for side in sides}[run.data].test, found, root, cache)
        progress(1, 0)
    # Lost predictions are no gap where the model could be run in their place.
    found.unknown[:0] = [one.unknown for one in sides if one.unknown and (one.which, one.which) not in found.answers]
    return _compared(plan, found, read)


def _carry_out(run: Run, test: TestSet, found: _Found, root: Path, cache: Path) -> None:
    try:
        result = evaluation_run.recall(root, run.trial) or evaluation_run.run(root, run.trial, cache)
        found.answers[run.model, run.data] = predictions.read(result.predictions, test.frame, "what it predicted")
        measured = artifact_files.metrics(
            artifact_files.files(DictTree({"metrics.json": result.metrics})), "metrics.json"
        )
        found.metrics[run.model, run.data] = _numbers(measured.value or {})
    except RegistryError as error:
        reason = evaluation_run.reason(error)
        found.unknown.append(f"the {run.model} model could not be run on the {run.data} test set: {reason}")


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    return {name: number for name, value in values.items() if (number := metrics.finite(value)) is not None}


def _compared(plan: Plan, found: _Found, read: Reader) -> ModelChange:
    old, new = plan.base, plan.new
    known = new or old
    change = ModelChange(
        plan.artifact,
        known.manifest.title if known else str(plan.artifact),
        old.manifest.version if old else None,
        new.manifest.version if new else None,
        trained=bool(new and new.weights and not (old and old.weights == new.weights)),
        metrics=metrics.metrics(old.metrics if old else {}, new.metrics if new else {}),
        params=metrics.params(_recipe(old), _recipe(new)) if old and new else (),
        cells=tuple(_cells(plan, found)),
        curves=metrics.curves({side.which: side.files for side in (old, new) if side}, plan.artifact),
        metadata_changes=tuple(_words(old, new)) if old and new else (),
    )
    change = _with_images(change, plan, found, read)
    return replace(change, unknown="; ".join(dict.fromkeys(found.unknown)))


def _recipe(side: Side) -> str:
    return side.lock.recipe if side.lock else ""


def _words(old: Side, new: Side) -> Iterator[str]:
    for one in fields(new.manifest):
        if one.name != "version" and getattr(old.manifest, one.name) != getattr(new.manifest, one.name):
            yield one.name
    card = layout.card_path(new.manifest.id)
    texts = [side.files.tree.read(card) if card in side.files.entries else b"" for side in (old, new)]
    if texts[0] != texts[1]:
        yield "card"


def _cells(plan: Plan, found: _Found) -> Iterator[Cell]:
    sides = {side.which: side for side in (plan.base, plan.new) if side and side.test}
    for model, data in ((model, data) for model in sides for data in sides):
        answers = found.answers.get((model, data))
        if answers is None:
            answers = _covered(found.answers.get((model, model)), sides[data].test)
        if answers is not None:
            test = sides[data].test
            measured = predictions.measure(answers, test.frame)
            own = found.metrics.get((model, data)) or _same_test(sides, model, data, found) or measured
            yield Cell(model, data, test.frame.height, measured["accuracy"], own)


def _covered(own: DataFrame | None, test: TestSet) -> DataFrame | None:
    """A model's own answers, where they cover all of another test set."""
    if own is None:
        return None
    answers = own.join(test.frame, on="uuid", how="semi")
    return answers if answers.height == test.frame.height else None


def _same_test(sides: Mapping[str, Side], model: str, data: str, found: _Found) -> Mapping[str, float] | None:
    """The model's own metrics, where the other test set is no other."""
    return found.metrics.get((model, model)) if sides[model].test.equals(sides[data].test) else None


# --- image by image ---------------------------------------------------------------------------------------------------


def _with_images(change: ModelChange, plan: Plan, found: _Found, read: Reader) -> ModelChange:
    """The change with what the models said of each image, and the gates."""
    new, old = plan.new, plan.base
    if new is None:
        return change
    mine, theirs = (found.answers.get((which, which)) for which in (NEW, BASE))
    columns = _columns(new, read, found)
    if mine is None or (old and theirs is None):
        return replace(change, gates=tuple(_judged(plan, found, None, columns)))
    if old is None:
        common = predictions.alone(new.test.frame, mine)
        change = replace(change, gates=tuple(_judged(plan, found, None, columns)))
    else:
        common = predictions.meet(old.test.frame, new.test.frame, theirs, mine)
        shown = {name: values for name, values in columns.items() if name in new.manifest.slices}
        change = replace(
            change,
            paired=predictions.compare(common),
            slices=tuple(predictions.slices(common, shown)),
            flips=(flips := predictions.flips(common)).drop("md5"),
            sheets=tuple(_sheets(flips, read)),
            relabelled=common.filter(col("label") != col("old_label")).height,
            gates=tuple(_judged(plan, found, common, columns)),
        )
    return replace(change, confusion=predictions.confusion(common), calibration=predictions.calibration(common))


def _columns(new: Side, read: Reader, found: _Found) -> dict[str, DataFrame]:
    """The metadata columns of the new test set that slices and gates name: uuid, value."""
    asked = dict.fromkeys([*new.manifest.slices, *(gate.slice[0] for gate in new.manifest.gates if gate.slice)])
    data = read(new.test.table) if asked and new.test and new.test.table else None
    columns = {name: predictions.column(data, name) for name in asked} if data else {}
    for name in asked:
        if columns.get(name) is None:
            found.unknown.append(f"the test set's metadata.csv has no column {name}")
    return {name: values for name, values in columns.items() if values is not None}


def _sheets(flips: DataFrame, read: Reader) -> Iterator[Sheet]:
    titles = {"broke": "Right before, wrong now", "fixed": "Wrong before, right now"}
    for kind, title in titles.items():
        rows = flips.filter(col("kind") == kind)
        if rows.height:
            pictures = [_picture(row) for row in contact_sheets.sample(rows).iter_rows(named=True)]
            yield contact_sheets.render(kind, title, pictures, rows.height, read)


def _picture(row: Mapping[str, object]) -> CaptionedImage:
    scores = [f"{score:.2f}" for score in (row["base_score"], row["new_score"]) if score is not None]
    note = f"is {row['label']}" + (f"; sure {' then '.join(scores)}" if scores else "")
    return CaptionedImage(row["md5"], (row["base"], row["new"]), note)


# --- gates ------------------------------------------------------------------------------------------------------------


def _judged(
    plan: Plan, found: _Found, common: DataFrame | None, columns: Mapping[str, DataFrame]
) -> Iterator[GateResult]:
    """Every gate of the new manifest, judged as far as the images allow."""
    new = plan.new
    document = manifests.read(new.files.tree, plan.artifact)
    for place, gate in enumerate(new.manifest.gates):
        metrics = {**_slice_metric(gate, new, found, columns), **new.metrics}
        against = _by_base(gate, plan, found, common, columns)
        yield replace(gates.together([gates.by_bounds(gate, metrics), against]), line=document.line(("gates", place)))


def _slice_metric(gate: Gate, new: Side, found: _Found, columns: Mapping[str, DataFrame]) -> Mapping[str, float]:
    """The accuracy on the slice that a gate is about, of all the new test set's images."""
    answers = found.answers.get((NEW, NEW))
    if not gate.slice or answers is None or gate.slice[0] not in columns:
        return {}
    rows = predictions.choose(new.test.frame, columns[gate.slice[0]], gate.slice[1])
    return {gates.key(gate): predictions.measure(answers, rows)["accuracy"]} if rows.height else {}


def _by_base(
    gate: Gate, plan: Plan, found: _Found, common: DataFrame | None, columns: Mapping[str, DataFrame]
) -> GateResult | None:
    if gate.no_worse_than and plan.base and plan.base.lock and plan.new.lock and is_same(plan.base, plan.new):
        return GateResult(gate, True, f"{gates.name(gate)}: it is the base's model, not trained again")
    if plan.base is None:
        missing = "the base version cannot be read" if plan.unknown else "this is the model's first version"
        return gates.by_base(gate, None, missing)
    if common is None:
        return gates.by_base(gate, None, "; ".join(dict.fromkeys(found.unknown)) or "there are no predictions")
    return gates.by_base(gate, _paired_part(gate, common, columns))


def _paired_part(gate: Gate, common: DataFrame, columns: Mapping[str, DataFrame]) -> Paired | None:
    """Both models on the common images that a gate is about."""
    if (part := gates.part(gate)) is None:
        return predictions.compare(common)
    name, value = part
    if name != gates.LABEL:
        return predictions.compare(predictions.choose(common, columns[name], value)) if name in columns else None
    return predictions.compare(common.filter(col("label") == value))
