"""Dataset changes as text for a terminal, as Markdown, and as JSON for programs."""

from collections.abc import Iterator, Sequence

from registry.console import plain
from registry.core import documents
from registry.core.layout import SPLITS
from registry.core.values import Bump, Counts, Diff, RequiredBump, Version
from registry.core.versioning import total
from registry.core.wording import plural, size, table
from registry.dataset import evidence
from registry.dataset.changes import DatasetChange, DuplicatePair
from registry.dataset.distribution import describe
from registry.dataset.json_values import to_json

KINDS = ("added", "removed", "relabelled", "moved", "changed")
LIMIT = 12  # classes, transitions and duplicate pairs that a text lists
FENCE = "~~~~"


def as_text(changes: Sequence[DatasetChange]) -> str:
    """A paragraph for each dataset; one line where nothing differs."""
    return "\n".join("\n".join(_lines(change)) + "\n" for change in changes) or "no dataset differs\n"


def as_markdown(changes: Sequence[DatasetChange]) -> str:
    """The same text in code blocks, in which nothing from a manifest is markup, a link or a mention."""
    blocks = ("\n".join([f"{FENCE}text", *_lines(change), FENCE]) for change in changes)
    return "\n\n".join(blocks) + "\n" if changes else "No dataset differs.\n"


def as_json(changes: Sequence[DatasetChange]) -> str:
    """An object with `schema` 1 and the list `datasets`: the fields of `DatasetChange`, without images."""
    return documents.write_json({"schema": 1, "datasets": [to_json(change) for change in changes]}).decode()


# --- text -------------------------------------------------------------------------------------------------------------


def _lines(change: DatasetChange) -> Iterator[str]:
    yield _heading(change)
    for part in (_query_lines(change), _count_lines(change.diff), _detail_lines(change), _version_lines(change)):
        yield from (f"  {plain(line)}" if line else "" for line in part)


def _heading(change: DatasetChange) -> str:
    if change.old is None:
        versions = f"{change.new} (new)"
    elif change.new is None:
        versions = f"{change.old} (removed)"
    else:
        versions = f"{change.old} → {change.new}" if change.old != change.new else str(change.new)
    return plain(f"{change.id} {versions}: {change.title}")


def _query_lines(change: DatasetChange) -> Iterator[str]:
    if change.unknown:
        yield f"unknown: {change.unknown}"
    is_readable = change.diff is not None or not change.unknown
    if change.new and is_readable:
        yield evidence.describe_change(change)
    old, new = (text.splitlines() for text in change.queries)
    yield from (f"  - {line}" for line in old if line not in new)
    yield from (f"  + {line}" for line in new if line not in old)


def _count_lines(diff: Diff | None) -> Iterator[str]:
    """Images before, by kind of change, and after: in one table by split, in another by class."""
    if diff is None:
        return
    every = {kind: counts_of(diff, kind) for kind in ("before", *KINDS, "after")}
    shown = {kind: counts for kind, counts in every.items() if kind in {"before", "after"} or total(counts)}
    splits = [split for split in SPLITS if any(split in counts for counts in shown.values())]
    labels = sorted({label for counts in shown.values() for classes in counts.values() for label in classes})
    by_split = [[kind, *(_sum(counts, [split]) for split in splits), total(counts)] for kind, counts in shown.items()]
    yield ""
    yield from table(["images", *splits, "all"], by_split).splitlines()
    changed = [counts for kind, counts in shown.items() if kind in KINDS]
    most_changed = sorted(labels, key=lambda label: -sum(_sum(counts, SPLITS, label) for counts in changed))[:LIMIT]
    by_class = [
        [plain(label), *(_sum(counts, SPLITS, label) for counts in shown.values())] for label in sorted(most_changed)
    ]
    yield ""
    yield from table(["class", *shown], by_class).splitlines()
    yield from [f"and {len(labels) - LIMIT:,} more classes"] * (len(labels) > LIMIT)
    yield ""


def counts_of(diff: Diff, kind: str) -> Counts:
    """The counts of one kind of change (or `before`, `after`) by split and class."""
    counts: Counts = getattr(diff, kind)
    return counts


def _sum(counts: Counts, splits: Sequence[str], label: str | None = None) -> int:
    """The images of these splits: of one class, or all."""
    classes = (counts.get(split, {}) for split in splits)
    return sum(sum(each.values()) if label is None else each.get(label, 0) for each in classes)


def _detail_lines(change: DatasetChange) -> Iterator[str]:
    if change.transitions is not None and change.transitions.height:
        largest = change.transitions.sort("items", "what", "old", "new", descending=[True, False, False, False])
        for what, old, new, number in largest.head(LIMIT).iter_rows():
            yield f"{what} {old} → {new}: {plural(number, 'image')}"
        yield from _more(largest.height, "transition")
    yield from map(describe, change.concentrations)
    for shift in change.shifts:
        yield f"distribution shift in {shift.column}: {shift.distance:.1%} (total variation distance)"
    if change.diff and change.diff.tables and change.diff.rows.is_empty():
        yield "metadata.parquet changed; images and labels are the same"
    yield from map(_describe_pair, change.duplicates[:LIMIT])
    yield from _more(len(change.duplicates), "duplicate pair")
    if change.search_skipped:
        yield f"near-duplicate search skipped: {change.search_skipped}"


def _describe_pair(pair: DuplicatePair) -> str:
    first, second = (f"{item.split}/{item.label}/{item.uuid}" for item in (pair.first, pair.second))
    relation = "is identical to" if pair.is_identical else "is a near-duplicate of"
    notes = ["new"] * (pair.second.is_new and not pair.first.is_new) + ["both new"] * pair.first.is_new
    notes += ["in another split"] * pair.crosses_splits + [pair.symmetry.value] * bool(pair.symmetry)
    notes += [f"distance {plural(pair.distance, 'bit')}"] * (not pair.is_identical)
    return f"{second} {relation} {first}" + (f" ({', '.join(notes)})" if notes else "")


def _more(number: int, noun: str) -> list[str]:
    return [f"and {plural(number - LIMIT, f'more {noun}')}"] * (number > LIMIT)


def _version_lines(change: DatasetChange) -> Iterator[str]:
    if change.bytes_before != change.bytes_after:
        yield f"size {size(change.bytes_before)} → {size(change.bytes_after)}"
    if change.metadata_changes:
        yield f"metadata-only changes: {', '.join(change.metadata_changes)}"
    required = change.required_bump
    if required and required.bump and change.old and change.new:
        yield _describe_bump(required, change.declared, change.old.bumped(required.bump))


def _describe_bump(required: RequiredBump, declared: Bump, lowest: Version) -> str:
    step = f"the version bump is {declared.name.lower()}" if declared else "the version is the same"
    return f"{required.what}. {required.why}; {step}" + (f": set version: {lowest}" if declared < required.bump else "")
