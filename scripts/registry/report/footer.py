"""The parts of a report around the artifacts: findings, checks that could not run, and how to reproduce the report."""

import re
from collections.abc import Sequence

from registry.core.values import Finding, Outcome, Verdict
from registry.core.wording import plural, size
from registry.report.blocks import Block, Code, Line, Lines, Mark, Para, Strong, Table, Tone
from registry.report.run_info import RunInfo

MARKS = {Verdict.WRONG: Mark(Tone.BAD, "wrong"), Verdict.NEEDS_OWNER: Mark(Tone.ASK, "needs an owner")}
NAMED = 5  # uncommitted files
_QUOTED = re.compile(r"`([^`]+)`")


def finding_line(finding: Finding) -> Line:
    """A finding: its verdict, place, message and check, as `registry check` prints them, and the hint."""
    place = (finding.path or "registry") + (f":{finding.line}" if finding.line else "")
    hint: Line = (" · ", Strong("hint:"), " ", *_with_code(finding.fix)) if finding.fix else ()
    return (MARKS[finding.verdict], " ", Code(place), " ", *_with_code(finding.message), f" [{finding.check}]", *hint)


def _with_code(text: str) -> Line:
    """A message with its commands, which are between backticks."""
    parts = _QUOTED.split(text)
    return tuple(Code(part) if place % 2 else part for place, part in enumerate(parts) if part)


def not_run_title(outcomes: Sequence[Outcome]) -> str:
    """`2 checks could not run`."""
    return f"{plural(len(outcomes), 'check')} could not run"


def not_run_table(outcomes: Sequence[Outcome]) -> Table:
    """The checks that could not run, and why."""
    rows = tuple(
        ((Code(one.check),), (Code(str(one.artifact)) if one.artifact else "registry",), (one.not_run,))
        for one in outcomes
    )
    return Table(("check", "artifact", "reason"), "lll", rows)


def run_info_blocks(run: RunInfo) -> tuple[Block, ...]:
    """The commands, the commits, and last the only part that differs between two runs: machine and time."""
    where = run.hardware
    machine = [where.processor, plural(where.cores, "core")]
    machine += [f"{where.gpu} (driver {where.driver})" if where.driver else where.gpu] if where.gpu else ["no GPU"]
    downloaded = f"{size(where.pulled)} downloaded, " if where.pulled else ""
    usage = f"{where.seconds:.0f} s, {downloaded}{size(where.peak)} peak memory"
    changes = f" and {plural(len(run.uncommitted), 'uncommitted file')} of this working tree" if run.uncommitted else ""
    commits = ("Base ", Code(run.base), ", head ", Code(run.head), changes)
    return Lines("sh", run.commands), Para(commits), Para((f"Generated on: {', '.join(machine)}; {usage}",))


def uncommitted_line(run: RunInfo) -> Line:
    """That the report is of a working tree, which no commit has, and its files; empty where it is of a commit."""
    if not run.uncommitted:
        return ()
    paths = run.uncommitted
    named = [piece for path in paths[:NAMED] for piece in (", ", Code(path))][1:]
    more = f" and {plural(len(paths) - NAMED, 'more file')}" if len(paths) > NAMED else ""
    start = " this report is of a working tree and of no commit; its changes in "
    return (Strong("Uncommitted:"), start, *named, f"{more} are not in ", Code(run.head))
