"""The section of a report on one model, as blocks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from polars import DataFrame, col

from registry.core.model_values import Origin
from registry.core.wording import plural
from registry.model import gates
from registry.model.changes import (
    GateResult,
    GateState,
    MetricChange,
    ModelChange,
    PairedComparison,
    ParamChange,
    Role,
    Slice,
)
from registry.report import charts, summary, wording
from registry.report.blocks import (
    Block,
    Bullets,
    Chart,
    Code,
    Detail,
    Gallery,
    Line,
    Mark,
    Para,
    Picture,
    Section,
    Strong,
    Table,
    Tone,
    example_details,
    figure,
    metadata_detail,
)

GATES = {
    GateState.PASSED: Mark(Tone.GOOD, "passed"),
    GateState.FAILED: Mark(Tone.BAD, "failed"),
    GateState.NOT_EVALUATED: Mark(Tone.UNKNOWN, "not evaluated"),
}
REPORTED = "Reported by the training, not measured by the registry"
RELIABILITY = "Reliability diagram: accuracy by predicted confidence"


def section(change: ModelChange) -> Section:
    """One model: how it compares, its gates, then the evidence."""
    return Section(wording.title(change), (summary.model(change),), tuple(_blocks(change)))


def _blocks(change: ModelChange) -> Iterator[Block]:
    yield from (Para((Strong("Wrong:"), f" {fault}")) for fault in change.disagreements)
    yield from (Para((Strong("Measurement changed:"), f" {fact}")) for fact in change.measuring)
    if change.origin:
        yield _origin(change.origin)
    if change.builds_on:
        yield Para(("Builds on ", *_listed(change.builds_on)))
    if change.unknown:
        yield Para((Strong("Incomplete:"), f" {change.unknown}"))
    if change.gates:
        yield from _gates(change.gates)
    if change.images:
        yield Para((_images(change),))
    if change.relabelled:
        images = plural(change.relabelled, "shared test image")
        yield Para((f"{images} relabelled; both models are evaluated against the new labels",))
    if overall := [one for one in change.metrics if "." not in one.name]:
        yield _metrics(change, overall)
    yield from example_details(change.id, change.examples)
    yield from _details(change)


def _gates(results: Sequence[GateResult]) -> Iterator[Block]:
    """How many passed, and each with its numbers: a list, which a phone shows without scrolling sideways."""
    passed = sum(one.state is GateState.PASSED for one in results)
    yield Para((Strong(f"{passed:,} of {plural(len(results), 'gate')} passed"),))
    yield Bullets(tuple(map(_gate, results)))


def _gate(one: GateResult) -> Line:
    rule = f"{gates.describe_rule(one.gate)}: " if one.state is GateState.NOT_EVALUATED else ""
    return (GATES[one.state], f" {rule}{one.message}")


def _origin(origin: Origin) -> Para:
    known = "" if origin.training_images else "; which images it was trained on is not known"
    return Para(("Trained elsewhere: ", Code(origin.url), f"; training not reproducible here{known}"))


def _listed(names: Sequence[str]) -> Iterator[str | Code]:
    for place, name in enumerate(names):
        yield from (", ", Code(name)) if place else (Code(name),)


def _images(change: ModelChange) -> str:
    """What was measured, how many predictions changed, and what was left out."""
    found = change.comparison
    if found is None:
        return f"Measured on {_measured(change)}"
    flips = f"{plural(found.fixed, 'prediction')} fixed, {found.broken:,} broken"
    left_out = f"; {_left_out(change)}" if change.images < change.tests else ""
    same = "both models are right about the same images"
    return f"On {_measured(change)}: {flips if found.broken + found.fixed else same}{left_out}"


def _left_out(change: ModelChange) -> str:
    images = plural(change.tests - change.images, "more test image")
    verb = "was" if change.tests - change.images == 1 else "were"
    trained = "one of the models was" if change.origin or change.builds_on else "the base model was"
    return f"{images} {verb} left out, because {trained} trained on {'it' if verb == 'was' else 'them'}"


def _metrics(change: ModelChange, changes: Sequence[MetricChange]) -> Table:
    """Both values and their difference; only the new ones where there is no base. A difference that the headline calls
    not significant has no direction here either.
    """
    if all(one.old is None for one in changes):
        return Table(("metric", "value"), "lr", tuple(((Code(one.name),), (_number(one.new),)) for one in changes))
    found = change.comparison
    is_open = found is not None and not found.is_better and not found.is_worse
    shown = [replace(one, better=None) if is_open else one for one in changes]
    rows = tuple(((Code(one.name),), (_number(one.old),), (_number(one.new),), (_difference(one),)) for one in shown)
    return Table(("metric", "base", "new", "change"), "lrrl", rows)


def _measured(change: ModelChange) -> str:
    """`203 shared test images`: what the judge's numbers are about."""
    return plural(change.images, "shared test image" if change.comparison else "test image")


def _number(number: float | None) -> str:
    return "—" if number is None else f"{number:.4g}" if math.isfinite(number) else "not finite"


def _difference(change: MetricChange) -> str:
    if change.old is None or change.new is None:
        return "" if change.old == change.new else "new" if change.old is None else "removed"
    if change.old == change.new or not math.isfinite(change.new - change.old):
        return ""
    direction = {True: " ▲ better", False: " ▼ worse", None: ""}[change.better]
    return f"{wording.signed(f'{change.new - change.old:+.4g}')}{direction}"


def _details(change: ModelChange) -> Iterator[Detail]:
    if change.slices:
        yield Detail("slices", _slices_title(change.slices), (_slices(change.slices),))
    if deep := [one for one in change.metrics if "." in one.name and one.old != one.new]:
        yield Detail("metrics", f"Metrics by class and slice ({len(deep):,} changed)", (_metrics(change, deep),))
    if params := [one for one in change.params if one.old != one.new]:
        yield Detail("params", "Changed parameters", (_params(params),))
    yield from _charts(change)
    if change.flips is not None and change.flips.height:
        title = f"All {plural(change.flips.height, 'prediction')} that changed"
        yield Detail("flips", title, (_flips(change.flips),))
    yield from _reported(change)
    if change.metadata_changes and summary.model(change) != summary.metadata_only(change):
        yield metadata_detail(change.metadata_changes)


def _reported(change: ModelChange) -> Iterator[Detail]:
    """What the training reports beside the judge's numbers: a table, the plots, and why one is not shown."""
    found = change.reported
    prefix = f"{change.id.kind.folder}-{change.id.name}"
    blocks: list[Block] = []
    if found.metrics:
        rows = tuple(
            ((Code(path),), (Code(one.name),), (_number(one.old),), (_number(one.new),), (_difference(one),))
            for path, one in ((each.path, each.metric) for each in found.metrics)
        )
        blocks.append(Table(("path", "metric", "base", "new", "change"), "llrrl", rows))
    for place, plot in enumerate(found.plots, 1):
        if plot.spec:
            alt = f"{plot.name}, of the base and the new {change.id}"
            blocks += [Para((Code(plot.name),)), Picture(f"{prefix}-reported-{place}", alt, Chart(plot.spec))]
        elif plot.omitted:
            blocks.append(Para((Code(plot.name), f" is not shown: {plot.omitted}")))
    if blocks:
        yield Detail("reported", REPORTED, tuple(blocks))
    figures = tuple(figure(change.id, one, (Code(one.alt),)) for plot in found.plots for one in plot.pictures)
    if figures:
        yield Detail("pictures", f"{REPORTED}: pictures", (Gallery(figures, is_wide=True),))


def _params(params: Sequence[ParamChange]) -> Table:
    rows = tuple(((Code(one.name),), (_param(one.old),), (_param(one.new),)) for one in params)
    return Table(("parameter", "base", "new"), "lll", rows)


def _param(text: str | None) -> str | Code:
    return "—" if text is None else Code(text)


def _charts(change: ModelChange) -> Iterator[Detail]:
    curves, confusion, calibration = change.curves, change.confusion, change.calibration
    if curves is not None and curves.height:
        yield _chart(change, "curves", "Training curves, reported by the training", charts.curves(curves))
    if confusion is not None and confusion.height:
        if confusion["actual"].n_unique() > charts.CONFUSED:
            yield Detail("confusion", f"Most confused classes ({_measured(change)})", (_confused(confusion),))
        else:
            title = f"Confusion matrices: number of images ({_measured(change)})"
            yield _chart(change, "confusion", title, charts.confusion(confusion))
    if calibration is not None and calibration.height:
        title = f"{RELIABILITY} ({_measured(change)})"
        yield _chart(change, "calibration", title, charts.calibration(calibration))


def _chart(change: ModelChange, kind: str, title: str, chart: Chart) -> Detail:
    name, alt = f"{change.id.kind.folder}-{change.id.name}-{kind}", f"{title}, of the base and the new {change.id}"
    return Detail(kind, title, (Picture(name, alt, chart),))


def _confused(frame: DataFrame) -> Table:
    pairs = (
        frame.filter(col("actual") != col("predicted"))
        .group_by("actual", "predicted")
        .agg(*(col("images").filter(col("model") == role).sum().alias(role) for role in Role))
    )
    rows = pairs.sort(*reversed(Role), "actual", "predicted", descending=[True, True, False, False]).rows()
    lines = tuple(((Code(actual),), (Code(to),), (f"{old:,}",), (f"{new:,}",)) for actual, to, old, new in rows)
    return Table(("actual", "predicted", "base", "new"), "llrr", lines)


def _slices_title(slices: Sequence[Slice]) -> str:
    """How many slices differ: a reviewer opens the table where one does."""
    found = [one.comparison for one in slices]
    results = ((sum(one.is_worse for one in found), "worse"), (sum(one.is_better for one in found), "better"))
    told = ", ".join(f"{number:,} significantly {word}" for number, word in results if number)
    said = f"{told} of" if told else "no significant difference in"
    return f"{_capital(found[0].metric)} by class and slice: {said} {plural(len(slices), 'slice')}"


def _slices(slices: Sequence[Slice]) -> Table:
    rows = tuple(
        (
            (Code(f"{one.column}={one.value}"),),
            (f"{one.comparison.images:,}",),
            (wording.value(one.comparison, one.comparison.base),),
            (wording.value(one.comparison, one.comparison.new),),
            (_points(one.comparison),),
            (wording.conclusion(one.comparison),),
        )
        for one in slices
    )
    first = slices[0].comparison
    difference = f"difference{' in pp' * first.is_share} ({gates.confidence_interval(first.confidence)})"
    return Table(("slice", "images", "base", "new", difference, "result"), "lrrrrl", rows)


def _points(found: PairedComparison) -> str:
    difference, low, high = (wording.delta(found, one) for one in (found.difference, found.low, found.high))
    return f"{difference} ({low} to {high})"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _flips(flips: DataFrame) -> Table:
    columns = ("kind", "uuid", "label", "base", "base_score", "new", "new_score")
    rows: list[tuple[Line, ...]] = []
    for kind, uuid, label, base, base_score, new, new_score in flips.select(columns).sort("kind", "uuid").rows():
        predictions = ((Code(base), _confidence(base_score)), (Code(new), _confidence(new_score)))
        rows.append(((kind,), (Code(uuid),), (Code(label),), *predictions))
    return Table(("change", "image", "label", "base prediction", "new prediction"), "lllll", tuple(rows))


def _confidence(score: float | None) -> str:
    return "" if score is None else f" {score:.2f}"
