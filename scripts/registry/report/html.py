"""A report as one HTML file that holds everything: no script, no address, pictures inside."""

from base64 import b64encode

from registry.core.escaping import html as escaped
from registry.dataset.changes import Sheet
from registry.report import charts, wording
from registry.report.assemble import Report, State
from registry.report.blocks import (
    Block,
    Bullets,
    Code,
    Detail,
    Line,
    Lines,
    Mark,
    Para,
    Picture,
    Section,
    Strong,
    Table,
)
from registry.report.footer import finding_line, not_run_table, repeat_blocks
from registry.report.html_style import STYLE

TITLES = {State.READY: "Ready", State.NEEDS_OWNER: "Needs an owner", State.BLOCKED: "Blocked"}
OPEN = 20  # findings that stand open; more are folded
# Should an escape ever fail, this keeps the page from running or fetching anything.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render(report: Report) -> str:
    """The whole report as HTML."""
    name = TITLES[report.state]
    kind = report.state.name.lower().replace("_", "-")
    body = [
        f'<header class="{kind}"><h1>{name}</h1><p>{escaped(report.headline)}</p>{_tally(report)}</header>',
        *_contents(report),
        *_findings(report),
        *(_section(place, section, report) for place, section in enumerate(report.sections, 1)),
        *_closing(report),
    ]
    return "\n".join([*_head(f"{name}: registry report"), *body, "</main></body></html>"]) + "\n"


def _head(title: str) -> list[str]:
    return [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
    ]


def _tally(report: Report) -> str:
    tally = report.tally
    counts = (
        ("passed", tally.passed, "checks passed"),
        ("needs-owner", tally.needs_owner, "asking for an owner"),
        ("failed", tally.failed, "failed"),
        ("not-run", tally.not_run, "could not run"),
    )
    items = (f'<li class="{kind}"><b>{count:,}</b> {words}</li>' for kind, count, words in counts if count)
    return f'<ul class="tally" aria-label="checks">{"".join(items)}</ul>'


def _contents(report: Report) -> list[str]:
    links = (
        f'<li><a href="#artifact-{place}">{escaped(section.title)}</a></li>'
        for place, section in enumerate(report.sections, 1)
    )
    return [f'<nav aria-label="artifacts"><ul>{"".join(links)}</ul></nav>'] if len(report.sections) > 1 else []


def _findings(report: Report) -> list[str]:
    items = [f"<li>{_line(finding_line(one))}</li>" for one in report.findings]
    shown, folded = (f'<ul class="findings">{"".join(part)}</ul>' for part in (items[:OPEN], items[OPEN:]))
    more = f"<details><summary>{wording.many(len(items) - OPEN, 'more finding')}</summary>{folded}</details>"
    return [f"<section><h2>Findings</h2>{shown}{more if items[OPEN:] else ''}</section>"] if items else []


def _section(place: int, section: Section, report: Report) -> str:
    blocks = "\n".join(map(_block, section.blocks))
    # Of one artifact the top of the page has said it.
    headline = f"<p>{_line(section.headline)}</p>" if len(report.sections) > 1 else ""
    return f'<section id="artifact-{place}"><h2>{escaped(section.title)}</h2>{headline}\n{blocks}</section>'


def _closing(report: Report) -> list[str]:
    parts = [f"<h2>How to repeat this</h2>{''.join(map(_block, repeat_blocks(report.repeat)))}"]
    if report.not_run:
        title = f"{wording.many(len(report.not_run), 'check')} could not run"
        parts.insert(0, f"<h2>{title}</h2>{_table(not_run_table(report.not_run))}")
    return [f"<section>{part}</section>" for part in parts]


def _block(block: Block) -> str:
    match block:
        case Para(line):
            return f"<p>{_line(line)}</p>"
        case Bullets(lines):
            return f"<ul>{''.join(f'<li>{_line(line)}</li>' for line in lines)}</ul>"
        case Table():
            return _table(block)
        case Lines(lines=lines):
            return f"<pre><code>{chr(10).join(map(escaped, lines))}</code></pre>"
        case Picture():
            return _picture(block)
        case Detail():
            inner = "\n".join(map(_block, block.blocks))
            opened = " open" if any(isinstance(part, Picture) for part in block.blocks) else ""
            return f"<details{opened}><summary>{escaped(block.title)}</summary>\n{inner}</details>"


def _line(line: Line) -> str:
    return "".join(map(_piece, line)).strip()


def _piece(piece: str | Code | Strong | Mark) -> str:
    match piece:
        case Code(text):
            return f"<code>{escaped(text) or '(empty)'}</code>"
        case Mark(tone, text):
            return f'<strong class="{tone.value}">{escaped(text)}</strong>'
        case Strong(text):
            return f"<strong>{escaped(text)}</strong>"
    return escaped(piece)


def _table(table: Table) -> str:
    # A class and no `style`, so that numbers stand under each other in every browser.
    sides = [' class="number"' if side == "r" else "" for side in table.sides]
    head = "".join(f"<th{side}>{escaped(name)}</th>" for name, side in zip(table.head, sides, strict=True))
    rows = (
        "".join(f"<td{side}>{_line(cell)}</td>" for cell, side in zip(row, sides, strict=True)) for row in table.rows
    )
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _picture(picture: Picture) -> str:
    alt = escaped(picture.alt)
    if isinstance(picture.source, Sheet):
        sheet = picture.source
        address = _data(sheet.image, "image/webp")
        return f'<img alt="{alt}" width="{sheet.width}" height="{sheet.height}" src="{address}">'
    light, dark = (_data(charts.svg(picture.source, theme), "image/svg+xml") for theme in charts.THEMES)
    image = f'<img alt="{alt}" src="{light}">'
    return f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">{image}</picture>'


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
