"""What changed in a model between two versions, as values that a report shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.core.values import ArtifactId, Gate, Version
from registry.dataset.changes import Sheet

if TYPE_CHECKING:
    from polars import DataFrame


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric's value before and after (None: not there, or no number). `better` is None where nobody can tell."""

    name: str
    old: float | None
    new: float | None
    better: bool | None


@dataclass(frozen=True, slots=True)
class ParamChange:
    """A parameter before and after, as text (None: not there)."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One model judged on one test set: `model` and `data` are each `base` or `new`."""

    model: str
    data: str
    images: int
    accuracy: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models on the same `images`: how many each has right (accuracies 0 to 1), and what chance could make of it.

    `difference` is new minus base, with a bootstrap interval from `low` to `high` of this `confidence`; `broke` images
    only the base model has right, `fixed` only the new one; `p_value` is McNemar's exact test on those two numbers.
    """

    images: int
    base: float
    new: float
    difference: float
    low: float
    high: float
    confidence: float
    broke: int
    fixed: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Slice:
    """The two models on those common items that have `value` in `column` (`label`: a class)."""

    column: str
    value: str
    paired: Paired


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate of the manifest: held (True), broken (False) or could not be judged (None), and the number in words."""

    gate: Gate
    held: bool | None
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ModelChange:
    """One model, before (None: it is new) and after (None: it was removed).

    Frames: `flips` has uuid, split, label, base, new (predicted), base_score, new_score (of the predicted class), kind
    (`broke` or `fixed`); `confusion` which (`base` or `new`), actual, predicted, images; `calibration` which, bin (its
    middle, 0 to 1), confidence, accuracy, images; `curves` which, series (such as `val/loss`), step, value. All are on
    the items common to both test sets (all of the test set of a first version, which has no flips) but for the curves.
    Both models are judged by the new label; `relabelled` common items had another. `unknown` says why what is missing
    could not be had.
    """

    id: ArtifactId
    title: str
    old: Version | None
    new: Version | None
    trained: bool = False  # whether the weights are others
    metrics: tuple[MetricChange, ...] = ()
    params: tuple[ParamChange, ...] = ()
    cells: tuple[Cell, ...] = ()
    paired: Paired | None = None
    slices: tuple[Slice, ...] = ()
    gates: tuple[GateResult, ...] = ()
    flips: "DataFrame | None" = None
    confusion: "DataFrame | None" = None
    calibration: "DataFrame | None" = None
    curves: "DataFrame | None" = None
    sheets: tuple[Sheet, ...] = ()
    metadata_changes: tuple[str, ...] = ()
    relabelled: int = 0
    unknown: str = ""
