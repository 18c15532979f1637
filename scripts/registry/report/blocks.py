"""The blocks of a report: values that hold plain text, which `markdown` and `html` escape and lay out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from registry.core.escaping import is_web_address
from registry.core.values import ArtifactId
from registry.dataset.changes import Example, Thumbnail


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
    """A chart (for light and dark themes) or a thumbnail; `name` is a file name without its extension.

    `source` is None in a report that was read from JSON, whose pictures are files already.
    """

    name: str
    alt: str
    source: Chart | Thumbnail | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """A collapsible part; `kind` decides when a comment that is too long omits it (`markdown.OMITTED_FIRST`)."""

    kind: str
    title: str
    blocks: tuple["Block", ...]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with its caption, lines of text."""

    picture: Picture
    caption: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Figures side by side, as many as the screen is wide; each in a row of its own where the pictures are wide."""

    figures: tuple[Figure, ...]
    is_wide: bool = False


Block = Para | Bullets | Table | Lines | Picture | Gallery | Detail


@dataclass(frozen=True, slots=True)
class Section:
    """One artifact: its name and versions, one line, and its blocks, of which there are none where the line says all.

    A comment that is too long keeps the title and the headline only.
    """

    title: str
    headline: Line
    blocks: tuple[Block, ...] = ()


def figure(artifact: ArtifactId, picture: Thumbnail, *caption: Line) -> Figure:
    """A thumbnail under a name that no other artifact has, with its caption and why an image is missing."""
    name = f"{artifact.kind.folder}-{artifact.name}-{picture.name}"
    missing = ((picture.fault,),) if picture.fault else ()
    return Figure(Picture(name, picture.alt, picture), (*caption, *missing))


def example_details(artifact: ArtifactId, examples: Iterable[Example]) -> Iterator[Detail]:
    """The images that a reviewer is shown, each with what is said of it and its UUID, by their titles."""
    for title, same in groupby(examples, key=lambda one: one.title):
        shown = tuple(same)
        total = shown[0].total
        counted = f"{len(shown):,} of {total:,}" if len(shown) < total else f"{total:,}"
        figures = tuple(figure(artifact, one.picture, (one.caption,), (Code(one.uuid),)) for one in shown)
        yield Detail("pictures", f"{title} ({counted})", (Gallery(figures),), is_open=True)


def metadata_detail(keys: Iterable[str]) -> Detail:
    """The keys of a manifest that changed without a change of data or weights."""
    return Detail("metadata", "Changed metadata", (Bullets(tuple((Code(key),) for key in keys)),))
