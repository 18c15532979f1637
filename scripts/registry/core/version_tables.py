"""A version's numbers as tables in Markdown, the same in release notes and in cards."""

from collections.abc import Mapping

from registry.core import layout
from registry.core.escaping import markdown
from registry.core.values import Build

SHOWN = 40  # rows of a table; GitHub accepts 125,000 characters in a release


def counts(build: Build, before: Build | None) -> str:
    """The images of each class in each split, and how their number changed since `before`."""
    old = before.counts if before else build.counts
    classes = sorted({label for counts in (*build.counts.values(), *old.values()) for label in counts})
    rows = {markdown(label): [label] for label in classes[:SHOWN]}
    rows |= {f"… and {len(classes) - SHOWN:,} more": classes[SHOWN:]} if len(classes) > SHOWN else {}
    rows |= {"**all**": classes} if len(classes) > 1 else {}
    lines = [f"| images | {' | '.join(layout.SPLITS)} | all |", f"|---|{'--:|' * 4}"]
    for header, labels in rows.items():
        new, previous = ([_count(counts, split, labels) for split in layout.SPLITS] for counts in (build.counts, old))
        totals = zip([*new, sum(new)], [*previous, sum(previous)], strict=True)
        cells = [_with_change(number, was) for number, was in totals]
        lines.append(f"| {header} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _count(counts: Mapping[str, Mapping[str, int]], split: str, labels: list[str]) -> int:
    return sum(counts.get(split, {}).get(label, 0) for label in labels)


def _with_change(number: int, before: int) -> str:
    return f"{number:,}" if number == before else f"{number:,} ({number - before:+,})"


def scores(metrics: Mapping[str, object], before: Mapping[str, object]) -> str:
    """Metrics side by side without a difference: the test sets of two versions may differ."""
    headers = ["metric", *(["before"] if before else []), "now"]
    lines = [f"| {' | '.join(headers)} |", f"|---|{'--:|' * (len(headers) - 1)}"]
    for name, value in list(metrics.items())[:SHOWN]:
        cells = [*([_score(before.get(name))] if before else []), _score(value)]
        lines.append(f"| {markdown(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _score(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else markdown(str(value))
