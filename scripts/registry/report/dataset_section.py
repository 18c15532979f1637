"""The section of a report on one dataset, as blocks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from polars import DataFrame

from registry.core.layout import SPLITS
from registry.core.values import Bump, Diff
from registry.core.versioning import total
from registry.core.wording import plural, size
from registry.dataset.changes import DatasetChange, DuplicatePair, QueryChange, Shift
from registry.dataset.distribution import describe as describe_concentration
from registry.report import charts, summary, wording
from registry.report.blocks import (
    Block,
    Bullets,
    Code,
    Detail,
    Line,
    Lines,
    Para,
    Picture,
    Section,
    Strong,
    Table,
    metadata_detail,
    sheet_detail,
)

QUERIES = {
    QueryChange.FIRST: "First selection",
    QueryChange.UNCHANGED: "Query and result set unchanged",
    QueryChange.RESULT: "Query unchanged; the result set changed",
    QueryChange.QUERY: "Query changed",
}
KINDS = ("added", "removed", "relabelled", "moved", "changed")
MATRIX_COLUMNS = 8  # of a transition matrix; with more the transitions are listed


def section(change: DatasetChange) -> Section:
    """One dataset: what changed, then the evidence."""
    headline = (Code(str(change.id)), f" {summary.dataset(change)}")
    return Section(wording.title(change), headline, tuple(_blocks(change)))


def _blocks(change: DatasetChange) -> Iterator[Block]:
    if change.unknown:
        yield Para((Strong("Incomplete:"), f" {change.unknown}"))
    if change.new is not None:
        yield Para(_version(change))
    if change.query_change is QueryChange.QUERY and any(change.queries):
        yield from _query_diff(change)
    if change.concentrations:
        yield Bullets(tuple((describe_concentration(one),) for one in change.concentrations))
    diff = _items(change)
    if diff:
        yield _by_split(diff)
    yield from (sheet_detail(change.id, sheet) for sheet in change.sheets)
    if change.search_skipped:
        yield Para((f"Near-duplicate search skipped: {change.search_skipped}",))
    yield from _details(change, diff)


def _items(change: DatasetChange) -> Diff | None:
    """The difference, where items of an existing dataset changed: a removed dataset has no details."""
    diff = change.diff
    if diff is None or change.new is None:
        return None
    return diff if any(total(getattr(diff, kind)) for kind in KINDS) else None


def _version(change: DatasetChange) -> Line:
    parts = [QUERIES[change.query_change]]
    if change.bytes_before != change.bytes_after:
        parts.append(f"{size(change.bytes_before)} → {size(change.bytes_after)}")
    required = change.required_bump
    if required is None or required.bump is Bump.NONE or change.old is None:
        return (" · ".join(parts),)
    parts.append(f"required version bump: {wording.bump(required.bump)} ({required.what})")
    declared = f"declared: {wording.bump(change.declared)}"
    return (" · ".join(parts), ", ", Strong(declared) if change.declared < required.bump else declared)


def _query_diff(change: DatasetChange) -> Iterator[Block]:
    old, new = (text.splitlines() for text in change.queries)
    removed = [f"- {line.strip()}" for line in old if line not in new]
    added = [f"+ {line.strip()}" for line in new if line not in old]
    if removed or added:
        yield Lines("diff", (*removed, *added))


def _by_split(diff: Diff) -> Table:
    splits = _splits(diff)
    rows = [("before", diff.before), *((kind, getattr(diff, kind)) for kind in KINDS), ("after", diff.after)]
    shown = [(name, counts) for name, counts in rows if name == "after" or total(counts)]
    lines = tuple(
        ((name,), *_cells(sum(counts.get(split, {}).values()) for split in splits), *_cells([total(counts)]))
        for name, counts in shown
    )
    return Table(("images", *splits, "total"), "l" + "r" * (len(splits) + 1), lines)


def _splits(diff: Diff) -> list[str]:
    present = {split for counts in (diff.before, diff.after, diff.removed) for split in counts}
    return [split for split in SPLITS if split in present]


def _details(change: DatasetChange, diff: Diff | None) -> Iterator[Detail]:
    prefix = f"{change.id.kind.folder}-{change.id.name}"
    if diff:
        alt = "Images per class, before and after"
        chart = Picture(f"{prefix}-labels", alt, charts.labels(diff.before, diff.after))
        yield Detail("labels", alt, (chart,))
        yield Detail("counts", "Counts by split and class", (_by_class(diff),))
    if change.transitions is not None and change.transitions.height:
        yield Detail("transitions", "Transitions of labels and splits", tuple(_transitions(change.transitions)))
    if change.duplicates:
        title = f"{plural(len(change.duplicates), 'pair')} of duplicate or near-duplicate images"
        yield Detail("duplicates", title, (_duplicates(change.duplicates),))
    if change.shifts:
        yield Detail("columns", "Distribution shifts", tuple(_shifts(change.shifts, prefix)))
    if change.metadata_changes:
        yield metadata_detail(change.metadata_changes)


def _by_class(diff: Diff) -> Table:
    columns = (diff.before, diff.added, diff.removed, diff.relabelled, diff.moved, diff.changed, diff.after)
    rows: tuple[tuple[Line, ...], ...] = tuple(
        ((split,), (Code(label),), *_cells(counts.get(split, {}).get(label, 0) for counts in columns))
        for split in _splits(diff)
        for label in sorted({label for counts in columns for label in counts.get(split, {})})
    )
    return Table(("split", "class", "before", *KINDS, "after"), "ll" + "r" * len(columns), rows)


def _transitions(transitions: DataFrame) -> Iterator[Table]:
    for what in ("label", "split"):
        rows = transitions.filter(what=what).select("old", "new", "items").rows()
        if rows:
            yield _transition_table(what, {(old, new): items for old, new, items in rows})


def _transition_table(what: str, items: Mapping[tuple[str, str], int]) -> Table:
    olds, news = sorted({old for old, _ in items}), sorted({new for _, new in items})
    if len(news) > MATRIX_COLUMNS:
        listed = tuple(((Code(old),), (Code(new),), (f"{items[old, new]:,}",)) for old, new in sorted(items))
        return Table((f"old {what}", f"new {what}", "images"), "llr", listed)
    rows = tuple(((Code(old),), *_cells((items.get((old, new), 0) for new in news), zero="·")) for old in olds)
    return Table((f"{what}: old ↓ new →", *news), "l" + "r" * len(news), rows)


def _cells(numbers: Iterable[int], zero: str = "0") -> tuple[Line, ...]:
    return tuple((f"{number:,}" if number else zero,) for number in numbers)


def _shifts(shifts: Sequence[Shift], prefix: str) -> Iterator[Block]:
    for place, shift in enumerate(shifts, 1):
        distance = f": distribution shift {wording.percent(shift.distance)} (total variation distance)"
        yield Para((Code(shift.column), distance))
        alt = f"Shares of the values of {shift.column}, before and after"
        yield Picture(f"{prefix}-column-{place}", alt, charts.shift(shift.table))


def _duplicates(pairs: Sequence[DuplicatePair]) -> Table:
    rows = tuple(
        (
            (Code(one.first), f" {one.first_split}/{one.first_label}"),
            (Code(one.second), f" {one.second_split}/{one.second_label}"),
            ("identical bytes" if one.exact else f"{plural(one.distance, 'bit')} of the perceptual hash",),
        )
        for one in pairs
    )
    return Table(("image", "duplicate of", "difference"), "lll", rows)
