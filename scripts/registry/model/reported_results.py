"""What a training reports beside the judge's metrics and plots: read from both versions, drawn by DVC's own templates.

All of it comes from the pull request, so it is bounded: an SVG and a template of the team (`.dvc/plots`) are drawn in a
process with limits, a picture is decoded and encoded again.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import polars as pl
from dvc.render.converter.vega import VegaConverter
from dvc_render.vega import VegaRenderer
from dvc_render.vega_templates import TEMPLATES, Template
from PIL import Image

from registry.core import declared_results, documents
from registry.core.artifact_files import Reader, flatten_metrics
from registry.core.declared_results import DeclaredPlot
from registry.core.escaping import one_line
from registry.core.wording import plural
from registry.dataset import decoding, thumbnails
from registry.dataset.changes import Thumbnail
from registry.errors import InvalidDocument
from registry.integrations import vega
from registry.model import metrics
from registry.model.changes import Reported, ReportedMetric, ReportedPlot
from registry.model.version import ModelVersion

MAX_PLOTS, MAX_PICTURES, MAX_METRICS = 20, 12, 200
MAX_ROWS = 1_000  # points of one version; of more, evenly chosen ones are drawn
MAX_SERIES, MAX_COLUMNS = 20, 100
MAX_TEXT = 100  # characters of a text in a plot
MAX_PIXELS = 40_000_000  # of a GIF
SIDE = 640  # pixels of a plot that is shown as a picture
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
DRAWN = (".svg",)
TABLES = (".csv", ".tsv", ".json", ".yaml", ".yml")
TEMPLATE_FOLDER = ".dvc/plots"
_TEMPLATE = re.compile(r"[A-Za-z0-9_-]{1,100}(?:\.json)?")
BUILT_IN = frozenset(template.DEFAULT_NAME for template in TEMPLATES)
SHOWN = ("x", "y", "x_label", "y_label", "title", "template")  # DVC's properties of a plot that are used


class _NotShown(Exception):
    """Why a plot is not in the report."""


def collect(old: ModelVersion | None, new: ModelVersion | None, read: Reader) -> Reported:
    """The metrics and plots of both versions; `read` is asked for those that DVC's cache has and Git has not.

    Files that cannot be read are among the plots, with the reason.
    """
    if new is None:
        return Reported()
    before, after = (_read_metrics(version, read) if version else _Metrics({}, {}) for version in (old, new))
    found = list(_metrics(before.values, after.values))
    unread = [ReportedPlot(path, omitted=reason) for path, reason in after.unread.items()]
    if rest := len(found) - MAX_METRICS:
        unread += [ReportedPlot(plural(rest, "more metric"), omitted=f"the limit is {MAX_METRICS}")] * (rest > 0)
    return Reported(tuple(found[:MAX_METRICS]), (*unread, *_plots(old, new, read)))


class _Metrics(NamedTuple):
    """The metrics of a version by file, and why a file could not be read."""

    values: dict[str, Mapping[str, object]]
    unread: dict[str, str]


def _read_metrics(version: ModelVersion, read: Reader) -> _Metrics:
    """Every declared file with metrics: from Git, or from the cache by its `dvc.lock`."""
    found = _Metrics(dict(version.reported), {})
    for path in version.declared.metrics:
        if path in found.values:
            continue
        try:
            data = _read(path, version, read)
            if data is None:
                raise _NotShown("the file is missing, in Git and in DVC's cache")
            found.values[path] = flatten_metrics(declared_results.read_metrics(data, path), path)
        except InvalidDocument as error:
            found.unread[path] = error.fault
        except _NotShown as error:
            found.unread[path] = str(error)
    return found


def _metrics(
    before: Mapping[str, Mapping[str, object]], after: Mapping[str, Mapping[str, object]]
) -> Iterator[ReportedMetric]:
    """The values that `dvc metrics diff` shows: it leaves out lists and nothing."""
    for path in dict.fromkeys([*after, *before]):
        sides = (
            {name: value for name, value in side.get(path, {}).items() if not isinstance(value, list | None)}
            for side in (before, after)
        )
        yield from (ReportedMetric(path, one) for one in metrics.compare_metrics(*sides))


def _plots(old: ModelVersion | None, new: ModelVersion, read: Reader) -> Iterator[ReportedPlot]:
    pictures = MAX_PICTURES
    for place, plot in enumerate(_single_files(new)[:MAX_PLOTS], 1):
        try:
            if plot.paths[0].lower().endswith((*PICTURES, *DRAWN)):
                if pictures <= 0:
                    raise _NotShown(f"the limit is {MAX_PICTURES} pictures")
                found = tuple(_pictures(f"plot-{place}", plot, old, new, read))
                pictures -= len(found)
                yield ReportedPlot(plot.name, pictures=found)
            else:
                yield _chart(f"plot-{place}", plot, old, new, read)
        except _NotShown as error:
            yield ReportedPlot(plot.name, omitted=str(error))


def _single_files(new: ModelVersion) -> list[DeclaredPlot]:
    """The plots, those in folders one by one; the curves of DVCLive are shown as training curves."""
    found: list[DeclaredPlot] = []
    for plot in new.declared.plots:
        inside = [path for path in sorted(new.files.entries) if path.startswith(f"{plot.paths[0]}/")]
        names = [
            DeclaredPlot(path, (path,), plot.properties)
            for path in inside
            if path.lower().endswith((*PICTURES, *DRAWN, *TABLES))
        ]
        found += names or [plot]
    return [plot for plot in found if not all(path.endswith(".tsv") and "/metrics/" in path for path in plot.paths)]


def _read(path: str, version: ModelVersion, read: Reader) -> bytes | None:
    """A file of a version: from Git, or from the cache by its `dvc.lock`; None where it has none. Raises _NotShown."""
    try:
        if path in version.files.entries:
            return version.files.read(path)
    except InvalidDocument as error:
        raise _NotShown(error.fault) from error
    outs = version.lock.outs if version.lock else ()
    out = next((out for out in outs if out.path == path), None)
    if out is None:
        return None
    if out.nfiles is not None or out.size > documents.MAX_BYTES:
        raise _NotShown("it is a folder in DVC's cache" if out.nfiles is not None else "it is larger than 1 MiB")
    return read(out.md5)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(
    name: str, plot: DeclaredPlot, old: ModelVersion | None, new: ModelVersion, read: Reader
) -> Iterator[Thumbnail]:
    contents = [(version, _read(plot.paths[0], version, read)) for version in (old, new) if version]
    if not any(data for _, data in contents):
        raise _NotShown("the file is missing")
    for version, data in contents:
        if data is not None:
            shown = _as_picture(plot.paths[0].lower(), data)
            yield _thumbnail(f"{name}-{version.role}", f"{plot.name} ({version.role})", shown)


def _as_picture(path: str, data: bytes) -> bytes:
    """A picture in a format that `thumbnails` decodes. Raises _NotShown."""
    if path.endswith(".gif"):
        return _first_frame(data)
    return _draw_bounded(lambda: vega.draw(vega.read_svg(data), vega.Language.SVG)) if path.endswith(DRAWN) else data


def _draw_bounded(draw: Callable[[], bytes]) -> bytes:
    try:
        return draw()
    except vega.CannotDraw as error:
        raise _NotShown(str(error)) from error


def _thumbnail(name: str, alt: str, data: bytes) -> Thumbnail:
    return thumbnails.render(name, alt, name, {name: data}.get, SIDE)


def _first_frame(data: bytes) -> bytes:
    """A GIF's first picture as PNG. Raises _NotShown."""
    try:
        with thumbnails.without_warnings(), Image.open(BytesIO(data), formats=("GIF",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _NotShown("the GIF has too many pixels")
            out = BytesIO()
            image.convert("RGBA").save(out, "PNG")
            return out.getvalue()
    except decoding.FAULTS as error:
        raise _NotShown("the GIF cannot be decoded") from error


# --- charts -----------------------------------------------------------------------------------------------------------


class _Own(NamedTuple):
    """A template of the team's."""

    template: Template
    language: vega.Language


def _chart(name: str, plot: DeclaredPlot, old: ModelVersion | None, new: ModelVersion, read: Reader) -> ReportedPlot:
    """A plot by one of DVC's templates as a specification, by one of the team's as a picture. Raises _NotShown."""
    template = plot.properties.get("template") or "linear"
    own = _own_template(template, new)
    spec = _draw(plot, own.template if own else template, old, new, read)
    if own is None:
        return ReportedPlot(plot.name, spec=spec)
    drawn = _draw_bounded(lambda: vega.draw(spec, own.language))
    return ReportedPlot(plot.name, pictures=(_thumbnail(name, plot.name, drawn),))


def _own_template(name: object, new: ModelVersion) -> _Own | None:
    """The team's template of this name in `.dvc/plots`; None for one of DVC's. Raises _NotShown."""
    path = f"{TEMPLATE_FOLDER}/{str(name).removesuffix('.json')}.json"
    if not isinstance(name, str) or not _TEMPLATE.fullmatch(name) or path not in new.files.entries:
        if name not in BUILT_IN:
            raise _NotShown(f"the template {one_line(str(name), MAX_TEXT)} is not one of DVC's own or in .dvc/plots")
        return None
    try:
        content = documents.read_json(new.files.read(path), path)
        return _Own(Template(content, name=name), vega.require_self_contained(content))
    except InvalidDocument as error:
        raise _NotShown(f"{path}: {error.fault}") from error
    except vega.CannotDraw as error:
        raise _NotShown(f"{path}: {error}") from error


def _draw(
    plot: DeclaredPlot, template: Template | str, old: ModelVersion | None, new: ModelVersion, read: Reader
) -> str:
    """The specification that DVC makes of a plot. Raises _NotShown."""
    properties = {key: plot.properties[key] for key in SHOWN if plot.properties.get(key) is not None}
    properties["template"] = template
    if (series := _count_series(properties.get("y"))) > MAX_SERIES:
        raise _NotShown(f"it has {series:,} series; the limit is {MAX_SERIES}")
    points: list[dict[str, Any]] = []
    first: dict[str, Any] = {}  # of the versions with data: DVC takes its fields, too
    for version in (old, new):
        data = {path: _points(path, version, read) for path in plot.paths} if version else {}
        if version and all(rows is not None for rows in data.values()):
            try:
                converter = VegaConverter(plot.paths[0], data, dict(properties))
                rows, filled = converter.flat_datapoints(version.role.value)
            except Exception as error:  # DVC's code on data of the pull request raises whatever it meets
                raise _NotShown(f"DVC cannot draw it: {one_line(str(error))[:200]}") from error
            points, first = points + rows, first or filled
    if not points:
        raise _NotShown("it has no data")
    try:
        return json.dumps(VegaRenderer(points, plot.name, **first).get_filled_template(), sort_keys=True)
    except Exception as error:  # as above
        raise _NotShown(f"DVC cannot draw it: {one_line(str(error))[:200]}") from error


def _count_series(y: Any) -> int:
    fields = y.values() if isinstance(y, dict) else [y]
    return sum(len(one) if isinstance(one, list) else 1 for one in fields)


def _points(path: str, version: ModelVersion, read: Reader) -> Any:
    """The content of a file as DVC's converter takes it, with at most MAX_ROWS rows; None where it is missing."""
    data = _read(path, version, read)
    if data is None:
        return None
    try:
        if path.endswith((".csv", ".tsv")):
            separator = "\t" if path.endswith(".tsv") else ","
            rows = pl.read_csv(BytesIO(data), separator=separator, infer_schema_length=None).to_dicts()
        elif path.endswith((".yaml", ".yml")):
            rows = documents.read_yaml(data, path).data
        else:
            rows = documents.read_json(data, path, is_finite=False)
    except (InvalidDocument, ValueError, pl.exceptions.PolarsError) as error:
        raise _NotShown(f"{path} cannot be read as a table") from error
    return _bounded(rows)


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) > MAX_COLUMNS:
            raise _NotShown(f"it has {len(value):,} columns; the limit is {MAX_COLUMNS}")
        return {one_line(str(key))[:MAX_TEXT]: _bounded(one) for key, one in value.items()}
    if isinstance(value, list):
        step = -(-len(value) // MAX_ROWS)
        return [_bounded(one) for one in value[:: max(step, 1)]]
    return one_line(value)[:MAX_TEXT] if isinstance(value, str) else value


def describe(reported: Reported) -> str:
    """`3 metrics and 2 plots`."""
    parts = [plural(len(reported.metrics), "metric")] * bool(reported.metrics)
    return " and ".join([*parts, *[plural(len(reported.plots), "plot")] * bool(reported.plots)])
