"""A report as Markdown for a comment on a pull request: collapsible, and within GitHub's limit.

What does not fit is omitted in a fixed order: figures that are folded, then kinds of details (OMITTED_FIRST), then
everything except headlines, then findings and headlines beyond a number. Nothing is cut in the middle, and
`report.html` is always complete.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from registry.core.escaping import (
    markdown,
    markdown_attribute,
    markdown_code,
    markdown_html,
    markdown_lines,
    markdown_link,
)
from registry.core.wording import plural
from registry.report.blocks import (
    Address,
    Block,
    Bullets,
    Code,
    Detail,
    Figure,
    Gallery,
    Line,
    Lines,
    Mark,
    Para,
    Picture,
    Section,
    Strong,
    Table,
    Tone,
)
from registry.report.comment import WATERMARK
from registry.report.footer import finding_line, not_run_table, not_run_title, run_info_blocks, uncommitted_line
from registry.report.pictures import PictureFiles
from registry.report.values import Page, State

LIMIT = 64_000  # GitHub accepts 65,536 characters; the job that posts the comment adds a line or two
OMITTED_FIRST = (
    "metadata", "params", "reported", "calibration", "curves", "columns", "origin", "metrics", "flips", "findings",
    "counts", "duplicates", "transitions", "confusion", "labels", "slices", "checks", "pictures",
)  # fmt: skip
ADDRESS = 150  # https://github.com/OWNER/REPO/raw/COMMIT
ROWS = 25  # of a table; more are in report.html
MOST_FINDINGS = 100  # more are in report.html and report.json
FIGURES = 4  # of a gallery, one below the other; more are folded
OPEN = 3  # with more sections all of them are folded
MARKS = {State.READY: "✅ Ready", State.NEEDS_OWNER: "⚠️ Needs an owner", State.BLOCKED: "⛔ Blocked"}
SYMBOLS = {Tone.GOOD: "✅", Tone.ASK: "⚠️", Tone.BAD: "⛔", Tone.UNKNOWN: "⚪"}


@dataclass(frozen=True, slots=True)
class Link:
    """The URLs of a picture for GitHub's light and dark theme, and its width in CSS pixels."""

    light: str
    dark: str
    width: int


@dataclass(frozen=True, slots=True)
class _Fit:
    """How much of a report is shown: kinds of details to omit, few figures, headlines only, the number of each."""

    omitted: tuple[str, ...] = ()
    few: bool = False
    headlines: bool = False
    findings: int = 20
    sections: int = 1000


def links(pictures: Iterable[PictureFiles], address: str) -> dict[str, Link]:
    """The link to each picture, below `address` (a URL or a folder, without a trailing slash)."""
    return {one.name: Link(f"{address}/{one.light}", f"{address}/{one.dark}", one.width) for one in pictures}


def render(report: Page, links: Mapping[str, Link], limit: int = LIMIT) -> str:
    """The report in at most `limit` characters (as UTF-16 units). A picture without a link is omitted."""
    *fits, shortest = _fits()
    for fit in fits:
        text = _render(report, links, fit)
        if _length(text) <= limit:
            return text
    return _render(report, links, shortest)


def _length(text: str) -> int:
    # With space for the URLs of pictures at GitHub, so that local and posted reports omit the same parts.
    return len(text.encode("utf-16-le")) // 2 + ADDRESS * (text.count(' src="') + text.count(' srcset="'))


def _fits() -> Iterator[_Fit]:
    yield _Fit()
    yield from (_Fit(OMITTED_FIRST[:count], few=True) for count in range(len(OMITTED_FIRST) + 1))
    yield _Fit(OMITTED_FIRST, few=True, headlines=True)
    yield from (_Fit(OMITTED_FIRST, True, True, number, number) for number in (20, 10, 3, 0))


def _render(report: Page, links: Mapping[str, Link], fit: _Fit) -> str:
    parts = [f"## {MARKS[report.state]}", _piece(Strong(report.headline)), _tally(report)]
    parts += [f"> {_line(line)}"] if (line := uncommitted_line(report.run)) else []
    parts += _findings(report, fit)
    parts += _sections(report, links, fit)
    closing = [Detail("run", "Reproduce this report", run_info_blocks(report.run))]
    if report.not_run:
        closing.insert(0, Detail("checks", not_run_title(report.not_run), (not_run_table(report.not_run),)))
    parts += [text for block in closing if (text := _block(block, links, fit))]
    if fit.few:
        kinds = ", ".join([*fit.omitted, f"pictures beyond {FIGURES} of a kind"])
        kinds = "everything except headlines" if fit.headlines else kinds
        parts.append(f"Omitted to fit GitHub's limit of 65,536 characters: {kinds}. `report.html` is complete.")
    return "\n\n".join([*parts, WATERMARK]) + "\n"


def _tally(report: Page) -> str:
    tally = report.tally
    parts = [f"✅ {plural(tally.passed, 'check')} passed"]
    verb = "needs" if tally.needs_owner == 1 else "need"
    parts += [f"⚠️ {tally.needs_owner} {verb} an owner"] * bool(tally.needs_owner)
    parts += [f"⛔ {tally.failed} failed"] * bool(tally.failed)
    parts += [f"⚪ {tally.not_run} could not run"] * bool(tally.not_run)
    return " · ".join(parts)


def _findings(report: Page, fit: _Fit) -> list[str]:
    lines = [f"- {_line(finding_line(one))}" for one in report.findings[:MOST_FINDINGS]]
    shown, folded = lines[: fit.findings], [] if "findings" in fit.omitted else lines[fit.findings :]
    rest = len(report.findings) - len(shown) - len(folded)
    last = [f"- and {plural(rest, 'more finding' if shown else 'finding')} in `report.html`"] * bool(rest)
    if folded:
        return ["### Findings", "\n".join(shown), _fold("More findings", ["\n".join([*folded, *last])])]
    return ["### Findings", "\n".join([*shown, *last])] if report.findings else []


def _sections(report: Page, links: Mapping[str, Link], fit: _Fit) -> list[str]:
    shown = report.sections[: fit.sections]
    rest = len(report.sections) - len(shown)
    more = f"- and {plural(rest, 'more artifact' if shown else 'artifact')} in `report.html`"
    if fit.headlines:
        lines = [f"- {_headline(one)}" for one in shown] + [more] * bool(rest)
        return ["\n".join(lines)]
    folded = len(shown) > OPEN
    return [text for one in shown for text in _section(one, links, fit, folded=folded)]


def _section(section: Section, links: Mapping[str, Link], fit: _Fit, *, folded: bool) -> Iterator[str]:
    blocks = [text for block in section.blocks if (text := _block(block, links, fit))]
    if not section.blocks:
        yield _headline(section)
    elif folded:
        yield _fold(section.title, [_line(section.headline), *blocks])
    else:
        yield from (f"### {markdown(section.title)}", *blocks)


def _headline(section: Section) -> str:
    return f"{_piece(Strong(section.title))}: {_line(section.headline)}"


def _fold(title: str, body: list[str], *, is_open: bool = False) -> str:
    start = f"<details{' open' if is_open else ''}><summary>{markdown_html(title)}</summary>"
    return "\n\n".join([start, *body, "</details>"])


def _block(block: Block, links: Mapping[str, Link], fit: _Fit) -> str:
    match block:
        case Para(line):
            return _line(line)
        case Bullets(lines):
            return "\n".join(f"- {_line(line)}" for line in lines)
        case Table():
            return _table(block)
        case Lines(language, lines):
            return markdown_lines(language, lines)
        case Picture():
            return _picture(block, links)
        case Gallery(figures):
            return "\n\n".join(_figures(figures, links, fit))
        case Detail(kind):
            body = [] if kind in fit.omitted else [text for part in block.blocks if (text := _block(part, links, fit))]
            return _fold(block.title, body, is_open=block.is_open) if body else ""


def _figures(figures: Sequence[Figure], links: Mapping[str, Link], fit: _Fit) -> Iterator[str]:
    yield from (_figure(one, links) for one in figures[:FIGURES])
    if more := figures[FIGURES:]:
        folded = [_figure(one, links) for one in more]
        yield f"and {len(more):,} more in `report.html`" if fit.few else _fold(f"{len(more):,} more", folded)


def _line(line: Line) -> str:
    return "".join(map(_piece, line)).strip()


def _piece(piece: str | Address | Code | Strong | Mark) -> str:
    match piece:
        case Address(url):
            return markdown_link(url)
        case Code(text):
            return markdown_code(text)
        case Mark(tone, text):
            return f"{SYMBOLS[tone]} {markdown(text)}"
        case Strong(text):
            return f"**{markdown(text.strip())}**" if text.strip() else ""
    return markdown(piece)


def _table(table: Table) -> str:
    rule = {"l": ":--", "r": "--:"}
    rows = [[markdown(name) for name in table.head], [rule[side] for side in table.sides]]
    rows += [[_line(cell) for cell in row] for row in table.rows[:ROWS]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if rest := len(table.rows) - ROWS:
        lines += ["", f"and {plural(rest, 'more row')} in `report.html`"] * (rest > 0)
    return "\n".join(lines)


def _figure(figure: Figure, links: Mapping[str, Link]) -> str:
    """The caption above its picture, so that each line belongs to what follows it."""
    lines = [_line(line) for line in figure.caption]
    return "\n".join([*(f"{line}  " for line in lines), _picture(figure.picture, links)])


def _picture(picture: Picture, links: Mapping[str, Link]) -> str:
    link = links.get(picture.name)
    if link is None:
        return ""
    image = f'<img alt="{markdown_attribute(picture.alt)}" src="{link.light}" width="{link.width}">'
    if link.light == link.dark:
        return image
    return f'<picture><source media="(prefers-color-scheme: dark)" srcset="{link.dark}">{image}</picture>'
