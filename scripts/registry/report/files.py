"""The files of a report: texts, and the pictures that its Markdown links to, in a folder or on a branch at GitHub."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.core.atomic_write import write_atomically
from registry.dataset.changes import Sheet
from registry.report import charts, html, json_output, markdown
from registry.report.assemble import Report
from registry.report.blocks import Block, Detail, Picture
from registry.report.markdown import Link

FOLDER = "pictures"  # beside report.md


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture's files by name, and the width to show it at, in CSS pixels."""

    name: str
    light: str
    dark: str
    width: int
    files: Mapping[str, bytes]


def draw(report: Report) -> tuple[Drawn, ...]:
    """Every picture of a report: charts as PNG for light and for dark, contact sheets as they are."""
    found = (picture for section in report.sections for picture in _pictures(section.blocks))
    return tuple(_draw(picture) for picture in found)


def _pictures(blocks: Iterable[Block]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Detail):
            yield from _pictures(block.blocks)


def _draw(picture: Picture) -> Drawn:
    if isinstance(picture.source, Sheet):
        name = f"{picture.name}.webp"
        return Drawn(picture.name, name, name, picture.source.width, {name: picture.source.image})
    light, dark = (charts.png(picture.source, theme) for theme in charts.THEMES)
    files = {f"{picture.name}-light.png": light, f"{picture.name}-dark.png": dark}
    return Drawn(picture.name, *files, charts.png_size(light)[0], files)


def links(drawn: Iterable[Drawn], address: str) -> dict[str, Link]:
    """Where each picture is, below `address` (a URL or a folder, without a slash at its end)."""
    return {one.name: Link(f"{address}/{one.light}", f"{address}/{one.dark}", one.width) for one in drawn}


def files(drawn: Iterable[Drawn]) -> dict[str, bytes]:
    """Every file by name."""
    return {name: data for one in drawn for name, data in sorted(one.files.items())}


def without_sheets(report: Report) -> Report:
    """The report with no image of the data in it; charts, which show numbers only, stay."""
    sections = tuple(replace(one, blocks=_without(one.blocks)) for one in report.sections)
    return replace(report, sections=sections)


def _without(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(block for block in blocks if not (isinstance(block, Detail) and block.kind == "pictures"))


def write(report: Report, folder: Path, *, shown: bool) -> None:
    """Write report.md, report.html, report.json, and for the first the folder of its pictures, if they are `shown`."""
    drawn = draw(report) if shown else ()
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for name, data in files(drawn).items():
        write_atomically(folder / FOLDER / name, data)
    write_atomically(folder / "report.md", markdown.render(report, links(drawn, FOLDER)).encode())
    write_atomically(folder / "report.html", html.render(report).encode())
    write_atomically(folder / "report.json", json_output.render(report).encode())
