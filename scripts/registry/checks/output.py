"""How outcomes of checks are shown: as text for people, as annotations for GitHub, as JSON for programs."""

from collections.abc import Iterable, Sequence

from registry.core import documents
from registry.core.escaping import plain
from registry.core.values import Finding, Outcome, Verdict

ANNOTATIONS = 10  # errors, and warnings, that GitHub shows of one step
_WORST_FIRST = (Verdict.WRONG, Verdict.NEEDS_OWNER, Verdict.OK)


def findings(outcomes: Iterable[Outcome], *, notes: bool = False) -> tuple[Finding, ...]:
    """Every finding, worst first, then by place; with `notes` those too that find nothing wrong."""
    found = (finding for outcome in outcomes for finding in outcome.findings)
    kept = (finding for finding in found if notes or finding.verdict is not Verdict.OK)
    return tuple(sorted(kept, key=lambda one: (_WORST_FIRST.index(one.verdict), one.path, one.line or 0, one.message)))


def worst(outcomes: Iterable[Outcome]) -> Verdict:
    """The worst verdict of all."""
    there = {outcome.verdict for outcome in outcomes}
    return next((verdict for verdict in _WORST_FIRST if verdict in there), Verdict.OK)


def as_text(outcomes: Sequence[Outcome], *, notes: bool = False) -> str:
    """A paragraph for each finding (`path:line: verdict: message [check]`, then the next step), and last the tally."""
    return "\n".join([*map(_paragraph, findings(outcomes, notes=notes)), tally(outcomes)]) + "\n"


def _paragraph(finding: Finding) -> str:
    place = plain(finding.path) + (f":{finding.line}" if finding.line else "")
    head = f"{place}: {finding.verdict}: {plain(finding.message)} [{finding.check}]"
    return f"{head}\n  hint: {plain(finding.fix)}" if finding.fix else head


def tally(outcomes: Sequence[Outcome]) -> str:
    """`2 wrong, 1 needs an owner; 31 checks passed, 3 could not run`."""
    found = [finding.verdict for finding in findings(outcomes)]
    not_run = sum(bool(outcome.not_run) for outcome in outcomes)
    passed = sum(outcome.verdict is Verdict.OK for outcome in outcomes) - not_run
    wrong, ask = found.count(Verdict.WRONG), found.count(Verdict.NEEDS_OWNER)
    parts = [f"{wrong} wrong"] if wrong else []
    parts += [f"{ask} {'needs' if ask == 1 else 'need'} an owner"] if ask else []
    rest = f"{passed} check{'s' * (passed != 1)} passed" + (f", {not_run} could not run" if not_run else "")
    return f"{', '.join(parts)}; {rest}" if parts else rest


def as_github(outcomes: Sequence[Outcome]) -> str:
    """Workflow commands that become annotations on the files; the last of each kind folds what GitHub would drop."""
    lines = []
    for command, verdict in (("error", Verdict.WRONG), ("warning", Verdict.NEEDS_OWNER)):
        found = [finding for finding in findings(outcomes) if finding.verdict is verdict]
        shown = found if len(found) <= ANNOTATIONS else found[: ANNOTATIONS - 1]
        lines += [_annotation(command, finding) for finding in shown]
        if rest := found[len(shown) :]:
            listed = "\n".join(_paragraph(finding) for finding in rest)
            lines.append(f"::{command} title=and {len(rest)} more::{_data(listed)}")
    return "\n".join([*lines, tally(outcomes)]) + "\n"


def _annotation(command: str, finding: Finding) -> str:
    place = {"file": finding.path, "line": str(finding.line or 1), "title": f"registry check: {finding.check}"}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    text = f"{plain(finding.message)}\nnext: {plain(finding.fix)}" if finding.fix else plain(finding.message)
    return f"::{command} {properties}::{_data(text)}"


def _data(text: str) -> str:
    # As @actions/core escapes: github.com/actions/toolkit, packages/core/src/command.ts
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")


def as_json(outcomes: Sequence[Outcome], scope: str) -> str:
    """An object with `schema` 1, `scope`, `verdict`, and the lists `findings`, `passed` and `not_run`.

    A finding has check, artifact (or null), verdict, message, path, line (or null) and fix; the other two have check
    and artifact, and `not_run` also because.
    """
    ran = [outcome for outcome in outcomes if not outcome.not_run]
    return documents.write_json(
        {
            "schema": 1,
            "scope": scope,
            "verdict": worst(outcomes),
            "findings": [_record(finding) for finding in findings(outcomes, notes=True)],
            "passed": [_subject(outcome) for outcome in ran if outcome.verdict is Verdict.OK],
            "not_run": [{**_subject(one), "because": one.not_run} for one in outcomes if one.not_run],
        }
    ).decode()


def _record(finding: Finding) -> dict[str, str | int | None]:
    return {
        "check": finding.check,
        "artifact": str(finding.artifact) if finding.artifact else None,
        "verdict": finding.verdict,
        "message": plain(finding.message),
        "path": plain(finding.path),
        "line": finding.line,
        "fix": plain(finding.fix),
    }


def _subject(outcome: Outcome) -> dict[str, str | None]:
    return {"check": outcome.check, "artifact": str(outcome.artifact) if outcome.artifact else None}
