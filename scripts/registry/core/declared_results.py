"""The metrics and plots that a model's `dvc.yaml` declares beside the judge's: what the training reports.

Names are those of `dvc metrics diff` and `dvc plots diff` in the registry's root.
"""

import tomllib
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from registry.core import documents, output_names
from registry.core.documents import Document
from registry.core.values import ArtifactId
from registry.errors import InvalidDocument

JUDGED = "metrics.json"  # what `registry evaluate` measured, in the model's folder


@dataclass(frozen=True, slots=True)
class DeclaredPlot:
    """A plot: its name, the files or folders that it shows, and DVC's properties (template, x, y, title, …)."""

    name: str
    paths: tuple[str, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declared:
    """The files with metrics, and the plots; paths are relative to the registry's root."""

    metrics: tuple[str, ...] = ()
    plots: tuple[DeclaredPlot, ...] = ()


def find(
    document: Document | None, model: ArtifactId, elsewhere: Container[str] = (), judged_plots: Collection[str] = ()
) -> Declared:
    """What a `dvc.yaml` that follows its schema declares, without the judge's metrics and `judged_plots`.

    The id of a plot that other pipelines have, too (`elsewhere`, see `plot_ids`), is written with its `dvc.yaml`.
    """
    if document is None:
        return Declared()
    data = document.data
    stages = [*data.get("stages", {}).values(), data]
    metrics = [name for stage in stages for name, _ in _outputs(stage.get("metrics", ())) if name != JUDGED]
    plots = [one for stage in data.get("stages", {}).values() for one in _outputs(stage.get("plots", ()))]
    found = [DeclaredPlot(f"{model}/{name}", (_path(model, name),), options) for name, options in plots]
    found += [_top_level(model, name, options, elsewhere) for name, options in _outputs(data.get("plots", ()))]
    own = {f"{model}/{name}" for name in judged_plots}
    return Declared(
        tuple(dict.fromkeys(_path(model, name) for name in metrics)),
        tuple({one.name: one for one in found if not own.issuperset(one.paths)}.values()),
    )


def plot_ids(document: Document | None) -> frozenset[str]:
    """The ids of plots of a pipeline that are not paths."""
    plots = document.data.get("plots", []) if document else []
    return frozenset(name for name, options in _outputs(plots) if isinstance(options.get("y"), dict))


def require_products(document: Document) -> None:
    """Raise InvalidDocument for outputs that stages must not write, or because of which DVC reads no pipeline at all.

    That is what is not below the folder, or obeyed by a tool; what lies in another output; what its own stage needs.
    """
    seen: list[str] = []
    for name, stage in document.data["stages"].items():
        inputs = {normpath(path) for path in stage.get("deps", ())}
        for kind in ("outs", "metrics", "plots"):
            for index, path in _places(stage.get(kind, ())):
                fault = output_names.find_fault(path) or output_names.find_overlap(path, seen)
                if fault or path in inputs:
                    line = document.line(("stages", name, kind, index))
                    fault = f"{path}: the output {fault or 'is a dependency of its own stage'}"
                    fix = "write another file or folder beside the pipeline"
                    raise InvalidDocument(document.path, fault, line=line, fix=fix)
                seen.append(path)


def stage_outputs(stage: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of all outputs of a stage."""
    return tuple(path for kind in ("outs", "metrics", "plots") for _, path in _places(stage.get(kind, ())))


def stage_parameters(stage: Mapping[str, Any]) -> frozenset[str]:
    """The parameters of a stage in files that it names, as `FILE:NAME`."""
    files = (named.items() for named in stage.get("params", ()) if isinstance(named, dict))
    return frozenset(f"{file}:{name}" for named in files for file, names in named for name in names or ())


def _places(entries: list[str | dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """The paths of outputs, each with the index of its entry."""
    for index, entry in enumerate(entries):
        yield from ((index, path) for path, _ in _outputs([entry]))


def _outputs(entries: list[str | dict[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry in entries:
        if isinstance(entry, dict):
            yield from ((str(name), options if isinstance(options, dict) else {}) for name, options in entry.items())
        else:
            yield entry, {}


def _top_level(model: ArtifactId, name: str, options: Mapping[str, Any], elsewhere: Container[str]) -> DeclaredPlot:
    """A plot below `plots:`; `y` may name the files with their fields, and then the plot's name is an id."""
    y = options.get("y")
    if not isinstance(y, dict):
        return DeclaredPlot(f"{model}/{name}", (_path(model, name),), options)
    fields = {_path(model, str(path)): value for path, value in y.items()}
    x = options.get("x")
    if isinstance(x, dict):
        x = {_path(model, str(path)): value for path, value in x.items()}
    paths = dict.fromkeys([*fields, *(list(x)[:1] if isinstance(x, dict) else ())])
    named = f"{model}/dvc.yaml::{name}" if name in elsewhere else name
    return DeclaredPlot(named, tuple(paths), {**options, "y": fields, "x": x})


def _path(model: ArtifactId, name: str) -> str:
    return normpath(f"{model}/{name}")


def read_metrics(data: bytes, path: str) -> Mapping[str, Any]:
    """A file with metrics in a form that DVC reads: JSON, YAML or TOML. Raises InvalidDocument."""
    if path.endswith((".yaml", ".yml")):
        values = documents.read_yaml(data, path).data
    elif path.endswith(".toml"):
        try:
            values = tomllib.loads(data.decode())
        except (ValueError, RecursionError) as error:  # a ValueError also for an integer of 5,000 digits
            raise InvalidDocument(path, "is not valid TOML", fix="dvc repro") from error
    else:
        values = documents.read_json(data, path)
    documents.require_shallow(values, path)  # dotted keys of TOML nest without a bracket
    if not isinstance(values, dict):
        raise InvalidDocument(path, "not a mapping of names to numbers", fix="dvc repro")
    return values
