"""What a reviewer is told of a change: values that `diff` and `evaluate` work out and `report` shows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from registry.core.values import ArtifactId, Bump, Diff, RequiredBump, Version

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
    required_bump: RequiredBump | None = None
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
