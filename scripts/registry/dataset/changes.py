"""How one dataset differs between two trees: the values that `diff` computes and that reports render."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from registry.core.values import ArtifactId, Bump, Diff, RequiredBump, Selection, Version

if TYPE_CHECKING:  # the rules of `registry check` read these values and start without Polars
    from polars import DataFrame


class QueryChange(StrEnum):
    """How the query of a dataset (source, filters, columns) and its result changed."""

    FIRST = "first"  # there is no earlier version
    UNCHANGED = "unchanged"  # neither the manifest's query nor its rows changed
    RESULT = "result"  # the same query, as the same SQL, returned other rows
    SQL = "sql"  # the manifest's query is the same, but Looker made another SQL of it
    UNKNOWN = "unknown"  # the manifest's query is the same; whether the SQL is, is not recorded
    FILE = "file"  # other rows from a file, for which no query was run
    QUERY = "query"  # the query changed


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
    """A metadata column whose distribution moved: `distance` is the total variation distance (0 to 1), `p_value` the
    probability of one that large by chance.

    `table` has the columns value (text; a bin of numbers or times as `1.0 to 2.0`), before and after (shares, 0 to 1),
    at most 12 rows, the rest summed up in a last row `others`.
    """

    column: str
    distance: float
    p_value: float
    table: "DataFrame"


class Symmetry(StrEnum):
    """How a near-duplicate is turned against the other image; both directions of a rotation have one name."""

    NONE = ""
    MIRRORED = "mirrored"
    FLIPPED = "flipped top to bottom"
    ROTATED_90 = "rotated by 90°"
    ROTATED_180 = "rotated by 180°"
    MIRRORED_ROTATED = "mirrored and rotated by 90°"


@dataclass(frozen=True, slots=True)
class DuplicateItem:
    """One item of a pair; `is_new` where the change added it or replaced its bytes."""

    uuid: str
    split: str
    label: str
    md5: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two items with identical bytes (distance 0), or near-duplicates `distance` bits of dHash apart.

    Where only one of them is new, it is the second.
    """

    first: DuplicateItem
    second: DuplicateItem
    distance: int = 0
    symmetry: Symmetry = Symmetry.NONE

    @property
    def is_identical(self) -> bool:
        """Whether both have the same bytes."""
        return self.first.md5 == self.second.md5

    @property
    def crosses_splits(self) -> bool:
        """Whether the two are in different splits."""
        return self.first.split != self.second.split


def exclude_command(dataset: ArtifactId, pairs: Iterable[DuplicatePair]) -> str:
    """The command that excludes one image of each pair: the second, unless its partner is excluded by then."""
    excluded: dict[str, None] = {}
    for pair in pairs:
        if pair.first.uuid not in excluded:
            excluded[pair.second.uuid] = None
    return f"registry exclude {dataset} {' '.join(excluded)} --why near-duplicate"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small WebP picture of one image, or of two side by side. `alt` says in words what it shows, `fault` why it does
    not.
    """

    name: str  # fit for a file name: added-1, pair-1, broken-1
    alt: str
    width: int
    height: int
    image: bytes
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """An image for a reviewer: its picture, its UUID, and what is to be said of it.

    `title` says why it is shown, as for `total` images.
    """

    title: str
    total: int
    uuid: str
    caption: str
    picture: Thumbnail


@dataclass(frozen=True, slots=True, eq=False)
class DatasetChange:
    """How one dataset differs between two trees; `old` is None for a new dataset, `new` for a removed one.

    `queries` holds the old and the new query as text, where the query changed. `selections` are the origins of the old
    and the new rows, where they are recorded. `transitions` has the columns what
    (`label` or `split`), old, new and items. `unknown` says what could not be determined, and why; `search_skipped` why
    near-duplicates were not searched for. `pairs` has pictures of the first of `duplicates`, one for each.
    """

    id: ArtifactId
    title: str
    old: Version | None
    new: Version | None
    query_change: QueryChange = QueryChange.UNCHANGED
    queries: tuple[str, str] = ("", "")
    diff: Diff | None = None
    required_bump: RequiredBump | None = None
    declared: Bump = Bump.NONE
    bytes_before: int = 0
    bytes_after: int = 0
    transitions: "DataFrame | None" = None
    concentrations: tuple[Concentration, ...] = ()
    shifts: tuple[Shift, ...] = ()
    stable: tuple[str, ...] = ()  # metadata columns whose distribution changed by no more than chance gives
    duplicates: tuple[DuplicatePair, ...] = ()
    pairs: tuple[Thumbnail, ...] = ()
    examples: tuple[Example, ...] = ()
    metadata_changes: tuple[str, ...] = ()  # keys of the manifest that changed without changing the data
    unknown: str = ""
    search_skipped: str = ""
    selections: tuple[Selection | None, Selection | None] = (None, None)
