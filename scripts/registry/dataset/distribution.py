"""Where a change of items is concentrated, and how metadata moved: over every column of two versions' metadata.

A column is looked at as values that people can name: texts as they are, numbers in bins that hold about as many items
each, times by year, month, day or hour.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl
from polars import DataFrame, Series, col

from registry.core import item_paths
from registry.core.values import Column
from registry.dataset.changes import Concentration, Shift
from registry.errors import Refused

UUID = "uuid"
NONE = "(none)"  # what stands for no value
OTHERS = "others"
BINS = 10  # of numbers
FEW = 12  # as many different whole numbers or less stay what they are; also the rows of a shift's table

FEWEST = 5  # items that a sentence is about, at least
SMALLEST = 0.1  # share of the change that a sentence is about, at least
LIFT = 1.5  # times their share, at least
SURPRISE = 15.0  # G that is demanded: with one degree of freedom chance gives that once in 9,000 values
SENTENCES = 3  # of one kind of change, two of them about one column
MOST_SHIFTS = 4
SMALLEST_SHIFT = 0.01
CROWD = 10  # items per text, on average, below which a column of texts is names rather than groups

# Days from which on times are told so: Polars' name of the step, and the form. What spans less is told by the hour.
_SPANS = ((5 * 365, "1y", "%Y"), (90, "1mo", "%Y-%m"), (3, "1d", "%Y-%m-%d"))
_HOURS = (0, "1h", "%Y-%m-%d %H h")


def describe(found: Concentration) -> str:
    """`94% of the removed images are camera=XT-3, 5.1 times their share`."""
    share = "over 99%" if 0.995 <= found.share < 1 else f"{found.share:.0%}"
    times = f"{found.times:.1f} times their share" if math.isfinite(found.times) else "which none was before"
    return f"{share} of the {found.kind} images are {found.column}={found.value}, {times}"


# --- metadata ---------------------------------------------------------------------------------------------------------


def read_table(data: bytes, columns: Sequence[Column]) -> DataFrame:
    """A split's `metadata.csv`: uuid, label and, typed, the other columns that it has. Raises Refused."""
    forms = {one.name: one.type for one in columns if one.name not in {UUID, "label"} and one.type != "uuid"}
    try:
        heads = pl.read_csv(data, infer_schema=False, n_rows=0).columns
        there = [name for name in forms if name in heads]
        names = [UUID if UUID in heads else "file_name", "label"]
        texts = pl.read_csv(data, infer_schema=False, columns=[*names, *there])
        from_name = col("file_name").str.extract_groups(item_paths.FILE_NAME).struct.field(UUID)
        uuid = col(UUID) if UUID in heads else from_name
        return texts.select(uuid, "label", *(_typed(name, forms[name]) for name in there))
    except pl.exceptions.PolarsError as error:
        raise Refused("a metadata.csv cannot be read", fix="build the dataset again") from error


def _typed(name: str, form: str) -> pl.Expr:
    """As `build` wrote it (`cells.as_text`); what is no such value is none."""
    text = col(name)
    match form:
        case "integer":
            return text.cast(pl.Int64, strict=False)
        case "number":
            return text.cast(pl.Float64, strict=False)
        case "date":
            return text.str.to_date("%Y-%m-%d", strict=False)
        case "datetime":
            return text.str.strip_suffix("Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return text


# --- columns as values ------------------------------------------------------------------------------------------------


def as_values(before: DataFrame, after: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Two versions' metadata (uuid, and typed columns) with every other column as values that people can name.

    Columns that one version lacks are left out. An ordered column (numbers, times) is an Enum in its order.
    """
    shared = [name for name in before.columns if name != UUID and name in after.columns]
    pairs = {name: _as_values(before[name], after[name]) for name in shared}
    old, new = ({name: pair[side] for name, pair in pairs.items()} for side in (0, 1))
    return DataFrame({UUID: before[UUID], **old}), DataFrame({UUID: after[UUID], **new})


def _as_values(before: Series, after: Series) -> tuple[Series, Series]:
    if before.dtype != after.dtype:
        return before.cast(pl.String).fill_null(NONE), after.cast(pl.String).fill_null(NONE)
    if before.dtype.is_temporal():
        return _by_time(before, after)
    if before.dtype.is_numeric():
        return _binned(before, after)
    return before.cast(pl.String).fill_null(NONE), after.cast(pl.String).fill_null(NONE)


def _by_time(before: Series, after: Series) -> tuple[Series, Series]:
    moments = [moment for side in (before, after) for moment in (side.min(), side.max()) if moment is not None]
    days = (max(moments) - min(moments)).total_seconds() / 86_400 if moments else 0
    hours = _HOURS if before.dtype == pl.Datetime else _SPANS[-1]
    _, step, form = next((one for one in _SPANS if days >= one[0]), hours)
    starts = [side.dt.truncate(step) for side in (before, after)]
    distinct = pl.concat([side.unique() for side in starts]).drop_nulls().unique().sort()
    texts = distinct.dt.to_string(form)
    order = pl.Enum([*texts, NONE])
    return tuple(side.replace_strict(distinct, texts, default=NONE, return_dtype=order) for side in starts)


def _binned(before: Series, after: Series) -> tuple[Series, Series]:
    distinct = pl.concat([before.unique(), after.unique()]).drop_nulls().unique().sort()
    if distinct.dtype.is_integer() and len(distinct) <= FEW:
        order = pl.Enum([*map(str, distinct), NONE])
        return tuple(side.cast(pl.String).fill_null(NONE).cast(order) for side in (before, after))
    edges = _edges(before if before.count() else after)
    labels = _labels(edges)
    names = Series([*labels, NONE], dtype=pl.Enum([*labels, NONE]))
    return tuple(names.gather(_places(side.cast(pl.Float64), edges)).alias(side.name) for side in (before, after))


def _places(numbers: Series, edges: Sequence[float]) -> Series:
    """Which bin, from 0, each number is in; one after the last for no number."""
    places = Series(edges, dtype=pl.Float64).search_sorted(numbers, side="right")
    return places.zip_with(numbers.is_not_null(), Series([len(edges) + 1], dtype=places.dtype))


def _edges(numbers: Series) -> list[float]:
    """The deciles, to three digits: easy to read, and they only have to be near."""
    ordered = numbers.drop_nulls().sort()
    if ordered.is_empty():
        return []
    return sorted({float(f"{ordered[place * len(ordered) // BINS]:.3g}") for place in range(1, BINS)})


def _labels(edges: Sequence[float]) -> list[str]:
    if not edges:
        return ["any"]
    texts = [_number(edge) for edge in edges]
    inner = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"below {texts[0]}", *inner, f"{texts[-1]} or more"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


# --- concentrations ---------------------------------------------------------------------------------------------------


def find_concentrations(kind: str, items: DataFrame, changed: Series) -> tuple[Concentration, ...]:
    """The values that are much more frequent among the `changed` uuids than among all `items`, most telling first.

    `items` comes from `as_values` and holds the changed ones too. What tells most is the value with the largest G of
    the test of independence (Sokal and Rohlf, Biometry, 17.4), among those that `_is_told` lets through.
    """
    marked = items.with_columns(hit=col(UUID).is_in(changed.implode()))
    total = int(marked["hit"].sum())
    if total < FEWEST or total == marked.height:
        return ()
    names = [name for name in items.columns if name != UUID]
    found = sorted((row for name in names for row in _surprises(marked, name, total)), reverse=True)
    return tuple(Concentration(kind, *row) for row in _best(found))


def _surprises(marked: DataFrame, name: str, total: int) -> Iterator[tuple[float, str, str, int, float, float]]:
    """G, column, value, count, share and times of the values of one column that are worth a sentence."""
    grouped = marked.group_by(col(name).alias("value")).agg(count=col("hit").sum().cast(pl.Int64), there=pl.len())
    share, usual = col("count") / total, col("there") / marked.height
    told = grouped.filter(col("count") >= FEWEST, share >= SMALLEST, share >= LIFT * usual)
    for value, count, there in told.sort("value").iter_rows():
        surprise = _g(count, total, there, marked.height)
        if surprise >= SURPRISE:
            yield surprise, name, value, count, count / total, count / total / (there / marked.height)


def _g(count: int, changed: int, there: int, everything: int) -> float:
    """The G statistic of the two-by-two table: changed or not, of this value or not."""
    cells = ((count, changed, there), (changed - count, changed, everything - there),
             (there - count, everything - changed, there),
             (everything - changed - there + count, everything - changed, everything - there))  # fmt: skip
    return 2 * sum(seen * math.log(seen * everything / (row * column)) for seen, row, column in cells if seen)


def _best(found: Sequence[tuple[float, str, str, int, float, float]]) -> Iterator[tuple[str, str, int, float, float]]:
    said: list[str] = []
    for _, *row in found:
        if len(said) < SENTENCES and said.count(row[0]) < 2:
            said.append(row[0])
            yield tuple(row)


# --- shifts -----------------------------------------------------------------------------------------------------------


def find_shifts(before: DataFrame, after: DataFrame) -> tuple[Shift, ...]:
    """The columns whose distribution moved most, furthest first; both frames come from `as_values`.

    A column of texts that hardly ever repeat (names, notes) is no distribution, and left out.
    """
    names = [name for name in before.columns if name != UUID]
    moved = (_shift(before[name], after[name]) for name in names if not before.is_empty() and not after.is_empty())
    told = (shift for shift in moved if shift and shift.distance >= SMALLEST_SHIFT)
    return tuple(sorted(told, key=lambda shift: (-shift.distance, shift.column))[:MOST_SHIFTS])


def _shift(before: Series, after: Series) -> Shift | None:
    sides = (_shares(before, "before"), _shares(after, "after"))
    both = sides[0].join(sides[1], on="value", how="full", coalesce=True).fill_null(0.0)
    if both.schema["value"] == pl.String and len(before) + len(after) < CROWD * both.height:
        return None
    distance = float((both["before"] - both["after"]).abs().sum()) / 2
    return Shift(before.name, distance, _table(both))


def _shares(values: Series, side: str) -> DataFrame:
    return DataFrame({"value": values}).group_by("value").agg((pl.len() / len(values)).alias(side))


def _table(both: DataFrame) -> DataFrame:
    """The values that have or had most items, in their own order where they have one; the rest in a last row."""
    largest = both.sort(-pl.max_horizontal("before", "after"), "value")
    shown, rest = (largest, largest.clear()) if both.height <= FEW else (largest.head(FEW - 1), largest.slice(FEW - 1))
    ordered = shown if both.schema["value"] == pl.String else shown.sort("value")
    last = rest.select(pl.lit(OTHERS).alias("value"), col("before").sum(), col("after").sum())
    texts = ordered.with_columns(col("value").cast(pl.String))
    return pl.concat([texts, last]) if rest.height else texts
