"""The headline of a report: what changed in each dataset and model, in one line."""

from collections.abc import Iterator, Sequence

from registry.core.values import Bump, Diff
from registry.core.versioning import total
from registry.core.wording import join, plural
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange
from registry.report import wording

NAMED = 3  # artifacts that the headline names; more are counted


def headline(datasets: Sequence[DatasetChange], models: Sequence[ModelChange]) -> str:
    """One line on all artifacts."""
    if not datasets and not models:
        return "no dataset or model changed"
    if len(datasets) + len(models) > NAMED:
        return _counted(datasets, models)
    parts = [f"{one.id}: {dataset(one)}" for one in datasets] + [f"{one.id}: {model(one)}" for one in models]
    if not models and any(one.diff for one in datasets):
        parts.append("no model changed")
    return "; ".join(parts)


def dataset(change: DatasetChange) -> str:
    """What changed in a dataset."""
    diff = change.diff
    if change.new is None:
        return f"removed ({plural(total(diff.before), 'image')})" if diff else "removed"
    if change.old is None:
        return f"new, {plural(total(diff.after), 'image')}" if diff else "new"
    if diff and (parts := list(_items(diff))):
        return ", ".join(parts)
    if diff and diff.tables:
        return "images unchanged, metadata columns changed"
    if change.unknown:
        return "changed, but the images could not be compared"
    if change.required_bump and change.required_bump.bump > Bump.PATCH:
        return f"images unchanged, {change.required_bump.what}"
    return metadata_only(change) or "images unchanged"


def _items(diff: Diff) -> Iterator[str]:
    counts = (
        (diff.added, "added"),
        (diff.removed, "removed"),
        (diff.relabelled, "relabelled"),
        (diff.moved, "moved to another split"),
        (diff.changed, "with changed content"),
    )
    changed = [(number, what) for items, what in counts if (number := total(items))]
    for place, (number, what) in enumerate(changed):
        yield f"{number:,} {what}" if place else f"{plural(number, 'image')} {what}"


def model(change: ModelChange) -> str:
    """What changed in a model."""
    if change.new is None:
        return "removed"
    if change.comparison:
        return wording.comparison(change.comparison)
    if change.old is None:
        return f"new, {first}" if (first := _first_metric(change)) else "new"
    if change.trained or change.unknown:
        measured = f" ({first})" if (first := _first_metric(change)) else ""
        return f"{'retrained' if change.trained else 'changed'}{measured}, but not compared with the base"
    return metadata_only(change) or "weights unchanged"


def _first_metric(change: ModelChange) -> str:
    """The first metric of the judge, which is the task's own: a share in percent, another one as a number."""
    first = next((one for one in change.metrics if one.new is not None), None)
    if first is None or first.new is None:
        return ""
    return f"{first.name} {wording.percent(first.new) if first.name in change.shares else f'{first.new:.4g}'}"


def metadata_only(change: DatasetChange | ModelChange) -> str:
    """`metadata-only change (title)`; empty where the manifest's metadata is the same."""
    return f"metadata-only change ({join(change.metadata_changes)})" if change.metadata_changes else ""


def _counted(datasets: Sequence[DatasetChange], models: Sequence[ModelChange]) -> str:
    parts = []
    if datasets:
        diffs = [one.diff for one in datasets if one.diff]
        kinds = ("added", "removed", "relabelled")
        sums = [(kind, sum(total(getattr(diff, kind)) for diff in diffs)) for kind in kinds]
        images = ", ".join(f"{plural(number, 'image')} {kind}" for kind, number in sums if number)
        parts.append(f"{plural(len(datasets), 'dataset')}{f' ({images})' if images else ''}")
    if models:
        results = [_result(one) for one in models]
        counted = ", ".join(f"{results.count(result)} {result}" for result in dict.fromkeys(results))
        parts.append(f"{plural(len(models), 'model')} ({counted})")
    return f"{' and '.join(parts)} changed"


def _result(change: ModelChange) -> str:
    if change.new is None or change.old is None:
        return "removed" if change.new is None else "new"
    return wording.conclusion(change.comparison) if change.comparison else "not compared"
