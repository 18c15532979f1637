"""The files of a report: texts, and the pictures that the Markdown links to, in a folder."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.core.atomic_write import write_atomically
from registry.dataset.changes import Sheet
from registry.report import charts, html, json_output, markdown
from registry.report.assemble import Report
from registry.report.blocks import Block, Detail, Gallery, Picture
from registry.report.markdown import Link

FOLDER = "pictures"  # beside report.md


@dataclass(frozen=True, slots=True)
class Drawn:
    """The files of a picture by name, those for light and dark themes, and its width in CSS pixels."""

    name: str
    light: str
    dark: str
    width: int
    files: Mapping[str, bytes]


def draw(report: Report) -> tuple[Drawn, ...]:
    """Every picture of a report: charts as PNG for light and dark themes, contact sheets as they are."""
    found = (picture for section in report.sections for picture in _pictures(section.blocks))
    return tuple(_draw(picture) for picture in found)


def _pictures(blocks: Iterable[Block]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Gallery):
            yield from (figure.picture for figure in block.figures)
        elif isinstance(block, Detail):
            yield from _pictures(block.blocks)


def _draw(picture: Picture) -> Drawn:
    if isinstance(picture.source, Sheet):
        name = f"{picture.name}.webp"
        return Drawn(picture.name, name, name, picture.source.width, {name: picture.source.image})
    light, dark = f"{picture.name}-light.png", f"{picture.name}-dark.png"
    data = {light: charts.png(picture.source, "light"), dark: charts.png(picture.source, "dark")}
    return Drawn(picture.name, light, dark, charts.png_size(data[light])[0], data)


def links(drawn: Iterable[Drawn], address: str) -> dict[str, Link]:
    """The link to each picture, below `address` (a URL or a folder, without a trailing slash)."""
    return {one.name: Link(f"{address}/{one.light}", f"{address}/{one.dark}", one.width) for one in drawn}


def files(drawn: Iterable[Drawn]) -> dict[str, bytes]:
    """Every file by name."""
    return {name: data for one in drawn for name, data in sorted(one.files.items())}


def without_sheets(report: Report) -> Report:
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
    write_atomically(folder / "report.md", markdown.render(report, links(drawn, FOLDER)).encode())
    write_atomically(folder / "report.html", html.render(report).encode())
    write_atomically(folder / "report.json", json_output.render(report).encode())
