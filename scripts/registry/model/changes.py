"""How a model differs between two versions, as values that reports and commands render."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from registry.core.model_values import Gate, Origin
from registry.core.values import ArtifactId, Version
from registry.dataset.changes import Example, Thumbnail

if TYPE_CHECKING:
    from polars import DataFrame


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason why what a job did or handed over is not taken; `path` is the file at fault, where there is one."""

    message: str
    path: str
    fix: str


class Role(StrEnum):
    """Which of the two compared versions a model or a test set belongs to."""

    BASE = "base"
    NEW = "new"


class Flip(StrEnum):
    """How a prediction changed: `broken` was correct with the base model only, `fixed` with the new one only."""

    BROKEN = "broken"
    FIXED = "fixed"


class GateState(StrEnum):
    """The result of a gate."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_EVALUATED = "not evaluated"


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric before and after (None: missing or not finite). `better` is None where its direction is not known."""

    name: str
    old: float | None
    new: float | None
    better: bool | None


@dataclass(frozen=True, slots=True)
class ParamChange:
    """A parameter before and after, as text (None: not set)."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models on the same `images` by one `metric`, and how certain their difference is.

    `difference` is new minus base, with an interval from `low` to `high` at this `confidence`. `broken` counts the
    images on which the new model is worse, `fixed` those on which it is better: for the accuracy those that only one of
    them classifies correctly. `p_value` is McNemar's exact test on these two counts (None: not tested). A share lies
    between 0 and 1.
    """

    images: int
    base: float
    new: float
    difference: float
    low: float
    high: float
    confidence: float
    broken: int
    fixed: int
    p_value: float | None
    metric: str
    is_share: bool
    higher_is_better: bool

    @property
    def is_better(self) -> bool:
        """Whether the whole interval lies on the side of the new model."""
        return self.low > 0 if self.higher_is_better else self.high < 0

    @property
    def is_worse(self) -> bool:
        """Whether the whole interval lies on the side of the base model."""
        return self.high < 0 if self.higher_is_better else self.low > 0

    @property
    def largest_loss(self) -> float:
        """By how much the new model is worse at the bad end of the interval; negative where it is better."""
        return -self.low if self.higher_is_better else self.high


@dataclass(frozen=True, slots=True)
class Slice:
    """The two models on those shared test images that have `value` in `column` (`label`: a class)."""

    column: str
    value: str
    comparison: PairedComparison


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a task shows of both models on the shared test images (see `ModelChange`); a task leaves out what it has
    not.
    """

    examples: tuple[Example, ...] = ()
    flips: "DataFrame | None" = None
    confusion: "DataFrame | None" = None
    calibration: "DataFrame | None" = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate of the manifest: its state, the measured number in words, and its line in `model.yaml`."""

    gate: Gate
    state: GateState
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ReportedMetric:
    """A metric that the training reports in the file `path`: before and after."""

    path: str
    metric: MetricChange


@dataclass(frozen=True, slots=True, eq=False)
class ReportedPlot:
    """A plot that the pipeline declares: a Vega-Lite specification, or pictures; `omitted` says why there is none."""

    name: str
    spec: str = ""
    pictures: tuple[Thumbnail, ...] = ()
    omitted: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Reported:
    """What the training reports beside the judge's metrics and plots, which the registry did not measure."""

    metrics: tuple[ReportedMetric, ...] = ()
    plots: tuple[ReportedPlot, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ModelChange:
    """One model, before (None: it is new) and after (None: it was removed).

    The judge measured it on the shared test images: those of the new version that the base was not trained on. A first
    version was measured on all of its `tests` test images, without `flips`. `metrics` and all frames but the curves are
    about these images:

    - `flips`: uuid, split, label, base, new (predicted classes), base_score, new_score (confidence), kind (a `Flip`)
    - `confusion`: model (a `Role`), actual, predicted, images
    - `calibration`: model, bin (its centre, 0 to 1), confidence, accuracy, images
    - `curves`: model, series (such as `val/loss`), step, value

    `shares` are the metrics that its task has read in percent.

    Both models are evaluated against the new labels; `relabelled` counts the shared images whose label changed.
    `metadata_changes` are the keys of the manifest that changed. `unknown` gives the reasons why something is missing.
    """

    id: ArtifactId
    title: str
    old: Version | None
    new: Version | None
    trained: bool = False  # whether the weights changed
    metrics: tuple[MetricChange, ...] = ()
    params: tuple[ParamChange, ...] = ()
    images: int = 0  # that were measured
    tests: int = 0  # images in the test set of the new version
    shares: Collection[str] = ()
    measuring: tuple[str, ...] = ()  # what the change does to how models are measured
    origin: Origin | None = None  # of a model that was trained elsewhere
    builds_on: tuple[str, ...] = ()  # the models that it builds on, with their versions
    disagreements: tuple[str, ...] = ()  # of what the change records with what the judge measured
    comparison: PairedComparison | None = None
    slices: tuple[Slice, ...] = ()
    gates: tuple[GateResult, ...] = ()
    flips: "DataFrame | None" = None
    confusion: "DataFrame | None" = None
    calibration: "DataFrame | None" = None
    curves: "DataFrame | None" = None
    reported: Reported = Reported()
    examples: tuple[Example, ...] = ()
    metadata_changes: tuple[str, ...] = ()
    relabelled: int = 0
    unknown: str = ""
