"""What a report says of one model, as blocks."""

import math
from collections.abc import Iterator

from polars import DataFrame, col

from registry.dataset.changes import Sheet
from registry.model import gates
from registry.model.changes import GateState, MetricChange, ModelChange, PairedComparison
from registry.report import charts, summary, wording
from registry.report.blocks import Block, Bullets, Code, Detail, Line, Mark, Para, Picture, Section, Strong, Table, Tone

GATES = {
    GateState.PASSED: Mark(Tone.GOOD, "passed"),
    GateState.FAILED: Mark(Tone.BAD, "failed"),
    GateState.NOT_EVALUATED: Mark(Tone.UNKNOWN, "not evaluated"),
}


def section(change: ModelChange) -> Section:
    """One model: the sentence first, then gates, numbers on the same images, and what changed side."""
    return Section(wording.title(change), (Code(str(change.id)), f" {summary.model(change)}."), tuple(_blocks(change)))


def _blocks(change: ModelChange) -> Iterator[Block]:
    if change.unknown:
        yield Para((Strong("Not known:"), f" {change.unknown}"))
    if change.gates:
        rows = tuple(((GATES[one.state],), (gates.describe_rule(one.gate),), (one.message,)) for one in change.gates)
        yield Table(("", "gate", "number"), "lll", rows)
    if change.comparison:
        yield Para(_flipped(change.comparison))
    if change.relabelled:
        images = wording.many(change.relabelled, "common test image")
        yield Para((f"Labels changed on {images}; both models are judged by the new ones.",))
    if change.evaluations:
        yield _cells(change)
    moved = tuple(one for one in change.metrics if "." not in one.name)
    if moved:
        yield _metrics(moved)
    yield from (_sheet(change, sheet) for sheet in change.sheets)
    yield from _details(change)


def _flipped(paired: PairedComparison) -> Line:
    images = f"{wording.many(paired.fixed, 'image')} that only the new model has right"
    broke = f"{paired.broken:,} that only the base has right"
    if not paired.broken + paired.fixed:
        return ("Both models have the same images right.",)
    chance = f"chance alone would divide them so unevenly with {wording.probability(paired.p_value)} (McNemar)"
    return (f"{images}, {broke}; {chance}.",)


def _cells(change: ModelChange) -> Table:
    found = {(cell.model, cell.test_set): cell for cell in change.evaluations}
    sets = [data for data in ("base", "new") if any(cell.test_set == data for cell in change.evaluations)]
    rows = tuple(
        ((f"{model} model",), *((_accuracy(found.get((model, data))),) for data in sets))
        for model in ("base", "new")
        if any(cell.model == model for cell in change.evaluations)
    )
    return Table(("accuracy", *(f"{data} test set" for data in sets)), "l" + "r" * len(sets), rows)


def _accuracy(cell: object) -> str:
    return f"{wording.percent(cell.accuracy)} of {cell.images:,}" if cell else "not run"


def _metrics(changes: tuple[MetricChange, ...]) -> Table:
    rows = tuple(((Code(one.name),), (_value(one.old),), (_value(one.new),), (_move(one),)) for one in changes)
    return Table(("metric, on its own test set", "base", "new", "change"), "lrrl", rows)


def _value(number: float | None) -> str:
    return "—" if number is None else f"{number:.4g}" if math.isfinite(number) else "not a number"


def _move(change: MetricChange) -> str:
    if change.old is None or change.new is None or change.old == change.new:
        return "" if change.old == change.new else "new" if change.old is None else "gone"
    if not math.isfinite(change.new - change.old):
        return ""
    word = {True: " ▲ better", False: " ▼ worse", None: ""}[change.better]
    return f"{wording.signed(f'{change.new - change.old:+.4g}')}{word}"


def _sheet(change: ModelChange, sheet: Sheet) -> Detail:
    name = f"{change.id.kind.folder}-{change.id.name}-{sheet.name}"
    shown = f"{sheet.title} ({sheet.shown:,} of {sheet.total:,})" if sheet.shown < sheet.total else sheet.title
    return Detail("pictures", shown, (Picture(name, sheet.alt, sheet),), is_open=True)


def _details(change: ModelChange) -> Iterator[Detail]:
    if change.slices:
        yield Detail("slices", "By class and slice", (_slices(change),))
    deep = tuple(one for one in change.metrics if "." in one.name and one.old != one.new)
    if deep:
        yield Detail("metrics", "Metrics by class and slice", (_metrics(deep),))
    if params := [one for one in change.params if one.old != one.new]:
        rows = tuple(((Code(one.name),), (_param(one.old),), (_param(one.new),)) for one in params)
        yield Detail("params", "Parameters that changed", (Table(("parameter", "base", "new"), "lll", rows),))
    yield from _charts(change)
    if change.flips is not None and change.flips.height:
        yield Detail("flips", "Images that changed side", (_flips(change),))
    if change.metadata_changes:
        yield Detail("words", "Words that changed", (Bullets(tuple((Code(key),) for key in change.metadata_changes)),))


def _param(text: str | None) -> str | Code:
    return "—" if text is None else Code(text)


def _charts(change: ModelChange) -> Iterator[Detail]:
    if _has_rows(change.curves):
        yield _chart(change, "curves", "Training curves", charts.curves(change.curves))
    if _has_rows(change.confusion) and change.confusion["actual"].n_unique() > charts.CONFUSED:
        yield Detail("confusion", "Classes that are confused most", (_confused(change.confusion),))
    elif _has_rows(change.confusion):
        yield _chart(change, "confusion", "Confusion matrices, in images", charts.confusion(change.confusion))
    if _has_rows(change.calibration):
        title = "Calibration: how often each is right, against how sure it says it is"
        yield _chart(change, "calibration", title, charts.calibration(change.calibration))


def _has_rows(frame: DataFrame | None) -> bool:
    return frame is not None and frame.height > 0


def _chart(change: ModelChange, kind: str, title: str, chart: charts.Chart) -> Detail:
    alt = f"{title}, of the base and the new {change.id}"
    return Detail(kind, title, (Picture(f"{change.id.kind.folder}-{change.id.name}-{kind}", alt, chart),))


def _confused(frame: DataFrame) -> Table:
    pairs = (
        frame.filter(col("actual") != col("predicted"))
        .group_by("actual", "predicted")
        .agg(*(col("images").filter(col("model") == model).sum().alias(model) for model in ("base", "new")))
    )
    rows = pairs.sort("new", "base", "actual", "predicted", descending=[True, True, False, False]).rows()
    lines = tuple(((Code(actual),), (Code(said),), (f"{old:,}",), (f"{new:,}",)) for actual, said, old, new in rows)
    return Table(("actual", "predicted", "base", "new"), "llrr", lines)


def _slices(change: ModelChange) -> Table:
    rows = tuple(
        (
            (Code(f"{one.column}={one.value}"),),
            (f"{one.comparison.images:,}",),
            (wording.percent(one.comparison.base),),
            (wording.percent(one.comparison.new),),
            (_points(one.comparison),),
            (wording.judgement(one.comparison) if one.comparison.low > 0 or one.comparison.high < 0 else "",),
        )
        for one in change.slices
    )
    return Table(("slice", "images", "base", "new", "points", ""), "lrrrrl", rows)


def _points(paired: PairedComparison) -> str:
    between = f"{wording.points(paired.low)} to {wording.points(paired.high)}"
    return f"{wording.points(paired.difference)} ({between})"


def _flips(change: ModelChange) -> Table:
    columns = ("kind", "uuid", "label", "base", "base_score", "new", "new_score")
    rows = tuple(
        ((kind,), (Code(uuid),), (Code(label),), (Code(base), f" {_score(old)}"), (Code(new), f" {_score(now)}"))
        for kind, uuid, label, base, old, new, now in change.flips.select(columns).sort("kind", "uuid").rows()
    )
    return Table(("", "image", "is", "base says", "new says"), "lllll", rows)


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"
