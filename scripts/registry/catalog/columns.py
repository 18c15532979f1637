"""How the values of a version's metadata columns are distributed, and the value of each image as a number."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from polars import DataFrame, Series, col

from registry.dataset import distribution

MAX_VALUES = 24  # of a column without an order: the most frequent ones; the rest is one value
BINS = 20  # of numbers, at most
TAIL = 0.005  # of the numbers are in the first bin, and in the last one
MIN_REPEATS = 2  # on average; strings that repeat less are names or notes, and are counted only


@dataclass(frozen=True, slots=True)
class Distribution:
    """A column: its values (bins of numbers and times) with the number of images of each, and how many are distinct.

    `is_ordered`: the values are in their order, else the most frequent is the first. Strings that hardly repeat have
    no values here.
    """

    column: str
    is_ordered: bool
    distinct: int
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The distributions, and `codes`: uuid, and for each column with values the place of each image's value in them."""

    distributions: tuple[Distribution, ...]
    codes: DataFrame


def describe(metadata: DataFrame) -> Columns:
    """The columns of a version's metadata: uuid, split and label, which are left out, and the others."""
    frame = metadata.drop("split", "label")
    values, _ = distribution.as_values(frame, frame)
    bins = [binned for name in frame.columns if (binned := _binned(frame[name])) is not None]
    values = values.with_columns(bins)
    distinct = {name: frame[name].drop_nulls().n_unique() for name in frame.columns}
    found = [_describe(values[name], distinct[name]) for name in values.columns if name != distribution.UUID]
    codes = {distribution.UUID: values[distribution.UUID]} | dict(_codes(values, found))
    return Columns(tuple(found), DataFrame(codes))


def _binned(numbers: Series) -> Series | None:
    """Numbers in about BINS bins of one width, rounded so that they are easy to read; None where there are few values.

    `distribution` has bins of about equal counts, which show a shift better, and have no shape.
    """
    known = numbers.drop_nulls().cast(pl.Float64) if numbers.dtype.is_numeric() else Series(dtype=pl.Float64)
    low, high = known.quantile(TAIL), known.quantile(1 - TAIL)
    if known.n_unique() <= distribution.MAX_DISTINCT or low is None or high is None or low == high:
        return None
    power = 10.0 ** math.floor(math.log10((high - low) / BINS))
    width = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= BINS)
    first, last = math.floor(low / width) + 1, math.ceil(high / width)
    edges = [float(f"{number * width:.12g}") for number in range(first, last)] or [first * width]
    labels = [*distribution.bin_labels(edges), distribution.NONE]
    places = distribution.bin_indices(numbers.cast(pl.Float64), edges)
    return Series(labels, dtype=pl.Enum(labels)).gather(places).alias(numbers.name)


def _describe(values: Series, distinct: int) -> Distribution:
    counted = DataFrame({"value": values}).group_by("value").len()
    if values.dtype != pl.String:
        ordered = counted.sort("value").with_columns(col("value").cast(pl.String))
        return Distribution(values.name, True, distinct, tuple(ordered["value"]), tuple(ordered["len"]))
    if counted.height > MAX_VALUES and values.len() < MIN_REPEATS * counted.height:
        return Distribution(values.name, False, distinct)
    ranked = counted.sort(-col("len").cast(pl.Int64), "value")
    shown = ranked.head(MAX_VALUES if ranked.height <= MAX_VALUES else MAX_VALUES - 1)
    others = int(ranked.slice(shown.height)["len"].sum())
    more = {distribution.OTHERS: others} if others else {}
    return Distribution(values.name, False, distinct, (*shown["value"], *more), (*shown["len"], *more.values()))


def _codes(values: DataFrame, found: list[Distribution]) -> Iterator[tuple[str, Series]]:
    for one in found:
        if one.values:
            texts = values[one.column].cast(pl.String)
            last = len(one.values) - 1  # `others`, where a value is not among them
            yield one.column, texts.replace_strict(one.values, range(last + 1), default=last, return_dtype=pl.UInt16)
