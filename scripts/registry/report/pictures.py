"""The files of a report: texts, and the pictures that its Markdown links to, in a folder or on a branch at GitHub."""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry import branches, github
from registry.errors import InvalidData, Refused
from registry.files import write_atomically
from registry.report import charts, markdown, page, record
from registry.report.assemble import Report
from registry.report.blocks import Block, Detail, Picture
from registry.report.markdown import Link
from registry.review import Sheet

FOLDER = "pictures"  # beside report.md
BRANCH = "reports"
MOST, LARGEST = 1_000, 2_000_000  # pictures of a report, and bytes of one
_NAME = re.compile(r"[a-z0-9_-]+\.(?:png|webp)")
_STARTS = (b"\x89PNG\r\n\x1a\n", b"RIFF")


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
    write_atomically(folder / "report.html", page.render(report).encode())
    write_atomically(folder / "report.json", record.render(report).encode())


def publish(root: Path, folder: Path) -> str:
    """Put a written report's pictures onto the branch `reports`, and let report.md link to them there; their commit.

    The pictures may come from a job that ran a pull request's code, so only PNG and WebP of a sensible size and name
    are taken. Raises InvalidData for anything else, and Refused where origin is not at GitHub.
    """
    found = {file.name: file for file in sorted((folder / FOLDER).glob("*"))}
    if not found:
        return ""
    repository = github.find(root)
    if repository is None:
        raise Refused("origin is not at GitHub, so report.md cannot link to pictures there", fix="--pictures local")
    _demand_pictures(found)
    commit = branches.put(root, BRANCH, {name: file.read_bytes() for name, file in found.items()}, "a report")
    address = f"https://{repository.host}/{repository.owner}/{repository.name}/raw/{commit}"
    text = (folder / "report.md").read_text()
    for name in found:
        text = text.replace(f'="{FOLDER}/{name}"', f'="{address}/{name}"')
    write_atomically(folder / "report.md", text.encode())
    return commit


def _demand_pictures(found: Mapping[str, Path]) -> None:
    faults = [f"{name}: {fault}" for name, file in found.items() if (fault := _fault(file))]
    if faults or len(found) > MOST:
        fix = "look at the job that made the report; nothing was pushed"
        raise InvalidData(f"{len(found):,} files are not a report's pictures", faults, fix=fix)


def _fault(file: Path) -> str:
    if not _NAME.fullmatch(file.name) or file.is_symlink() or not file.is_file():
        return "is not named like a picture, or no plain file"
    if file.stat().st_size > LARGEST:
        return f"has more than {LARGEST:,} bytes"
    return "" if file.read_bytes().startswith(_STARTS) else "is neither PNG nor WebP"
