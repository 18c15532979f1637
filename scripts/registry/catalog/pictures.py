"""Pictures of the catalog as shapes that templates draw as SVG: how a number moved, and what is made of what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from registry.core.values import Tag

WIDTH, HEIGHT = 120, 28  # of a sparkline
WIDE, TALL = 240, 64  # of a histogram
SHOWN = 12  # releases of each column of the lineage
ROW, COLUMN, BOX = 34, 350, 290  # of the lineage: the height of a row, the width of a column and of its boxes


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A number over versions: `points` as SVG has them, the last one, and what it says in words."""

    points: str
    last: tuple[float, float]
    words: str


def sparkline(values: Sequence[float], words: str) -> Sparkline | None:
    """The line of at least two values; None for fewer."""
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    step, span = (WIDTH - 8) / (len(values) - 1), high - low or 1
    places = [
        (round(4 + at * step, 1), round(HEIGHT - 4 - (value - low) / span * (HEIGHT - 8), 1))
        for at, value in enumerate(values)
    ]
    return Sparkline(" ".join(f"{x},{y}" for x, y in places), places[-1], words)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram, and what it says in words."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers in the order of their names: bars, and the names of the first and of the last."""

    bars: tuple[Bar, ...]
    first: str
    last: str
    words: str


def histogram(names: Sequence[str], counts: Sequence[int], words: str) -> Histogram:
    """A histogram of at least one number, WIDE by TALL."""
    step, most = WIDE / len(counts), max(counts) or 1
    bars = tuple(
        Bar(round(at * step, 2), TALL - tall, round(step * 0.86, 2), tall, f"{name}: {count:,}")
        for at, (name, count) in enumerate(zip(names, counts, strict=True))
        for tall in (round(TALL * count / most, 2),)
    )
    return Histogram(bars, names[0], names[-1], words)


@dataclass(frozen=True, slots=True)
class Box:
    """A release in the lineage, at its place; `stages` are written beside it."""

    tag: Tag
    x: int
    y: int
    stages: tuple[str, ...] = ()
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Lineage:
    """Boxes in columns, what is made from what (the ends of curves), and the size of the picture."""

    boxes: tuple[Box, ...]
    curves: tuple[str, ...]
    width: int
    height: int
    left_out: int = 0
    box: int = BOX  # the width of a box


@dataclass(frozen=True, slots=True)
class Node:
    """A release, and those that it was made from."""

    tag: Tag
    sources: tuple[Tag, ...]
    stages: tuple[str, ...] = ()
    is_withdrawn: bool = False


def lineage(nodes: Iterable[Node], centre: Iterable[Tag]) -> Lineage | None:
    """The releases of one artifact (`centre`), what they were made from on the left, what was made from them right.

    None where nothing was made from anything. Only the latest of each column are shown.
    """
    known = {node.tag: node for node in nodes}
    middle = [tag for tag in centre if tag in known]
    before = {source for tag in middle for source in known[tag].sources if source in known}
    after = {tag for tag, node in known.items() if set(node.sources) & set(middle)}
    if not before and not after:
        return None
    columns = [sorted(column, reverse=True) for column in (before, middle, after) if column]
    shown = [column[:SHOWN] for column in columns]
    places = {tag: (at * COLUMN, row * ROW) for at, column in enumerate(shown) for row, tag in enumerate(column)}
    boxes = tuple(Box(tag, x, y, known[tag].stages, known[tag].is_withdrawn) for tag, (x, y) in places.items())
    curves = tuple(
        _curve(places[source], places[tag])
        for tag in places
        for source in known[tag].sources
        if source in places and places[source][0] < places[tag][0]
    )
    left_out = sum(len(column) - SHOWN for column in columns if len(column) > SHOWN)
    width = (len(shown) - 1) * COLUMN + BOX
    return Lineage(boxes, curves, width, max(map(len, shown)) * ROW, left_out)


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From the right edge of a box to the left edge of another."""
    (x, y), (to_x, to_y), half = start, end, (ROW - 8) // 2
    x, y, to_y, bend = x + BOX, y + half, to_y + half, (to_x - x - BOX) // 2
    return f"M{x} {y} C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
