"""What a report says of one dataset, as blocks."""

from collections.abc import Iterator

from registry.core.values import Bump, Counts
from registry.dataset.changes import DatasetChange, DuplicatePair, QueryChange, Sheet
from registry.dataset.distribution import describe as describe_concentration
from registry.report import charts, summary, wording
from registry.report.blocks import Block, Bullets, Code, Detail, Line, Lines, Para, Picture, Section, Strong, Table

QUESTIONS = {
    QueryChange.FIRST: "The first selection.",
    QueryChange.UNCHANGED: "The question and its answer are the same.",
    QueryChange.RESULT: "The question is the same; its answer has other rows.",
    QueryChange.QUERY: "The question changed.",
}
KINDS = ("added", "removed", "relabelled", "moved", "changed")
WIDEST = 8  # columns of a transition matrix; more are listed


def section(change: DatasetChange) -> Section:
    """One dataset: the sentence first, then what a reviewer looks at, most telling first."""
    headline = (Code(str(change.id)), f" {summary.dataset(change)}.")
    return Section(wording.title(change), headline, tuple(_blocks(change)))


def _blocks(change: DatasetChange) -> Iterator[Block]:
    if change.unknown:
        yield Para((Strong("Not known:"), f" {change.unknown}"))
    if change.new is not None:
        yield Para((f"{QUESTIONS[change.query_change]} ", *_version(change)))
    if change.query_change is QueryChange.QUERY and any(change.queries):
        yield from _queries(change)
    if change.concentrations:
        yield Bullets(tuple((describe_concentration(one),) for one in change.concentrations))
    if _has_items(change):
        yield _by_split(change)
    yield from (_sheet(change, sheet) for sheet in change.sheets)
    if change.search_skipped:
        yield Para(("Near-duplicates were not sought ", change.search_skipped, "."))
    yield from _details(change)


def _has_items(change: DatasetChange) -> bool:
    """Whether there is more to tell of its items than a number."""
    diff = change.diff
    return diff is not None and change.new is not None and any(wording.total(getattr(diff, kind)) for kind in KINDS)


def _version(change: DatasetChange) -> Line:
    bytes_moved = f"{wording.size(change.bytes_before)} → {wording.size(change.bytes_after)}. "
    moved: Line = (bytes_moved,) if change.bytes_before != change.bytes_after else ()
    required = change.required_bump
    if required is None or required.bump is Bump.NONE or change.old is None:
        return moved
    why = f"{required.what[:1].upper()}{required.what[1:]}: {required.why[:1].lower()}{required.why[1:]}."
    if change.declared < required.bump:
        return (*moved, f"{why} ", Strong(f"The version moves by {wording.bump(change.declared)} only."))
    return (*moved, f"{why} The version moves by {wording.bump(change.declared)}.")


def _queries(change: DatasetChange) -> Iterator[Block]:
    old, new = (text.splitlines() for text in change.queries)
    gone = [f"- {line.strip()}" for line in old if line not in new]
    come = [f"+ {line.strip()}" for line in new if line not in old]
    if gone or come:
        yield Lines("diff", (*gone, *come))


def _by_split(change: DatasetChange) -> Table:
    diff = change.diff
    splits = _ordered(diff)
    rows = [("before", diff.before), *((kind, getattr(diff, kind)) for kind in KINDS), ("after", diff.after)]
    shown = [(name, counts) for name, counts in rows if name == "after" or wording.total(counts)]
    lines = tuple(
        ((name,), *((f"{sum(counts.get(split, {}).values()):,}",) for split in splits), (f"{wording.total(counts):,}",))
        for name, counts in shown
    )
    return Table(("images", *splits, "all"), "l" + "r" * (len(splits) + 1), lines)


def _ordered(diff: object) -> list[str]:
    there = {split for counts in (diff.before, diff.after, diff.removed) for split in counts}
    return [split for split in ("train", "val", "test") if split in there] + sorted(there - {"train", "val", "test"})


def _sheet(change: DatasetChange, sheet: Sheet) -> Detail:
    name = f"{change.id.kind.folder}-{change.id.name}-{sheet.name}"
    shown = f"{sheet.title} ({sheet.shown:,} of {sheet.total:,})" if sheet.shown < sheet.total else sheet.title
    return Detail("pictures", shown, (Picture(name, sheet.alt, sheet),), is_open=True)


def _details(change: DatasetChange) -> Iterator[Detail]:
    start = f"{change.id.kind.folder}-{change.id.name}"
    if _has_items(change):
        alt = "Items of each class, before and after"
        chart = Picture(f"{start}-labels", alt, charts.labels(change.diff.before, change.diff.after))
        yield Detail("labels", "Classes, before and after", (chart,))
        yield Detail("counts", "Counts by split and class", (_by_class(change),))
    if change.transitions is not None and change.transitions.height:
        yield Detail("transitions", "Labels and splits, old and new", tuple(_transitions(change)))
    if change.duplicates:
        named = f"{wording.many(len(change.duplicates), 'pair')} of images that are or look the same"
        yield Detail("twins", named, (_twins(change.duplicates),))
    if change.shifts:
        yield Detail("columns", "Columns whose distribution moved", tuple(_shifts(change, start)))
    if change.metadata_changes:
        yield Detail("words", "Words that changed", (Bullets(tuple((Code(key),) for key in change.metadata_changes)),))


def _by_class(change: DatasetChange) -> Table:
    diff = change.diff
    columns = (diff.before, diff.added, diff.removed, diff.relabelled, diff.moved, diff.changed, diff.after)
    rows = tuple(
        ((split,), (Code(label),), *((_number(counts, split, label),) for counts in columns))
        for split in _ordered(diff)
        for label in sorted({label for counts in columns for label in counts.get(split, {})})
    )
    return Table(("split", "class", "before", *KINDS, "after"), "ll" + "r" * len(columns), rows)


def _number(counts: Counts, split: str, label: str) -> str:
    return f"{counts.get(split, {}).get(label, 0):,}"


def _transitions(change: DatasetChange) -> Iterator[Table]:
    for what in ("label", "split"):
        frame = change.transitions.filter(what=what)
        if not frame.height:
            continue
        items = {(old, new): number for _, old, new, number in frame.select("what", "old", "new", "items").rows()}
        olds, news = sorted({old for old, _ in items}), sorted({new for _, new in items})
        if len(news) > WIDEST:
            rows = tuple(((Code(old),), (Code(new),), (f"{items[old, new]:,}",)) for old, new in sorted(items))
            yield Table((f"old {what}", f"new {what}", "images"), "llr", rows)
            continue
        rows = tuple(((Code(old),), *((_or_dot(items.get((old, new))),) for new in news)) for old in olds)
        yield Table((f"{what}: old ↓ new →", *news), "l" + "r" * len(news), rows)


def _or_dot(number: int | None) -> str:
    return f"{number:,}" if number else "·"


def _shifts(change: DatasetChange, start: str) -> Iterator[Block]:
    for place, shift in enumerate(change.shifts, 1):
        yield Para((Code(shift.column), f": {wording.percent(shift.distance)} of the items would have to move"))
        alt = f"Shares of the values of {shift.column}, before and after"
        yield Picture(f"{start}-column-{place}", alt, charts.shift(shift.table))


def _twins(twins: tuple[DuplicatePair, ...]) -> Table:
    rows = tuple(
        (
            (Code(one.first), f" {one.first_split}/{one.first_label}"),
            (Code(one.second), f" {one.second_split}/{one.second_label}"),
            ("the same bytes" if one.exact else f"{wording.many(one.distance, 'bit')} apart",),
        )
        for one in twins
    )
    return Table(("image", "its twin", "how alike"), "lll", rows)
