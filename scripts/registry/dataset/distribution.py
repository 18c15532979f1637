"""Distributions of metadata columns: values over-represented among changed items, and columns that shifted.

Every column is first turned into values that can be named: strings as they are, numbers in bins of about equal counts,
times by year, month, day or hour.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import polars as pl
from polars import DataFrame, Series, col

from registry.dataset import shift_significance
from registry.dataset.changes import Concentration, Shift

UUID = "uuid"
NONE = "(none)"  # the name of a missing value
OTHERS = "others"
BINS = 10  # of numbers
MAX_DISTINCT = 12  # integers with at most so many distinct values are not binned; also the rows of an ordered shift

# What a concentration must reach to be reported.
MIN_ITEMS = 5
MIN_SHARE = 0.1  # of the changed items
MIN_LIFT = 1.5  # share among the changed items / share among all items
MIN_G = 15.0  # with one degree of freedom, chance alone exceeds it once in 9,000 values
MAX_CONCENTRATIONS = 3  # of one kind of change
MAX_PER_COLUMN = 2

MAX_SHIFTS = 4
SHOWN_VALUES = 8  # of a column without an order: those whose shares changed most
MIN_SHIFT = 0.01  # total variation distance
MIN_ITEMS_PER_STRING = 10  # on average; a column whose strings repeat less holds names or notes, not categories


class _TimeStep(NamedTuple):
    """Times that span at least `days` are shown by `step` (of Polars' `truncate`), as `form` (of `strftime`) writes."""

    days: int
    step: str
    form: str


_TIME_STEPS = (_TimeStep(5 * 365, "1y", "%Y"), _TimeStep(90, "1mo", "%Y-%m"), _TimeStep(3, "1d", "%Y-%m-%d"))
_HOURS = _TimeStep(0, "1h", "%Y-%m-%d %H h")


def describe(found: Concentration) -> str:
    """`94% of the removed images have camera=XT-3, 5.1 times its share of all images`."""
    share = "over 99%" if 0.995 <= found.share < 1 else f"{found.share:.0%}"
    lift = f"{found.times:.1f} times its share of all images" if math.isfinite(found.times) else "a new value"
    return f"{share} of the {found.kind} images have {found.column}={found.value}, {lift}"


# --- columns as values ------------------------------------------------------------------------------------------------


def as_values(before: DataFrame, after: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Two versions' metadata (uuid, and typed columns) with every other column as values that can be named.

    Columns that one version lacks are left out. An ordered column (numbers, times) becomes an Enum in its order.
    """
    old, new = {UUID: before[UUID]}, {UUID: after[UUID]}
    for name in before.columns:
        if name != UUID and name in after.columns:
            old[name], new[name] = _as_values(before[name], after[name])
    return DataFrame(old), DataFrame(new)


def _as_values(before: Series, after: Series) -> tuple[Series, Series]:
    if before.dtype == after.dtype and before.dtype.is_temporal():
        return _by_time(before, after)
    if before.dtype == after.dtype and before.dtype.is_numeric():
        return _binned(before, after)
    return before.cast(pl.String).fill_null(NONE), after.cast(pl.String).fill_null(NONE)


def _by_time(before: Series, after: Series) -> tuple[Series, Series]:
    smallest = _HOURS if before.dtype == pl.Datetime else _TIME_STEPS[-1]
    days = _span(pl.concat([before, after])) / timedelta(days=1)
    _, step, form = next((one for one in _TIME_STEPS if days >= one.days), smallest)
    starts = before.dt.truncate(step), after.dt.truncate(step)
    distinct = pl.concat([side.unique() for side in starts]).drop_nulls().unique().sort()
    texts = distinct.dt.to_string(form)
    order = pl.Enum([*texts, NONE])
    old, new = (side.replace_strict(distinct, texts, default=NONE, return_dtype=order) for side in starts)
    return old, new


def _span(times: Series) -> timedelta:
    """The time from the earliest to the latest; none where there are no values."""
    first, last = times.min(), times.max()
    if isinstance(first, datetime) and isinstance(last, datetime):
        return last - first
    return last - first if isinstance(first, date) and isinstance(last, date) else timedelta()


def _binned(before: Series, after: Series) -> tuple[Series, Series]:
    distinct = pl.concat([before.unique(), after.unique()]).drop_nulls().unique().sort()
    if distinct.dtype.is_integer() and len(distinct) <= MAX_DISTINCT:
        order = pl.Enum([*map(str, distinct), NONE])
        old, new = (side.cast(pl.String).fill_null(NONE).cast(order) for side in (before, after))
        return old, new
    edges = _bin_edges(before if before.count() else after)
    labels = [*bin_labels(edges), NONE]
    names = Series(labels, dtype=pl.Enum(labels))
    old, new = (names.gather(bin_indices(side.cast(pl.Float64), edges)).alias(side.name) for side in (before, after))
    return old, new


def bin_indices(numbers: Series, edges: Sequence[float]) -> Series:
    """The bin of each number, from 0; a missing number has the index after the last bin."""
    indices = Series(edges, dtype=pl.Float64).search_sorted(numbers, side="right")
    return indices.zip_with(numbers.is_not_null(), Series([len(edges) + 1], dtype=indices.dtype))


def _bin_edges(numbers: Series) -> list[float]:
    """The deciles, rounded to three digits so that they are easy to read."""
    ordered = numbers.drop_nulls().sort()
    if ordered.is_empty():
        return []
    return sorted({float(f"{ordered[index * len(ordered) // BINS]:.3g}") for index in range(1, BINS)})


def bin_labels(edges: Sequence[float]) -> list[str]:
    """The names of the bins between these edges, and of the two beyond them."""
    if not edges:
        return ["any"]
    texts = [f"{edge:,.0f}" if abs(edge) >= 1000 else f"{edge:g}" for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"below {texts[0]}", *inner, f"{texts[-1]} or more"]


# --- concentrations ---------------------------------------------------------------------------------------------------


def find_concentrations(kind: str, items: DataFrame, changed: Series) -> tuple[Concentration, ...]:
    """The values that are much more frequent among the `changed` uuids than among all `items`, strongest first.

    `items` comes from `as_values` and includes the changed ones. Values that pass the thresholds above are ranked by
    the G statistic of the test of independence (Sokal and Rohlf, Biometry, 17.4).
    """
    marked = items.with_columns(is_changed=col(UUID).is_in(changed.implode()))
    total = int(marked["is_changed"].sum())
    if total < MIN_ITEMS or total == marked.height:
        return ()
    names = [name for name in items.columns if name != UUID]
    scored = [found for name in names for found in _score_values(kind, marked, name, total)]
    scored.sort(key=lambda one: (one.g, one.concentration.column, one.concentration.value), reverse=True)
    return tuple(_best(one.concentration for one in scored))


class _Scored(NamedTuple):
    """A candidate and its G statistic."""

    g: float
    concentration: Concentration


def _score_values(kind: str, marked: DataFrame, column: str, total: int) -> Iterator[_Scored]:
    """The values of one column that pass the thresholds; `total` items are changed."""
    grouped = marked.group_by(col(column).alias("value")).agg(
        changed=col("is_changed").sum().cast(pl.Int64), items=pl.len()
    )
    share, usual_share = col("changed") / total, col("items") / marked.height
    frequent = grouped.filter(col("changed") >= MIN_ITEMS, share >= MIN_SHARE, share >= MIN_LIFT * usual_share)
    for value, changed, items in frequent.sort("value").iter_rows():
        g = _g(changed, total, items, marked.height)
        if g >= MIN_G:
            lift = changed / total / (items / marked.height)
            yield _Scored(g, Concentration(kind, column, value, changed, changed / total, lift))


def _g(both: int, changed: int, of_value: int, total: int) -> float:
    """The G statistic of the two-by-two table: changed or not, of this value or not; `both` is the first cell."""
    cells = ((both, changed, of_value), (changed - both, changed, total - of_value),
             (of_value - both, total - changed, of_value),
             (total - changed - of_value + both, total - changed, total - of_value))  # fmt: skip
    return 2 * sum(count * math.log(count * total / (row * column)) for count, row, column in cells if count)


def _best(ranked: Iterator[Concentration]) -> Iterator[Concentration]:
    columns: list[str] = []
    for concentration in ranked:
        if len(columns) < MAX_CONCENTRATIONS and columns.count(concentration.column) < MAX_PER_COLUMN:
            columns.append(concentration.column)
            yield concentration


# --- shifts -----------------------------------------------------------------------------------------------------------


class Shifts(NamedTuple):
    """The columns whose distributions differ most, largest distance first, and the names of the `stable` ones."""

    shifts: tuple[Shift, ...]
    stable: tuple[str, ...]


def find_shifts(before: DataFrame, after: DataFrame) -> Shifts:
    """What the columns of both frames, which come from `as_values`, say: a shift is at least MIN_SHIFT, and more than
    chance gives (`shift_significance`).

    A column of strings that hardly ever repeat (names, notes) is neither shifted nor stable.
    """
    if before.is_empty() or after.is_empty():
        return Shifts((), ())
    compared = [one for name in before.columns if name != UUID and (one := _compare_column(before, after, name))]
    level = shift_significance.LEVEL / max(1, len(compared))
    large = [one for one in compared if one.distance >= MIN_SHIFT and one.p_value <= level]
    stable = sorted(one.column for one in compared if one not in large)
    return Shifts(tuple(sorted(large, key=lambda one: (-one.distance, one.column))[:MAX_SHIFTS]), tuple(stable))


def _compare_column(before: DataFrame, after: DataFrame, name: str) -> Shift | None:
    sides = _shares(before[name], "before"), _shares(after[name], "after")
    both = sides[0].join(sides[1], on="value", how="full", coalesce=True).fill_null(0.0)
    if both.schema["value"] == pl.String and before.height + after.height < MIN_ITEMS_PER_STRING * both.height:
        return None
    distance = float((both["before"] - both["after"]).abs().sum()) / 2
    chance = shift_significance.p_value(before, after, name) if distance >= MIN_SHIFT else 1.0
    return Shift(name, distance, chance, _shift_table(both))


def _shares(values: Series, name: str) -> DataFrame:
    return DataFrame({"value": values}).group_by("value").agg((pl.len() / len(values)).alias(name))


def _shift_table(both: DataFrame) -> DataFrame:
    """The most frequent values in their order, or without one those that changed most; the rest in a last row."""
    if both.schema["value"] == pl.String:
        largest, most = both.sort(-(col("before") - col("after")).abs(), "value"), SHOWN_VALUES
    else:
        largest, most = both.sort(-pl.max_horizontal("before", "after"), "value"), MAX_DISTINCT
    limit = most if both.height <= most else most - 1
    shown, rest = largest.head(limit), largest.slice(limit)
    ordered = shown if both.schema["value"] == pl.String else shown.sort("value")
    last = rest.select(pl.lit(OTHERS).alias("value"), col("before").sum(), col("after").sum())
    texts = ordered.with_columns(col("value").cast(pl.String))
    return pl.concat([texts, last]) if rest.height else texts
