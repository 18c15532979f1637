"""What a report is made of: blocks that hold plain text, which `markdown` and `page` escape and lay out."""

from dataclasses import dataclass
from enum import StrEnum

from registry.dataset.changes import Sheet
from registry.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Code:
    """A piece of a line that is a name, a path or a command."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """A piece of a line that catches the eye."""

    text: str


class Tone(StrEnum):
    """What a word means for the reviewer."""

    GOOD = "good"
    ASK = "ask"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mark:
    """A word with a colour and, where it is sure to be shown, a symbol: never a colour alone."""

    tone: Tone
    text: str


Line = tuple[str | Code | Strong | Mark, ...]  # every piece may hold text from a manifest: no renderer trusts any


@dataclass(frozen=True, slots=True)
class Para:
    """A paragraph."""

    line: Line


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `sides` has one letter for each column, `l` or `r` (numbers)."""

    head: tuple[str, ...]
    sides: str
    rows: tuple[tuple[Line, ...], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as they are: commands (`sh`), or what went and came (`diff`)."""

    language: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart (drawn for light and for dark) or a contact sheet; `name` is fit for a file, without its ending."""

    name: str
    alt: str
    source: Chart | Sheet


@dataclass(frozen=True, slots=True)
class Detail:
    """Something folded away; `kind` says when a comment that is too long leaves it out (`markdown.LEFT_OUT`)."""

    kind: str
    title: str
    blocks: tuple["Block", ...]
    is_open: bool = False


Block = Para | Bullets | Table | Lines | Picture | Detail


@dataclass(frozen=True, slots=True)
class Section:
    """One artifact (or the gates, or how to repeat it): a title, one sentence, and what stands below it.

    The `headline` is what is left of a section when nothing else of it fits.
    """

    title: str
    headline: Line
    blocks: tuple[Block, ...] = ()
