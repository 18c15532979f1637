import polars as pl
import pytest

from registry.report import charts
from support import model_frames, report_parts

CHARTS = {
    "labels": charts.labels(report_parts.BEFORE, {"train": {"cat": 3, "<rabbit> & co": 9}}),
    "shift": charts.shift(pl.DataFrame({"value": ["XT-3", None], "before": [0.75, 0.25], "after": [0.5, 0.5]})),
    "curves": charts.curves(model_frames.curves()),
    "confusion": charts.confusion(model_frames.confusion()),
    "calibration": charts.calibration(model_frames.calibration()),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_the_same_every_time_and_has_the_colours_of_its_theme(name: str) -> None:
    light, dark = (charts.svg(CHARTS[name], theme).decode() for theme in charts.THEMES)
    assert charts.svg(CHARTS[name], "light").decode() == light
    assert "#ffffff" in light
    assert "#0d1117" in dark
    assert "#0d1117" not in light


def test_a_png_says_its_size_in_css_pixels() -> None:
    data = charts.png(CHARTS["confusion"], "dark")
    assert data.startswith(b"\x89PNG")
    width, height = charts.png_size(data)
    assert 250 < width < 400
    assert 100 < height < 250


def test_labels_that_changed_most_come_first_and_text_is_harmless() -> None:
    drawn = charts.svg(CHARTS["labels"], "light").decode()
    assert "&lt;rabbit&gt; &amp; co" in drawn
    assert "<rabbit>" not in drawn


def test_of_many_classes_those_that_changed_most_are_drawn() -> None:
    many = {"train": {f"class_{number:03d}": number for number in range(100)}}
    drawn = charts.svg(charts.labels({}, many), "light").decode()
    assert "class_099" in drawn
    assert "class_079" not in drawn
