"""The section of a report on one dataset, as blocks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from polars import DataFrame

from registry.core.layout import SPLITS
from registry.core.values import Bump, Diff
from registry.core.versioning import total
from registry.core.wording import abbreviate, plural, size
from registry.dataset import evidence
from registry.dataset.changes import (
    DatasetChange,
    DuplicateItem,
    DuplicatePair,
    QueryChange,
    Shift,
    exclude_command,
)
from registry.dataset.distribution import describe as describe_concentration
from registry.report import charts, origin_table, summary, wording
from registry.report.blocks import (
    Block,
    Bullets,
    Code,
    Detail,
    Gallery,
    Line,
    Lines,
    Para,
    Picture,
    Section,
    Strong,
    Table,
    example_details,
    figure,
    metadata_detail,
)

KINDS = ("added", "removed", "relabelled", "moved", "changed")
NAMED = 8  # columns without a shift; more are counted
MATRIX_COLUMNS = 8  # of a transition matrix; with more the transitions are listed


def section(change: DatasetChange) -> Section:
    """One dataset: what changed, then the evidence."""
    return Section(wording.title(change), (summary.dataset(change),), tuple(_blocks(change)))


def _blocks(change: DatasetChange) -> Iterator[Block]:
    if change.unknown:
        yield Para((Strong("Incomplete:"), f" {change.unknown}"))
    if change.new is not None and not _is_without_news(change):
        yield Para(_version(change))
    if change.query_change is QueryChange.QUERY and any(change.queries):
        yield from _query_diff(change)
    if change.new is not None and change.query_change is not QueryChange.UNCHANGED:
        yield from origin_table.blocks(*change.selections, is_open=_is_unexplained(change))
    if change.concentrations:
        yield Bullets(tuple((describe_concentration(one),) for one in change.concentrations))
    diff = _items(change)
    if diff:
        yield _by_split(diff)
    yield from example_details(change.id, change.examples)
    if change.stable:
        yield Para((f"No distribution shift beyond chance in {abbreviate(change.stable, NAMED)}",))
    if change.search_skipped:
        yield Para((f"Near-duplicate search skipped: {change.search_skipped}",))
    yield from _details(change, diff)


def _is_without_news(change: DatasetChange) -> bool:
    """Whether the headline says all: a metadata-only change under the query and rows of before."""
    is_same = change.query_change is QueryChange.UNCHANGED and change.bytes_before == change.bytes_after
    is_patch = change.required_bump is None or change.required_bump.bump <= Bump.PATCH
    return bool(change.metadata_changes) and is_same and is_patch and not change.unknown and _items(change) is None


def _items(change: DatasetChange) -> Diff | None:
    """The difference, where items of an existing dataset changed: a removed dataset has no details."""
    diff = change.diff
    if diff is None or change.new is None:
        return None
    return diff if any(total(getattr(diff, kind)) for kind in KINDS) else None


def _version(change: DatasetChange) -> Line:
    parts: list[str] = []
    if change.bytes_before != change.bytes_after:
        before = f"{size(change.bytes_before)} → " if change.old else ""
        parts.append(f"{before}{size(change.bytes_after)}")
    required = change.required_bump
    if required is None or required.bump is Bump.NONE or change.old is None:
        return (_query(change), *(f" · {part}" for part in parts))
    parts.append(f"required version bump: {wording.bump(required.bump)} ({required.what})")
    declared = f"declared: {wording.bump(change.declared)}"
    version = Strong(declared) if change.declared < required.bump else declared
    return (_query(change), *(f" · {part}" for part in parts), ", ", version)


def _query(change: DatasetChange) -> str | Strong:
    text = evidence.describe_change(change)
    text = f"{text[0].upper()}{text[1:]}"
    return Strong(text) if _is_unexplained(change) else text


def _is_unexplained(change: DatasetChange) -> bool:
    """Whether the manifest's query is unchanged, but does not explain the rows: other SQL, or a file in its place."""
    old = change.selections[0]
    is_replaced = change.query_change is QueryChange.FILE and old is not None and old.query_hash is not None
    return is_replaced or change.query_change is QueryChange.SQL


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
        yield Detail("duplicates", title, tuple(_duplicates(change)), is_open=True)
    if change.shifts:
        title = f"Distribution shifts: {abbreviate([shift.column for shift in change.shifts], len(change.shifts))}"
        yield Detail("columns", title, tuple(_shifts(change.shifts, prefix)))
    if change.metadata_changes and not _is_without_news(change):
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
        distance = f"{wording.percent(shift.distance)} (total variation distance, {wording.p_value(shift.p_value)})"
        yield Para((Code(shift.column), f": distribution shift {distance}"))
        alt = f"Shares of the values of {shift.column}, before and after"
        yield Picture(f"{prefix}-column-{place}", alt, charts.shift(shift.table))


def _duplicates(change: DatasetChange) -> Iterator[Block]:
    """Each pair as a picture with its caption as text, the rest in a table, and the command that excludes them."""
    figures = tuple(
        figure(change.id, picture, ("left: ", *_item(pair.first)), ("right: ", *_item(pair.second)), (_relation(pair),))
        for pair, picture in zip(change.duplicates, change.pairs, strict=False)
    )
    if figures:
        yield Gallery(figures, is_wide=True)
    if rest := change.duplicates[len(change.pairs) :]:
        rows = tuple((_item(pair.first), _item(pair.second), (_relation(pair),)) for pair in rest)
        yield Table(("image", "duplicate", "difference"), "lll", rows)
    yield Para(("To exclude one image of each pair, the new one where only one is new:",))
    yield Lines("sh", (exclude_command(change.id, change.duplicates),))


def _item(item: DuplicateItem) -> Line:
    return (Code(item.uuid), f" ({item.split}/{item.label}{', new' * item.is_new})")


def _relation(pair: DuplicatePair) -> str:
    if pair.is_identical:
        return "identical bytes"
    distance = f"{plural(pair.distance, 'bit')} of the perceptual hash"
    return f"{pair.symmetry}, {distance}" if pair.symmetry else distance
