"""The blocks of a report: values that hold plain text, which `markdown` and `html` escape and lay out."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from registry.core.escaping import is_web_address
from registry.core.values import ArtifactId
from registry.dataset.changes import Sheet


@dataclass(frozen=True, slots=True)
class Code:
    """A name, a path or a command within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Emphasised text within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Address:
    """A URL within a line, which becomes a link if it is an https URL."""

    url: str

    @property
    def is_link(self) -> bool:
        """Whether it becomes a link."""
        return is_web_address(self.url)


class Tone(StrEnum):
    """The meaning of a mark for the reviewer."""

    GOOD = "good"
    ASK = "ask"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mark:
    """A word with a colour and, in Markdown, a symbol: never a colour alone."""

    tone: Tone
    text: str


Line = tuple[
    str | Address | Code | Strong | Mark, ...
]  # every piece may hold untrusted text, so renderers escape all of them


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
    """Preformatted lines: commands (`sh`), or removed and added lines (`diff`)."""

    language: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A Vega-Lite specification without colours, as JSON."""

    spec: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart (for light and dark themes) or a contact sheet; `name` is a file name without its extension.

    `source` is None in a report that was read from JSON, whose pictures are files already.
    """

    name: str
    alt: str
    source: Chart | Sheet | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """A collapsible part; `kind` decides when a comment that is too long omits it (`markdown.OMITTED_FIRST`)."""

    kind: str
    title: str
    blocks: tuple["Block", ...]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its caption, a line of text each."""

    picture: Picture
    caption: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Figures side by side, as many as the screen is wide."""

    figures: tuple[Figure, ...]


Block = Para | Bullets | Table | Lines | Picture | Gallery | Detail


@dataclass(frozen=True, slots=True)
class Section:
    """One artifact: its name and versions, one line, and its blocks, of which there are none where the line says all.

    A comment that is too long keeps the title and the headline only.
    """

    title: str
    headline: Line
    blocks: tuple[Block, ...] = ()


def sheet_detail(artifact: ArtifactId, sheet: Sheet) -> Detail:
    """A contact sheet under its title."""
    name = f"{artifact.kind.folder}-{artifact.name}-{sheet.name}"
    title = f"{sheet.title} ({sheet.shown:,} of {sheet.total:,})" if sheet.shown < sheet.total else sheet.title
    return Detail("pictures", title, (Picture(name, sheet.alt, sheet),), is_open=True)


def metadata_detail(keys: Iterable[str]) -> Detail:
    """The keys of a manifest that changed without a change of data or weights."""
    return Detail("metadata", "Changed metadata", (Bullets(tuple((Code(key),) for key in keys)),))
