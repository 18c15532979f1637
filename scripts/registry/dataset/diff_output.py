"""What became of datasets, in words: as text for people, as Markdown, as JSON for programs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from polars import DataFrame

from registry.core import documents
from registry.core.escaping import plain
from registry.core.layout import SPLITS
from registry.core.values import ArtifactId, Bump, Counts, Diff, Version
from registry.core.versioning import total
from registry.dataset.changes import DatasetChange, DuplicatePair, QueryChange
from registry.dataset.distribution import describe

KINDS = ("added", "removed", "relabelled", "moved", "changed")
MOST = 12  # classes, transitions, twins that a text shows of each
FENCE = "~~~~"
QUESTIONS = {
    QueryChange.FIRST: "the first version",
    QueryChange.UNCHANGED: "the question and its answer are the same",
    QueryChange.RESULT: "the question is the same; its answer has other rows",
    QueryChange.QUERY: "the question changed",
}
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def as_text(changes: Sequence[DatasetChange]) -> str:
    """A paragraph for each dataset; one line where nothing differs."""
    return "\n".join("\n".join(_lines(change)) + "\n" for change in changes) or "no dataset differs\n"


def as_markdown(changes: Sequence[DatasetChange]) -> str:
    """The same text in blocks of code, in which nothing from a manifest is markup, a link or a mention."""
    blocks = ("\n".join([f"{FENCE}text", *_lines(change), FENCE]) for change in changes)
    return "\n\n".join(blocks) + "\n" if changes else "No dataset differs.\n"


def as_json(changes: Sequence[DatasetChange]) -> str:
    """An object with `schema` 1 and the list `datasets`: the fields of `review.DatasetChange`, without pictures."""
    return documents.write_json({"schema": 1, "datasets": [_plain(change) for change in changes]}).decode()


# --- text -------------------------------------------------------------------------------------------------------------


def _lines(change: DatasetChange) -> Iterator[str]:
    yield _head(change)
    for part in (_about(change), _counts(change.diff), _details(change), _version(change)):
        yield from (f"  {plain(line)}" if line else "" for line in part)


def _head(change: DatasetChange) -> str:
    if change.old is None:
        moved = f"{change.new} (new)"
    elif change.new is None:
        moved = f"{change.old} (removed)"
    else:
        moved = f"{change.old} → {change.new}" if change.old != change.new else str(change.new)
    return plain(f"{change.id} {moved}: {change.title}")


def _about(change: DatasetChange) -> Iterator[str]:
    if change.unknown:
        yield f"not known: {change.unknown}"
    is_readable = change.diff is not None or not change.unknown  # of a broken manifest nobody can tell
    if change.new and is_readable:
        yield QUESTIONS[change.query_change]
    old, new = (text.splitlines() for text in change.queries)
    yield from (f"  - {line}" for line in old if line not in new)
    yield from (f"  + {line}" for line in new if line not in old)


def _counts(diff: Diff | None) -> Iterator[str]:
    """How many images there were, what became of them, and how many there are: by split, then by class."""
    if diff is None:
        return
    rows = [(kind, getattr(diff, kind)) for kind in ("before", *KINDS, "after")]
    shown = [(name, counts) for name, counts in rows if name in {"before", "after"} or total(counts)]
    splits = [split for split in SPLITS if any(split in counts for _, counts in shown)]
    labels = sorted({label for _, counts in shown for classes in counts.values() for label in classes})
    yield ""
    yield from _table(
        ["images", *splits, "all"],
        [[name, *(_number(counts, [split], labels) for split in splits), total(counts)] for name, counts in shown],
    )
    yield ""
    moved = sorted(labels, key=lambda label: -sum(_number(counts, SPLITS, [label]) for _, counts in shown[1:-1]))
    yield from _table(
        ["class", *(name for name, _ in shown)],
        [[label, *(_number(counts, SPLITS, [label]) for _, counts in shown)] for label in sorted(moved[:MOST])],
    )
    yield from [f"and {len(labels) - MOST:,} more classes"] * (len(labels) > MOST)
    yield ""


def _number(counts: Counts, splits: Sequence[str], labels: Sequence[str]) -> int:
    return sum(counts.get(split, {}).get(label, 0) for split in splits for label in labels)


def _table(head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    texts = [list(head), *([f"{cell:,}" if isinstance(cell, int) else plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for first, *rest in texts:
        yield "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])])


def _details(change: DatasetChange) -> Iterator[str]:
    if change.transitions is not None and change.transitions.height:
        largest = change.transitions.sort("items", "what", "old", "new", descending=[True, False, False, False])
        for what, old, new, number in largest.head(MOST).iter_rows():
            yield f"{what} {old} → {new}: {_many(number, 'image')}"
        yield from _more(largest.height, "transition")
    yield from map(describe, change.concentrations)
    for shift in change.shifts:
        yield f"{shift.column} is distributed otherwise ({shift.distance:.1%} of the images)"
    if change.diff and change.diff.tables and change.diff.rows.is_empty():
        yield "metadata.csv changed; the images and their labels did not"
    yield from (_twins(one) for one in change.duplicates[:MOST])
    yield from _more(len(change.duplicates), "pair")
    yield from [f"near-duplicates were not sought {change.search_skipped}"] * bool(change.search_skipped)
    yield from (f"{sheet.alt}" for sheet in change.sheets)


def _twins(one: DuplicatePair) -> str:
    first = f"{one.first_split}/{one.first_label}/{one.first}"
    second = f"{one.second_split}/{one.second_label}/{one.second}"
    alike = "has the same bytes as" if one.exact else "looks like"
    notes = ["in another split"] * (one.first_split != one.second_split)
    notes += [f"{_many(one.distance, 'bit')} apart"] * (not one.exact)
    return f"{second} {alike} {first}" + (f" ({', '.join(notes)})" if notes else "")


def _more(number: int, noun: str) -> list[str]:
    return [f"and {_many(number - MOST, f'more {noun}')}"] * (number > MOST)


def _version(change: DatasetChange) -> Iterator[str]:
    if change.bytes_before != change.bytes_after:
        yield f"size {size(change.bytes_before)} → {size(change.bytes_after)}"
    if change.metadata_changes:
        yield f"words: {', '.join(change.metadata_changes)}"
    if change.required_bump and change.required_bump.bump and change.old and change.new:
        yield _bump(change, change.old.bumped(change.required_bump.bump))


def _bump(change: DatasetChange, lowest: Version) -> str:
    required, verb = change.required_bump, "moves" if change.declared else "does not move"
    step = f"{verb} by {change.declared.name.lower()}" if change.declared else verb
    short = change.declared < required.bump
    return f"{required.what}. {required.why}. The version {step}" + (f"; set version: {lowest}" if short else "")


def size(number: int) -> str:
    """`1.2 MB`."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else _many(number, "byte")


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


# --- JSON -------------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses become objects, frames lists of rows, NaN and infinity null."""
    match value:
        case Bump():
            return value.name.lower()
        case Version() | ArtifactId():
            return str(value)
        case float():
            return value if math.isfinite(value) else None
        case str() | int() | None:
            return value
        case DataFrame():
            return [_plain(row) for row in value.to_dicts()]
    if is_dataclass(value):
        held = [field.name for field in fields(value) if not isinstance(getattr(value, field.name), bytes)]
        return {name: _plain(getattr(value, name)) for name in held}
    return {key: _plain(value[key]) for key in value} if hasattr(value, "keys") else [_plain(one) for one in value]
