"""What a reviewer is told of a change: values that `diff` and `evaluate` work out and `report` shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from registry.values import ArtifactId, Bump, Demand, Diff, Gate, Version

if TYPE_CHECKING:
    from polars import DataFrame


class Question(StrEnum):
    """What became of the question that a selection answers (its source, filters and columns)."""

    FIRST = "first"  # there is no earlier version
    SAME = "same"  # neither the question nor the rows changed
    ANSWER = "answer"  # the same question gave other rows
    CHANGED = "question"  # another question


@dataclass(frozen=True, slots=True)
class Concentration:
    """Where a change is concentrated: of the `kind` items (added, removed, ...), `count` have this value of a column.

    `share` is their part of the changed items (0 to 1), `times` that share over the value's share of all items before
    (of all items after, for added ones); infinite where the value was not there at all.
    """

    kind: str
    column: str
    value: str
    count: int
    share: float
    times: float


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """A metadata column whose distribution moved: `distance` is the total variation distance (0 to 1).

    `table` has the columns value (text; a bin of numbers or times as `1.0 to 2.0`), before and after (shares, 0 to 1),
    at most 12 rows, the rest summed up in a last row `others`.
    """

    column: str
    distance: float
    table: "DataFrame"


@dataclass(frozen=True, slots=True)
class Twins:
    """Two items whose images are the same (`distance` 0 bits and equal bytes) or look the same (dHash)."""

    first: str
    second: str
    first_split: str
    second_split: str
    first_label: str
    second_label: str
    distance: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet: one WebP picture of some of `total` items. `alt` says in words what it shows."""

    name: str  # fit for a file name: added, removed, relabelled, broke, fixed
    title: str
    total: int
    shown: int
    width: int
    height: int
    alt: str
    image: bytes


@dataclass(frozen=True, slots=True, eq=False)
class DatasetChange:
    """One dataset, before (None: it is new) and after (None: it was removed).

    `queries` are the questions as text, old and new, where the question changed. `transitions` has the columns what
    (`label` or `split`), old, new and items. `unknown` says why what is missing here could not be had; `unsought` where
    near-duplicates were not looked for, because the settings do not ask for it.
    """

    id: ArtifactId
    title: str
    old: Version | None
    new: Version | None
    question: Question = Question.SAME
    queries: tuple[str, str] = ("", "")
    diff: Diff | None = None
    demand: Demand | None = None
    declared: Bump = Bump.NONE
    bytes_before: int = 0
    bytes_after: int = 0
    transitions: "DataFrame | None" = None
    concentrations: tuple[Concentration, ...] = ()
    shifts: tuple[Shift, ...] = ()
    twins: tuple[Twins, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    words: tuple[str, ...] = ()  # keys of the manifest whose words changed
    unknown: str = ""
    unsought: str = ""


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
    words: tuple[str, ...] = ()
    relabelled: int = 0
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where and how a report was made; the only part of it that may differ from one machine to the next.

    `seconds` is the duration, `pulled` bytes of data that were fetched, `peak` bytes of memory.
    """

    processor: str
    cores: int
    gpu: str = ""
    driver: str = ""
    seconds: float = 0.0
    pulled: int = 0
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Repeat:
    """How to make the report again: commands to type, and the revisions (full commit ids) that were compared."""

    commands: tuple[str, ...]
    base: str
    head: str
    hardware: Hardware
