"""A report as one self-contained HTML file, rendered with Jinja2: no script, no external resource, pictures inside.

The templates escape by themselves (`report.pages`). Nothing in this package marks text as safe.
"""

from base64 import b64encode
from collections.abc import Callable

from jinja2 import Environment

from registry.dataset.changes import Thumbnail
from registry.report import blocks, charts, pages
from registry.report.footer import finding_line, not_run_table, not_run_title, run_info_blocks, uncommitted_line
from registry.report.values import Report, State

TITLES = {State.READY: "Ready", State.NEEDS_OWNER: "Needs an owner", State.BLOCKED: "Blocked"}
OPEN_FINDINGS = 20  # shown; more are folded
KINDS = (
    blocks.Para, blocks.Bullets, blocks.Table, blocks.Lines, blocks.Picture, blocks.Gallery, blocks.Detail,
    blocks.Address, blocks.Code, blocks.Mark, blocks.Strong, Thumbnail,
)  # fmt: skip


def render(report: Report) -> str:
    """The whole report as HTML."""
    return (
        environment("registry.report")
        .get_template("page.html")
        .render(
            report=report,
            verdict=TITLES[report.state],
            tally=_tally(report),
            uncommitted=uncommitted_line(report.run),
            findings=[finding_line(one) for one in report.findings],
            open_findings=OPEN_FINDINGS,
            not_run=not_run_table(report.not_run),
            not_run_title=not_run_title(report.not_run),
            run_info=run_info_blocks(report.run),
        )
    )


def environment(package: str) -> Environment:
    """The templates of a package, with what those of the report's blocks use."""
    made = pages.environment(package)
    made.filters["data_url"] = _data_url
    made.tests.update({kind.__name__.lower(): _is_instance(kind) for kind in KINDS})
    return made


def _is_instance(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


def _tally(report: Report) -> list[tuple[int, str, str]]:
    """Of each result of checks: how many, its CSS class, and its words."""
    tally = report.tally
    return [
        (tally.passed, "passed", "check passed" if tally.passed == 1 else "checks passed"),
        (tally.needs_owner, "needs-owner", "needs an owner" if tally.needs_owner == 1 else "need an owner"),
        (tally.failed, "failed", "failed"),
        (tally.not_run, "not-run", "could not run"),
    ]


def _data_url(source: Thumbnail | blocks.Chart, theme: str = "") -> str:
    if isinstance(source, Thumbnail):
        return f"data:image/webp;base64,{b64encode(source.image).decode()}"
    return f"data:image/svg+xml;base64,{b64encode(charts.svg(source, theme)).decode()}"
