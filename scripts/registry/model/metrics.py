"""Metrics, parameters and training curves in Git, compared between two versions."""

import json
import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import polars as pl
from polars import DataFrame

from registry.core.artifact_files import Files
from registry.core.values import ArtifactId
from registry.errors import InvalidDocument
from registry.model.changes import MetricChange, ParamChange, Role

# By the last word of a metric's name (macro_f1, val/loss). The direction of other metrics is not known.
HIGHER_IS_BETTER = frozenset(
    ("accuracy", "acc", "f1", "precision", "recall", "specificity", "auc", "auroc", "map", "iou", "kappa", "r2")
)
LOWER_IS_BETTER = frozenset(("loss", "error", "err", "ece", "mae", "mse", "rmse", "nll", "brier", "perplexity"))
_PARAMS = "params.yaml:"


def finite(value: object) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def compare_metrics(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[MetricChange, ...]:
    """Every metric of both versions, those of `new` first and in its order."""
    return tuple(_metric(name, finite(old.get(name)), finite(new.get(name))) for name in dict.fromkeys([*new, *old]))


def _metric(name: str, old: float | None, new: float | None) -> MetricChange:
    higher = is_higher_better(name)
    if old is None or new is None or higher is None or old == new:
        return MetricChange(name, old, new, None)
    return MetricChange(name, old, new, (new > old) is higher)


def is_higher_better(name: str) -> bool | None:
    """Whether a higher value of a metric is better; None where its name does not say."""
    word = name.lower().replace("-", "_").replace("/", ".").rsplit(".", 1)[-1].rsplit("_", 1)[-1]
    return True if word in HIGHER_IS_BETTER else False if word in LOWER_IS_BETTER else None


def compare_params(old: str, new: str) -> tuple[ParamChange, ...]:
    """The parameters that differ between two recipes (see `artifact_files.Lock`).

    Sorted by name; a parameter of another file than `params.yaml` is prefixed with the file's name.
    """
    before, after = (dict(_flat(json.loads(recipe or "{}"))) for recipe in (old, new))
    names = sorted(name for name in before.keys() | after if before.get(name) != after.get(name))
    return tuple(ParamChange(name.removeprefix(_PARAMS), before.get(name), after.get(name)) for name in names)


def _flat(recipe: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for file, values in recipe.items():
        for name, value in _leaves(values):
            yield f"{file}:{name}", value if isinstance(value, str) else json.dumps(value)


def _leaves(values: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value


def read_curves(versions: Mapping[Role, Files], artifact: ArtifactId) -> DataFrame | None:
    """The training curves under `plots/` of each version: model, series, step, value.

    DVCLive writes one curve per file: `…/metrics/val/loss.tsv` with the columns step and loss. None without curves.
    """
    frames = [
        frame.select(pl.lit(role.value).alias("model"), pl.lit(_series(path)).alias("series"), "step", "value")
        for role, files in versions.items()
        for path in sorted(files.entries)
        if path.startswith(f"{artifact}/plots/") and path.endswith(".tsv")
        if (frame := _curve(files, path)) is not None
    ]
    return pl.concat(frames) if frames else None


def _series(path: str) -> str:
    _, found, name = path.rpartition("/metrics/")
    return (name if found else path.split("/plots/", 1)[1]).removesuffix(".tsv")


def _curve(files: Files, path: str) -> DataFrame | None:
    try:
        table = pl.read_csv(BytesIO(files.read(path)), separator="\t", infer_schema=False)
    except (InvalidDocument, pl.exceptions.PolarsError):
        return None  # the data of another kind of plot
    if "step" not in table.columns or table.width < 2:
        return None
    value = pl.col(table.columns[-1]).cast(pl.Float64, strict=False).alias("value")
    return table.select(pl.col("step").cast(pl.Int64, strict=False), value).drop_nulls()
