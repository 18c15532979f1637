"""How a prepared version differs from what its selection and rule give: values that rules read without Polars."""

from dataclasses import dataclass
from enum import StrEnum


class DifferenceKind(StrEnum):
    """What differs: `prepared lists 2 images …` for kinds of image, a name for the others."""

    NOT_SELECTED = "not in the selection"
    EXCLUDED = "excluded in dataset.yaml"
    LABEL = "under another label than in the selection"
    SPLIT = "in another split than the split rule gives"
    FILE_NAME = "under another file name than `image` gives"
    BYTES = "with other bytes than the selection says"
    MISSING = "missing"
    TABLE = "table"
    COUNTS = "counts"
    WHOLE = "whole"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Difference:
    """`count` images (or tables, or facts) differ in this way; `examples` are the first few of their paths or names."""

    kind: DifferenceKind
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The result of recomputing a version: the differences; `unread`, an object that no store has.

    `invalid` is why nothing could be computed from the selection although it was read.
    """

    differences: tuple[Difference, ...] = ()
    unread: str = ""
    invalid: str = ""


@dataclass(frozen=True, slots=True)
class LakeDifferences:
    """So many images differ from the lake in their bytes, are missing there, or could not be compared by their ETags.

    `examples` are paths of different and missing ones; `unread` is why the lake could not be asked, `fix` what then.
    """

    different: int = 0
    missing: int = 0
    unproven: int = 0
    examples: tuple[str, ...] = ()
    unread: str = ""
    fix: str = ""
