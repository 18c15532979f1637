"""What stands around the artifacts: findings, what could not run, and how to make the report again."""

import re
from collections.abc import Sequence

from registry.core.values import Finding, Outcome, Verdict
from registry.report import wording
from registry.report.blocks import Block, Code, Line, Lines, Mark, Para, Strong, Table, Tone
from registry.report.run_info import Repeat

FOUND = {Verdict.WRONG: Mark(Tone.BAD, "wrong"), Verdict.NEEDS_OWNER: Mark(Tone.ASK, "needs an owner")}
_QUOTED = re.compile(r"`([^`]+)`")


def finding_line(finding: Finding) -> Line:
    """A finding: its place, what is wrong, and the next step."""
    place = (finding.path or "the registry") + (f":{finding.line}" if finding.line else "")
    fix: Line = (" ", Strong("Hint:"), " ", *_words(finding.fix)) if finding.fix else ()
    return (FOUND[finding.verdict], " ", Code(place), " ", *_words(finding.message), f" ({finding.check}).", *fix)


def _words(text: str) -> Line:
    """A message, whose commands stand between backticks."""
    parts = _QUOTED.split(text)
    return tuple(Code(part) if place % 2 else part for place, part in enumerate(parts) if part)


def not_run_table(outcomes: Sequence[Outcome]) -> Table:
    """The checks that could not run, and why."""
    rows = tuple(
        ((Code(one.check),), (Code(str(one.artifact)) if one.artifact else "the registry",), (one.not_run,))
        for one in outcomes
    )
    return Table(("check", "of", "why it could not run"), "lll", rows)


def repeat_blocks(repeat: Repeat) -> tuple[Block, ...]:
    """The commands, the commits, and last the only part that differs from one machine to the next."""
    where = repeat.hardware
    machine = [where.processor, wording.many(where.cores, "core")]
    machine += [f"{where.gpu} (driver {where.driver})" if where.driver else where.gpu] if where.gpu else ["no GPU"]
    pulled = f"{wording.size(where.pulled)} of data pulled, " if where.pulled else ""
    spent = f"{where.seconds:.0f} s, {pulled}{wording.size(where.peak)} of memory"
    commits = ("Base ", Code(repeat.base), ", change ", Code(repeat.head), ".")
    return Lines("sh", repeat.commands), Para(commits), Para((f"Made on: {', '.join(machine)}; {spent}.",))
