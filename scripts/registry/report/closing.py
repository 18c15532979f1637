"""What stands around the artifacts: findings, what could not run, and how to make the report again."""

from collections.abc import Sequence

from registry.report import wording
from registry.report.blocks import Block, Code, Commands, Line, Para, Strong, Table
from registry.review import Repeat
from registry.values import Finding, Outcome, Verdict

FOUND = {Verdict.WRONG: "⛔", Verdict.NEEDS_OWNER: "⚠️"}


def finding_line(finding: Finding) -> Line:
    """A finding: its place, what is wrong, and the next step."""
    place = (finding.path or "the registry") + (f":{finding.line}" if finding.line else "")
    fix: Line = (" ", Strong("Next:"), f" {finding.fix}") if finding.fix else ()
    return (f"{FOUND.get(finding.verdict, '')} ", Code(place), f" {finding.message} ({finding.check}).", *fix)


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
    spent = f"{where.seconds:.0f} s, {wording.size(where.pulled)} of data pulled, {wording.size(where.peak)} of memory"
    commits = ("Base ", Code(repeat.base), ", change ", Code(repeat.head), ".")
    return Commands(repeat.commands), Para(commits), Para((f"Made on: {', '.join(machine)}; {spent}.",))
