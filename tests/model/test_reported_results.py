"""What a training reports beside the judge's metrics: in the comparison under its own title, bounded, never run."""

import json
import re
import shutil
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from conftest import copy
from registry.integrations import vega
from registry.integrations.dvc import dvc
from registry.model import judge_run
from registry.model.changes import GateState, ReportedPlot
from registry.report import blocks, charts, html, markdown
from registry.report.assemble import assemble
from support import repositories
from support.report_parts import PASSED, RUN_INFO
from support.threshold_models import CATS, DOGS, FOLDER, compare, put_data, put_model

TITLE = "Reported by the training, not measured by the registry"
ROC = "far,tpr\n0,0\n0.2,0.7\n1,1\n"


@pytest.fixture(scope="module")
def _base(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_registry, tmp_path_factory.mktemp("base"))
    put_data(root, {**CATS, **DOGS})
    put_model(root, 105)
    repositories.commit(root, "models/pets")
    changed = copy(root, tmp_path_factory.mktemp("changed"))
    put_model(changed, 75, version="1.1.0")
    compare(changed)
    shutil.copytree(changed / judge_run.RESULTS, root / judge_run.RESULTS)
    return root


@pytest.fixture
def base(_base: Path, tmp_path: Path) -> Path:
    """A committed model; it and the one of `shown` were measured before, which these tests are not about."""
    return copy(_base, tmp_path)


def put_results(root: Path, declared: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """These keys at the top of `dvc.yaml`, and these files of the model."""
    path = root / FOLDER / "dvc.yaml"
    repositories.write(path, yaml.safe_load(path.read_text()) | dict(declared))
    for name, data in files.items():
        (root / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (root / FOLDER / name).write_bytes(data)


def shown(root: Path, plots: list[Any], files: Mapping[str, bytes]) -> tuple[ReportedPlot, ...]:
    put_model(root, 75, version="1.1.0")
    put_results(root, {"plots": plots}, files)
    return compare(root).reported.plots


def picture(form: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", (640, 400), "teal").save(out, form)
    return out.getvalue()


def test_metrics_have_the_names_of_dvc(base: Path) -> None:
    put_results(base, {"metrics": ["latency.json"]}, {"latency.json": b'{"cpu": {"ms": 12.5}, "batch": 8}'})
    repositories.commit(base, "reported")
    files = {"latency.json": b'{"cpu": {"ms": 11}, "batch": 8}', "size.yaml": b"mb: 3\n", "more.toml": b"[a]\nb = 1\n"}
    put_model(base, 75, version="1.1.0", gates=[{"metric": "cpu.ms", "max": 12}, {"metric": "accuracy", "min": 0.8}])
    put_results(base, {"metrics": list(files)}, files)
    change = compare(base)
    found = {(one.path, one.metric.name): (one.metric.old, one.metric.new) for one in change.reported.metrics}
    assert found == {
        ("models/pets/latency.json", "cpu.ms"): (12.5, 11),
        ("models/pets/latency.json", "batch"): (8, 8),
        ("models/pets/size.yaml", "mb"): (None, 3),
        ("models/pets/more.toml", "a.b"): (None, 1),
    }
    text = dvc(base, "metrics", "diff", "--md", quiet=True)
    for path, name in found:
        assert name == "batch" or f"| {path} | {name} |" in " ".join(text.split())
    gate, judged = change.gates
    assert (gate.state, judged.state) == (GateState.PASSED, GateState.PASSED)
    assert gate.message.endswith("(reported by the training in models/pets/latency.json, not measured)")
    assert "reported" not in judged.message
    report = assemble(PASSED, [], [change], RUN_INFO)
    for text in (markdown.render(report, {}), html.render(report)):
        assert TITLE in text
        assert "models/pets/latency.json" in text


@pytest.mark.parametrize(
    ("declared", "path", "data", "name"),
    [
        (
            {"plots/roc.csv": {"x": "far", "y": "tpr", "title": "ROC"}},
            "plots/roc.csv",
            ROC,
            "models/pets/plots/roc.csv",
        ),
        ("plots/roc.csv", "plots/roc.csv", ROC, "models/pets/plots/roc.csv"),
        ({"plots/roc.tsv": {"x": "far"}}, "plots/roc.tsv", ROC.replace(",", "\t"), "models/pets/plots/roc.tsv"),
        ({"roc.json": {"y": "b"}}, "roc.json", '{"roc": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}', "models/pets/roc.json"),
        ({"roc.yaml": {"y": "b"}}, "roc.yaml", "roc: [{a: 1, b: 2}, {a: 3, b: 4}]", "models/pets/roc.yaml"),
        ({"ROC": {"x": "far", "y": {"roc.csv": "tpr"}}}, "roc.csv", ROC, "ROC"),
        ({"roc.csv": {"x": "far", "y": "tpr", "template": "scatter"}}, "roc.csv", ROC, "models/pets/roc.csv"),
        ("folder", "folder/roc.csv", ROC, "models/pets/folder/roc.csv"),
    ],
)
def test_plots_are_drawn_by_dvc_s_templates(base: Path, declared: Any, path: str, data: str, name: str) -> None:
    (plot,) = shown(base, [declared], {path: data.encode()})
    assert (plot.name, plot.omitted) == (name, "")
    assert charts.svg(blocks.Chart(plot.spec), "dark").startswith(b"<svg")


def test_both_versions_are_in_one_plot(base: Path) -> None:
    put_results(base, {"plots": ["roc.csv"]}, {"roc.csv": ROC.encode()})
    repositories.commit(base, "reported")
    (plot,) = shown(base, [{"roc.csv": {"x": "far", "y": "tpr"}}], {"roc.csv": ROC.replace("0.7", "0.8").encode()})
    assert {row["rev"] for row in json.loads(plot.spec)["data"]["values"]} == {"base", "new"}


def test_pictures_are_pictures(base: Path) -> None:
    plots = shown(base, ["a.png", "b.jpg"], {"a.png": picture(), "b.jpg": picture("JPEG")})
    assert [(plot.name, len(plot.pictures)) for plot in plots] == [("models/pets/a.png", 1), ("models/pets/b.jpg", 1)]
    assert max(plots[0].pictures[0].width, plots[0].pictures[0].height) <= 640
    many = [f"p{place}.png" for place in range(19)]
    plots = shown(base, many, dict.fromkeys(many, picture()))
    assert sum(len(plot.pictures) for plot in plots) == 12
    assert plots[-1].omitted == "the limit is 12 pictures"


# 4.3 thousand million pixels in a few bytes.
_SIDE = b"\xff\xff"
GIGAPIXELS = b"GIF89a" + 2 * _SIDE + b"\0\0\0," + b"\0\0\0\0" + 2 * _SIDE + b"\0\x02\x02\x4c\x01\0;"


@pytest.mark.parametrize(
    ("declared", "files", "why"),
    [
        ({"a.csv": {"template": "mine"}}, {"a.csv": b"x,y\n1,2\n"}, "the template mine is not one of DVC's own"),
        ("a.svg", {"a.svg": b"<svg"}, "the SVG cannot be read"),
        ("a.gif", {"a.gif": b"GIF89a"}, "the GIF cannot be decoded"),
        ("a.gif", {"a.gif": GIGAPIXELS}, "the GIF cannot be decoded"),
        ({"a.csv": {"x": "nothing", "y": "y"}}, {"a.csv": b"x,y\n1,2\n"}, "DVC cannot draw it"),
        ("a.csv", {}, "it has no data"),
        ("a.png", {}, "the file is missing"),
        ("a.json", {"a.json": b"[" * 100_000}, "a.json cannot be read as a table"),
        ("a.json", {"a.json": b"\xff\xfe"}, "a.json cannot be read as a table"),
        ("a.csv", {"a.csv": b"x" * 1_100_000}, "the limit is 1 MiB"),
    ],
)
def test_what_cannot_be_drawn_is_named(base: Path, declared: Any, files: Mapping[str, bytes], why: str) -> None:
    (plot,) = shown(base, [declared], files)
    assert why in plot.omitted
    assert not plot.spec


def test_markup_in_names_and_data_stays_text(base: Path) -> None:
    evil = "<script>alert(1)</script>"
    rows = f'x,y\n"{evil}",1\n"b",2\n'
    plots = shown(
        base, [{"a.csv": {"x": "x", "y": "y", "title": evil, "template": "bar_horizontal"}}], {"a.csv": rows.encode()}
    )
    change = compare(base)
    assert plots[0].name == "models/pets/a.csv"
    assert b"<script" not in charts.svg(blocks.Chart(plots[0].spec), "light") if plots[0].spec else True
    page = html.render(assemble(PASSED, [], [change], RUN_INFO))
    assert "<script" not in page


@pytest.mark.parametrize(("columns", "why"), [(90, "it has 90 series"), (10_000, "it has 10,000 series")])
def test_series_are_bounded(base: Path, columns: int, why: str) -> None:
    names = [f"c{place}" for place in range(columns)]
    table = "\n".join([",".join(names), *[",".join("1" * columns)] * 40])
    (plot,) = shown(base, [{"all": {"y": {"a.csv": names}}}], {"a.csv": table.encode()})
    assert why in plot.omitted
    (plot,) = shown(base, [{"a.csv": {"y": "c1"}}], {"a.csv": table.encode()})
    assert ("the limit is 100" in plot.omitted) is (columns > 100)


def test_rows_are_bounded(base: Path) -> None:
    rows = "x,y\n" + "".join(f"{number},{number}\n" for number in range(50_000))
    (plot,) = shown(base, [{"a.csv": {"x": "x", "y": "y"}}], {"a.csv": rows.encode()})
    assert len(json.loads(plot.spec)["data"]["values"]) <= 1_000


# --- the names of DVC -------------------------------------------------------------------------------------------------


def test_names_are_those_that_dvc_s_diffs_show(base: Path) -> None:
    """Nested keys, several files and forms, ids with their files, folders, pictures."""
    declared = {
        "metrics": ["a.json", "b.yaml", "c.toml", "deep/more.json"],
        "plots": [
            {"ROC": {"x": {"roc.csv": "far"}, "y": {"roc.csv": "tpr"}, "template": "smooth"}},
            {"both": {"x": "far", "y": {"roc.csv": "tpr", "two.csv": "tpr"}}},
            {"two.csv": {"template": "simple", "x": "far", "y": "tpr"}},
            "folder",
            "picture.png",
        ],
    }
    files = {
        "a.json": b'{"cpu": {"ms": 12.5, "deep": {"x": 1}}, "list": [1], "none": null, "words": "w", "on": true}',
        "b.yaml": b"mb: 3\n",
        "c.toml": b"[a]\nb = 1\n",
        "deep/more.json": b'{"q": 1}',
        **dict.fromkeys(("roc.csv", "two.csv", "folder/three.csv"), ROC.encode()),
        "picture.png": picture(),
    }
    put_results(base, declared, files)
    repositories.commit(base, "reported")
    put_model(base, 75, version="1.1.0")
    put_results(base, declared, files)
    found = compare(base).reported
    shown = json.loads(dvc(base, "metrics", "diff", "--all", "--json", quiet=True))
    shown.pop("models/pets/metrics.json", None)
    assert {(one.path, one.metric.name) for one in found.metrics} == {
        (path, name) for path, values in shown.items() for name in values
    }
    drawn = json.loads(dvc(base, "plots", "diff", "--json", "-o", str(base / ".dvc/tmp/plots"), quiet=True))["data"]
    judged = {"models/pets/plots/confusion.csv"}
    assert {plot.name for plot in found.plots} == {name for name, each in drawn.items() if each} - judged
    assert [plot.omitted for plot in found.plots if plot.omitted] == []


def test_an_id_that_two_pipelines_have_is_written_with_its_file(base: Path) -> None:
    other = base / "models/other/dvc.yaml"
    other.parent.mkdir(parents=True)
    roc = {"ROC": {"x": "far", "y": {"roc.csv": "tpr"}}}
    stages = yaml.safe_load((base / FOLDER / "dvc.yaml").read_text())["stages"]
    repositories.write(other, {"stages": stages, "plots": [roc]})
    (plot,) = shown(base, [roc], {"roc.csv": ROC.encode()})
    assert plot.name == "models/pets/dvc.yaml::ROC"


def test_files_with_metrics_that_cannot_be_read_are_told(base: Path) -> None:
    declared = {"metrics": ["broken.json", "list.yaml", "missing.json", "good.json"]}
    put_model(base, 75, version="1.1.0")
    put_results(base, declared, {"broken.json": b"{oops", "list.yaml": b"[1, 2]", "good.json": b'{"ms": 1}'})
    found = compare(base)
    told = {plot.name: plot.omitted for plot in found.reported.plots}
    assert told.keys() == {f"models/pets/{name}" for name in ("broken.json", "list.yaml", "missing.json")}
    assert "missing, in Git and in DVC's cache" in told["models/pets/missing.json"]
    assert [one.path for one in found.reported.metrics] == ["models/pets/good.json"]
    assert "models/pets/broken.json" in markdown.render(assemble(PASSED, [], [found], RUN_INFO), {})


def test_metrics_that_lie_in_dvc_s_cache_are_read_there_or_told(base: Path) -> None:
    put_model(base, 75, version="1.1.0")
    put_results(base, {"metrics": ["ms.json"]}, {"ms.json": b'{"ms": 5}'})
    path = base / FOLDER / "dvc.lock"
    document = yaml.safe_load(path.read_text())
    document["stages"]["train"]["outs"].append(repositories.file_out(base, base / FOLDER / "ms.json"))
    repositories.write(path, document)
    (base / FOLDER / "ms.json").unlink()
    found = compare(base).reported
    assert [(one.path, one.metric.name, one.metric.new) for one in found.metrics] == [("models/pets/ms.json", "ms", 5)]
    assert found.plots == ()
    repositories.place(base / ".dvc/cache", repositories.md5(b'{"ms": 5}')).unlink()
    found = compare(base).reported
    assert found.metrics == ()
    assert [plot.omitted for plot in found.plots] == ["the file is missing, in Git and in DVC's cache"]


def test_more_metrics_than_fit_are_counted(base: Path) -> None:
    put_model(base, 75, version="1.1.0")
    many = json.dumps({f"m{place}": place for place in range(10_000)}).encode()
    put_results(base, {"metrics": ["many.json"]}, {"many.json": many})
    found = compare(base).reported
    assert len(found.metrics) == 200
    assert [(plot.name, plot.omitted) for plot in found.plots] == [("9,800 more metrics", "the limit is 200")]


# --- a team's own templates -------------------------------------------------------------------------------------------

TEMPLATE = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": "<DVC_METRIC_DATA>"},
    "mark": "line",
    "encoding": {
        "x": {"field": "<DVC_METRIC_X>", "type": "quantitative"},
        "y": {"field": "<DVC_METRIC_Y>", "type": "quantitative"},
        "color": {"field": "rev", "type": "nominal"},
    },
}


def by_template(root: Path, template: Any, name: str = "mine") -> ReportedPlot:
    (root / ".dvc/plots").mkdir(exist_ok=True)
    (root / f".dvc/plots/{name}.json").write_text(json.dumps(template))
    options = {"x": "far", "y": "tpr", "template": name}
    (plot,) = shown(root, [{"roc.csv": options}], {"roc.csv": ROC.encode()})
    return plot


VEGA = {
    "$schema": "https://vega.github.io/schema/vega/v6.json",
    "width": 200,
    "height": 200,
    "data": [{"name": "table", "values": "<DVC_METRIC_DATA>"}],
    "marks": [
        {
            "type": "symbol",
            "from": {"data": "table"},
            "encode": {"enter": {"x": {"signal": "200 * datum.far"}, "y": {"signal": "200 * datum.tpr"}}},
        }
    ],
}


@pytest.mark.parametrize(("name", "template"), [("mine", TEMPLATE), ("linear", TEMPLATE), ("mine", VEGA)])
def test_a_team_s_template_is_drawn_as_a_picture(base: Path, name: str, template: Any) -> None:
    plot = by_template(base, template, name)
    assert (plot.name, plot.omitted, plot.spec) == ("models/pets/roc.csv", "", "")
    (shown_picture,) = plot.pictures
    assert Image.open(BytesIO(shown_picture.image)).width > 200


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"layer": [{"data": {"url": "file:///etc/passwd"}, "mark": "line"}]}, "the template has 'url'"),
        ({"mark": {"type": "image"}}, "the template has 'image'"),
        ({"mark": "image"}, "the template has 'image'"),
        ({"$schema": "https://plotly.com/v5.json"}, "is neither Vega-Lite nor Vega"),
        ({"data": {}}, "DVC cannot draw it"),
        ({"mark": "nonsense", "encoding": 5}, "Vega-Lite cannot draw it"),
    ],
)
def test_a_template_that_reads_elsewhere_or_cannot_be_drawn_is_named(base: Path, change: Any, why: str) -> None:
    plot = by_template(base, TEMPLATE | change)
    assert why in plot.omitted
    assert not plot.pictures


def test_a_template_without_end_is_stopped() -> None:
    endless = TEMPLATE | {"data": {"sequence": {"start": 0, "stop": 1e9}}}
    with pytest.raises(vega.CannotDraw, match="memory"):
        vega.draw(json.dumps(endless), vega.Language.VEGA_LITE)


# --- SVG --------------------------------------------------------------------------------------------------------------

SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="200" height="100">
<script>alert(1)</script><defs><path id="m" d="M 0 0 H 100 V 100 H 0 Z"/></defs><use xlink:href="#m" fill="red"/>
{}</svg>"""


def test_an_svg_is_drawn_as_a_picture(base: Path) -> None:
    (plot,) = shown(base, ["a.svg"], {"a.svg": SVG.format("").encode()})
    (picture,) = plot.pictures
    assert (picture.alt, picture.width, picture.height) == ("models/pets/a.svg (new)", 400, 200)
    with Image.open(BytesIO(picture.image)) as page:
        red, empty = (page.convert("RGB").getpixel((x, 100)) for x in (100, 300))
    assert (red[0] > 200, red[1] < 60, empty) == (True, True, (255, 255, 255))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ('<image href="/etc/motd.png"/>', "has the link '/etc/motd.png'"),
        ('<image xlink:href="http://127.0.0.1/a.png"/>', "has the link 'http://127.0.0.1/a.png'"),
        ('<image href="data:image/svg+xml;base64,PHN2Zy8+"/>', "has the link"),
        ('<filter id="f"><feImage href=" a.png"/></filter>', "has the link ' a.png'"),
        ('<!-- <!ENTITY a "b"> -->', "defines entities"),
        ("<g>", "cannot be read"),
        ("<g>" * 50_000 + "</g>" * 50_000, "cannot be read"),
    ],
)
def test_an_svg_that_reads_elsewhere_is_named(part: str, why: str) -> None:
    with pytest.raises(vega.CannotDraw, match=re.escape(why)):
        vega.read_svg(SVG.format(part).encode())


def test_an_svg_without_end_is_stopped() -> None:
    with pytest.raises(vega.CannotDraw, match="memory"):
        vega.draw('<svg xmlns="http://www.w3.org/2000/svg" width="100000" height="100000"/>', vega.Language.SVG)


def test_the_first_frame_of_a_gif_is_shown(base: Path) -> None:
    (plot,) = shown(base, ["a.gif"], {"a.gif": picture("GIF")})
    assert [one.width for one in plot.pictures] == [640]
