"""The one sentence of a report: what changed, what it does to the model, and how sure that is."""

from collections.abc import Sequence

from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange
from registry.report import wording

SPOKEN = 3  # artifacts that are named; more are counted


def headline(datasets: Sequence[DatasetChange], models: Sequence[ModelChange]) -> str:
    """One plain sentence."""
    if not datasets and not models:
        return "No dataset and no model changes."
    if len(datasets) + len(models) > SPOKEN:
        return f"{_counted(datasets, models)}."
    parts = [f"{one.id} {dataset(one)}" for one in datasets] + [f"{one.id} {model(one)}" for one in models]
    rest = "; no model changes" if not models and any(one.diff for one in datasets) else ""
    return f"{'; '.join(parts)}{rest}."


def dataset(change: DatasetChange) -> str:
    """What a dataset does, after its name."""
    diff = change.diff
    if change.new is None:
        return f"is removed, with {wording.many(wording.total(diff.before), 'image')}" if diff else "is removed"
    if change.old is None:
        return f"is new, with {wording.many(wording.total(diff.after), 'image')}" if diff else "is new"
    parts = _items(change) if diff else []
    if parts:
        return wording.listed(parts)
    if diff and diff.tables:
        return "keeps its images, and changes columns of its metadata"
    if change.unknown:
        return "changes, but its images could not be compared"
    return (
        f"changes in words only ({wording.listed(list(change.metadata_changes))})"
        if change.metadata_changes
        else "keeps its images"
    )


def _items(change: DatasetChange) -> list[str]:
    diff = change.diff
    counts = (diff.added, diff.removed, diff.relabelled, diff.moved, diff.changed)
    words = ("gains {}", "loses {}", "relabels {}", "moves {} to another split", "has {} with other bytes")
    numbers = [(wording.total(count), word) for count, word in zip(counts, words, strict=True)]
    first = next((place for place, (number, _) in enumerate(numbers) if number), None)
    return [
        word.format(wording.many(number, "image") if place == first else f"{number:,}")
        for place, (number, word) in enumerate(numbers)
        if number
    ]


def model(change: ModelChange) -> str:
    """What a model does, after its name."""
    if change.new is None:
        return "is removed"
    if change.comparison:
        return f"{wording.judgement(change.comparison)}: {wording.comparison(change.comparison)}"
    accuracy = next((one.new for one in change.metrics if one.name == "accuracy" and one.new is not None), None)
    if change.old is None:
        return f"is new, with an accuracy of {wording.percent(accuracy)}" if accuracy is not None else "is new"
    if change.trained:
        return "was trained again, and could not be compared with the base"
    if change.unknown:
        return "changes, and could not be compared with the base"
    return (
        f"changes in words only ({wording.listed(list(change.metadata_changes))})"
        if change.metadata_changes
        else "keeps its weights"
    )


def _counted(datasets: Sequence[DatasetChange], models: Sequence[ModelChange]) -> str:
    parts = []
    if datasets:
        diffs = [one.diff for one in datasets if one.diff]
        kinds = ("added", "removed", "relabelled")
        sums = [(kind, sum(wording.total(getattr(diff, kind)) for diff in diffs)) for kind in kinds]
        said = ", ".join(f"{number:,} images {kind}" for kind, number in sums if number)
        parts.append(f"{wording.many(len(datasets), 'dataset')}{f' ({said})' if said else ''}")
    if models:
        said = [_place(one) for one in models]
        places = ("better", "worse", "undecided", "new", "removed", "not compared")
        found = ", ".join(f"{said.count(place)} {place}" for place in places if place in said)
        parts.append(f"{wording.many(len(models), 'model')} ({found})")
    return f"{' and '.join(parts)} change{'s' * (len(datasets) + len(models) == 1)}"


def _place(change: ModelChange) -> str:
    if change.new is None or change.old is None:
        return "removed" if change.new is None else "new"
    if change.comparison is None:
        return "not compared"
    return {"is better": "better", "is worse": "worse"}.get(wording.judgement(change.comparison), "undecided")
