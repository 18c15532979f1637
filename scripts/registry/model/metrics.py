"""The numbers that a training left in Git, in two versions: metrics, parameters, and curves."""

import json
import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from registry.core.artifact_files import Files
from registry.core.values import ArtifactId
from registry.errors import InvalidDocument
from registry.model.changes import MetricChange, ParamChange

if TYPE_CHECKING:
    from polars import DataFrame

# By the last word of a metric's name (macro_f1, val/loss): more is better, or less is. Of others nobody can tell.
UP = frozenset(
    ("accuracy", "acc", "f1", "precision", "recall", "specificity", "auc", "auroc", "map", "iou", "kappa", "r2")
)
DOWN = frozenset(("loss", "error", "err", "ece", "mae", "mse", "rmse", "nll", "brier", "perplexity"))
_PARAMS = "params.yaml:"


def finite(value: object) -> float | None:
    """A value as the number that it is; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def metrics(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[MetricChange, ...]:
    """Every metric of both versions, those of `new` first and in its order."""
    return tuple(_metric(name, finite(old.get(name)), finite(new.get(name))) for name in dict.fromkeys([*new, *old]))


def _metric(name: str, old: float | None, new: float | None) -> MetricChange:
    more = rises(name)
    told = None not in (old, new, more) and old != new
    return MetricChange(name, old, new, (new > old) is more if told else None)


def rises(name: str) -> bool | None:
    """Whether more of a metric is better; None where its name does not tell."""
    word = name.lower().replace("-", "_").replace("/", ".").rsplit(".", 1)[-1].rsplit("_", 1)[-1]
    return True if word in UP else False if word in DOWN else None


def params(old: str, new: str) -> tuple[ParamChange, ...]:
    """The parameters that differ between two recipes (see `evidence.Lock`), by name; of other files with their name."""
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


def curves(versions: Mapping[str, Files], artifact: ArtifactId) -> "DataFrame | None":
    """The training curves under `plots/` of each version (`base`, `new`): which, series, step, value.

    DVCLive writes one to a file, `…/metrics/val/loss.tsv` with the columns step and loss. None where there is none.
    """
    import polars as pl

    frames = [
        frame.select(pl.lit(which).alias("which"), pl.lit(_series(path)).alias("series"), "step", "value")
        for which, files in versions.items()
        for path in sorted(files.entries)
        if path.startswith(f"{artifact}/plots/") and path.endswith(".tsv")
        if (frame := _curve(files, path)) is not None
    ]
    return pl.concat(frames) if frames else None


def _series(path: str) -> str:
    _, found, name = path.rpartition("/metrics/")
    return (name if found else path.split("/plots/", 1)[1]).removesuffix(".tsv")


def _curve(files: Files, path: str) -> "DataFrame | None":
    import polars as pl

    try:
        table = pl.read_csv(BytesIO(files.read(path)), separator="\t", infer_schema=False)
    except (InvalidDocument, pl.exceptions.PolarsError):
        return None  # a picture's data in a form of its own
    if "step" not in table.columns or table.width < 2:
        return None
    value = pl.col(table.columns[-1]).cast(pl.Float64, strict=False).alias("value")
    return table.select(pl.col("step").cast(pl.Int64, strict=False), value).drop_nulls()
