"""The files of a report: texts, and the pictures that the Markdown links to, in a folder."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.core.atomic_write import write_atomically
from registry.dataset.changes import Thumbnail
from registry.report import charts, html, json_output, markdown
from registry.report.blocks import Block, Chart, Detail, Gallery, Picture
from registry.report.pictures import FOLDER, PictureFiles
from registry.report.values import Report


@dataclass(frozen=True, slots=True)
class Drawn(PictureFiles):
    """A picture with its files."""

    files: Mapping[str, bytes]


def draw(report: Report) -> tuple[Drawn, ...]:
    """Every picture of a report: charts as PNG for light and dark themes, thumbnails as they are."""
    found = (picture for section in report.sections for picture in _pictures(section.blocks))
    return tuple(_draw(picture.name, picture.source) for picture in found if picture.source is not None)


def _pictures(blocks: Iterable[Block]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Gallery):
            yield from (figure.picture for figure in block.figures)
        elif isinstance(block, Detail):
            yield from _pictures(block.blocks)


def _draw(title: str, source: Chart | Thumbnail) -> Drawn:
    if isinstance(source, Thumbnail):
        name = f"{title}.webp"
        return Drawn(title, name, name, source.width, {name: source.image})
    light, dark = f"{title}-light.png", f"{title}-dark.png"
    data = {light: charts.png(source, "light"), dark: charts.png(source, "dark")}
    return Drawn(title, light, dark, charts.png_size(data[light])[0], data)


def files(drawn: Iterable[Drawn]) -> dict[str, bytes]:
    """Every file by name."""
    return {name: data for one in drawn for name, data in sorted(one.files.items())}


def without_images(report: Report) -> Report:
    """The report without images of the data; charts, which show numbers only, stay."""
    sections = tuple(replace(one, blocks=_without(one.blocks)) for one in report.sections)
    return replace(report, sections=sections)


def _without(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(block for block in blocks if not (isinstance(block, Detail) and block.kind == "pictures"))


def write(report: Report, folder: Path, *, shown: bool) -> None:
    """Write report.md, report.html, report.json, and, where they are `shown`, the pictures of report.md."""
    drawn = draw(report) if shown else ()
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for name, data in files(drawn).items():
        write_atomically(folder / FOLDER / name, data)
    write_atomically(folder / "report.md", markdown.render(report, markdown.links(drawn, FOLDER)).encode())
    write_atomically(folder / "report.html", html.render(report).encode())
    write_atomically(folder / "report.json", json_output.render(report, drawn))
