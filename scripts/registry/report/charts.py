"""The charts of a report, rendered for GitHub's light and dark themes as SVG or PNG.

Vega inside vl-convert renders them with a font of its own: no browser, no network, the same bytes on every machine.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import altair as alt
import polars as pl
import vl_convert
from PIL import Image
from polars import DataFrame, Series, col

from registry.core.escaping import one_line
from registry.core.values import Counts
from registry.report.blocks import Chart

WIDTH = 420  # of the plot, without its axes, in CSS pixels
STEPS = 6  # on the axis of training curves
CLASSES = 20  # of a bar chart: those that changed most
CONFUSED = 30  # classes of a readable confusion matrix; more become a table
SCALE = 2  # PNG pixels per CSS pixel
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
THEMES = ("light", "dark")
_BEFORE_AFTER = ["before", "after"]
_BASE_NEW = ["base", "new"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one of GitHub's themes, so that a chart looks like part of the page."""

    ground: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, str]  # before, after
    ramp: tuple[str, str]  # few, many


_COLOURS = {
    "light": Theme("#ffffff", "#1f2328", "#59636e", "#d8dee4", ("#9aa4ae", "#0969da"), ("#f3f6f9", "#54a0ef")),
    "dark": Theme("#0d1117", "#f0f6fc", "#9198a1", "#30363d", ("#8b949e", "#4493f8"), ("#161b22", "#1f6feb")),
}


def labels(before: Counts, after: Counts) -> Chart:
    """The number of images per class, over all splits; of many classes those that changed most."""
    old, new = _by_class(before), _by_class(after)
    names = sorted(old.keys() | new.keys(), key=lambda name: (-abs(new.get(name, 0) - old.get(name, 0)), name))
    rows = [
        (one_line(name), version, counts.get(name, 0))
        for name in names[:CLASSES]
        for version, counts in zip(_BEFORE_AFTER, (old, new), strict=True)
    ]
    frame = DataFrame(rows, schema=["label", "version", "items"], orient="row")
    return _chart(_bars(frame, "label", "items", "images", sorted(frame["label"].unique())))


def _by_class(counts: Counts) -> Mapping[str, int]:
    totals: dict[str, int] = {}
    for classes in counts.values():
        for label, items in classes.items():
            totals[label] = totals.get(label, 0) + items
    return totals


def shift(table: DataFrame) -> Chart:
    """The shares of a column's values, before and after (the table of `dataset.changes.Shift`)."""
    named = _clean(table, "value")
    long = named.unpivot(["before", "after"], index="value", variable_name="version", value_name="share")
    return _chart(_bars(long, "value", "share", "share of images", named["value"].to_list(), percent=True))


def _bars(frame: DataFrame, name: str, size: str, title: str, order: list[str], *, percent: bool = False) -> alt.Chart:
    axis = alt.Axis(format="%" if percent else ",d", tickCount=5, tickMinStep=0 if percent else 1)
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X(f"{size}:Q", title=title, axis=axis),
            y=alt.Y(f"{name}:N", title=None, sort=order),
            yOffset=alt.YOffset("version:N", sort=_BEFORE_AFTER),
            color=_colour("version", _BEFORE_AFTER),
        )
        .properties(width=WIDTH, height=alt.Step(11))
    )
    return chart


def curves(frame: DataFrame) -> Chart:
    """Training curves of both models, one plot per series (columns model, series, step, value)."""
    series = sorted(frame["series"].unique())[:6]
    plots = [
        alt.Chart(frame.filter(col("series") == name), title=one_line(name))
        .mark_line(point=alt.OverlayMarkDef(size=16))
        .encode(
            x=alt.X("step:Q", title="step", axis=_steps(frame["step"])),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            color=_colour("model", _present(frame)),
        )
        .properties(width=190, height=120)
        for name in series
    ]
    return _chart(alt.concat(*plots, columns=2))


def _steps(steps: Series) -> alt.Axis:
    """An axis of whole steps: each of a few, a round selection of many."""
    distinct = steps.unique().sort().to_list()
    return alt.Axis(values=distinct, format=",d") if len(distinct) <= STEPS else alt.Axis(tickCount=STEPS, format=",d")


def _present(frame: DataFrame) -> list[str]:
    """The models of a frame with a column `model`, base first."""
    return [name for name in _BASE_NEW if name in set(frame["model"])]


def confusion(frame: DataFrame) -> Chart:
    """Confusion matrices side by side, with the counts (columns model, actual, predicted, images)."""
    frame = _clean(frame, "actual", "predicted")
    frame = frame.with_columns(share=col("images") / col("images").sum().over("model", "actual")).fill_nan(0)
    classes = sorted({*frame["actual"], *frame["predicted"]})
    side = max(26, min(44, 200 // max(1, len(classes))))
    plots = []
    for name in _present(frame):
        cells = alt.Chart(frame.filter(col("model") == name), title=name).encode(
            x=alt.X("predicted:N", title="predicted", axis=alt.Axis(labelAngle=-40, orient="bottom"), sort=classes),
            y=alt.Y("actual:N", title="actual", sort=classes),
        )
        ramp = alt.Scale(domain=[0, 1], range="heatmap")
        squares = cells.mark_rect().encode(color=alt.Color("share:Q", scale=ramp, legend=None))
        counts = cells.mark_text(fontSize=11).encode(text=alt.Text("images:Q", format=",d"))
        plots.append((squares + counts).properties(width=alt.Step(side), height=alt.Step(side)))
    return _chart(alt.hconcat(*plots))


def calibration(frame: DataFrame) -> Chart:
    """Reliability diagram: accuracy by predicted confidence (columns model, confidence, accuracy, images)."""
    line = alt.Chart(DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0]})).mark_line(strokeDash=[2, 3])
    unit = alt.Scale(domain=[0, 1])
    models = alt.Chart(frame).encode(
        x=alt.X("confidence:Q", title="predicted confidence", scale=unit, axis=alt.Axis(format="%", tickCount=5)),
        y=alt.Y("accuracy:Q", title="accuracy", scale=unit, axis=alt.Axis(format="%", tickCount=5)),
        color=_colour("model", _present(frame)),
    )
    # Bins with few images have small points; lines are faint, because they only guide the eye.
    size = alt.Size("images:Q", scale=alt.Scale(range=[12, 100]), legend=None)
    points = models.mark_line(opacity=0.35) + models.mark_circle(opacity=1).encode(size=size)
    ideal = line.encode(x="confidence:Q", y="accuracy:Q", color=alt.value("#8b949e"))
    return _chart((ideal + points).properties(width=240, height=200))


def _colour(column: str, domain: list[str]) -> alt.Color:
    return alt.Color(
        f"{column}:N",
        title=None,
        scale=alt.Scale(domain=_BEFORE_AFTER if set(domain) <= set(_BEFORE_AFTER) else _BASE_NEW, range="category"),
        legend=alt.Legend(orient="top", symbolType="square", values=domain),
    )


def _chart(made: alt.TopLevelMixin) -> Chart:
    return Chart(json.dumps(made.to_dict(), sort_keys=True))


def _clean(frame: DataFrame, *names: str) -> DataFrame:
    """Texts from data as single visible lines; the axis clips long ones (`labelLimit`)."""
    texts = (col(name).cast(pl.String).fill_null("(none)") for name in names)
    return frame.with_columns(text.map_elements(one_line, return_dtype=pl.String) for text in texts)


@lru_cache(maxsize=128)  # report.html has as SVG what report.md has as PNG
def svg(chart: Chart, theme: str) -> bytes:
    """The chart as SVG for `light` or `dark`."""
    return vl_convert.vegalite_to_svg(json.loads(chart.spec), config=_config(theme)).encode()


def png(chart: Chart, theme: str) -> bytes:
    """The chart as PNG, SCALE pixels per CSS pixel; 64 colours are enough, and reduce it to a fifth of its size."""
    drawn = vl_convert.svg_to_png(svg(chart, theme).decode(), scale=SCALE)
    buffer = BytesIO()
    few = Image.open(BytesIO(drawn)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a chart's PNG in CSS pixels."""
    width, height = struct.unpack(">II", data[16:24])  # the first chunk is always IHDR
    return width // SCALE, height // SCALE


def _config(theme: str) -> dict[str, Any]:
    of = _COLOURS[theme]
    axis = {
        "labelColor": of.muted, "titleColor": of.muted, "gridColor": of.grid, "domainColor": of.grid,
        "tickColor": of.grid, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "labelLimit": 180,
    }  # fmt: skip
    return {
        "background": of.ground,
        "font": FONT,
        "padding": 8,
        "axis": axis,
        "legend": {"labelColor": of.ink, "labelFontSize": 12, "symbolSize": 90, "symbolOpacity": 1},
        "title": {"color": of.ink, "fontSize": 12, "fontWeight": "bold"},
        "text": {"color": of.ink},
        "view": {"stroke": of.grid, "continuousWidth": 300},
        "range": {"category": list(of.series), "heatmap": list(of.ramp)},
    }
