"""Formats the result of `registry check`: as text for people, as annotations for GitHub, as JSON for programs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from registry.checks.context import Scope
from registry.console import plain
from registry.core import documents, wording
from registry.core.values import Finding, Outcome, Verdict

GITHUB = "github"
ANNOTATIONS = 10  # errors, and warnings, that GitHub shows for one step
_WORST_FIRST = (Verdict.WRONG, Verdict.NEEDS_OWNER, Verdict.OK)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcomes of all checks; with `notes` the text also has the hints of checks that found nothing wrong."""

    outcomes: Sequence[Outcome]
    scope: Scope = Scope.ALL
    notes: bool = False


def findings(outcomes: Iterable[Outcome], *, notes: bool = False) -> tuple[Finding, ...]:
    """Every finding, worst first, then by place; with `notes` also those that find nothing wrong."""
    found = (finding for outcome in outcomes for finding in outcome.findings)
    kept = (finding for finding in found if notes or finding.verdict is not Verdict.OK)
    return tuple(sorted(kept, key=_sort_key))


def _sort_key(finding: Finding) -> tuple[int, str, int, str]:
    return _WORST_FIRST.index(finding.verdict), finding.path, finding.line or 0, finding.message


def worst(outcomes: Iterable[Outcome]) -> Verdict:
    """The worst verdict of all."""
    verdicts = {outcome.verdict for outcome in outcomes}
    return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), Verdict.OK)


# --- text -------------------------------------------------------------------------------------------------------------


def format_text(result: Result) -> str:
    """A paragraph for each finding (`path:line: verdict: message [check]`, then the hint), and last the tally."""
    paragraphs = map(_paragraph, findings(result.outcomes, notes=result.notes))
    return "\n".join([*paragraphs, tally(result.outcomes)]) + "\n"


def _paragraph(finding: Finding) -> str:
    place = plain(finding.path) + (f":{finding.line}" if finding.line else "")
    head = f"{place}: {finding.verdict}: {plain(finding.message)} [{finding.check}]"
    return f"{head}\n  {_hint(finding)}" if finding.fix else head


def _hint(finding: Finding) -> str:
    return f"hint: {plain(finding.fix)}"


def tally(outcomes: Sequence[Outcome]) -> str:
    """`2 wrong, 1 needs an owner; 31 checks passed, 3 could not run`."""
    found = [finding.verdict for finding in findings(outcomes)]
    not_run = sum(bool(outcome.not_run) for outcome in outcomes)
    passed = sum(outcome.verdict is Verdict.OK for outcome in outcomes) - not_run
    wrong, needs_owner = found.count(Verdict.WRONG), found.count(Verdict.NEEDS_OWNER)
    parts = [f"{wrong} wrong"] if wrong else []
    parts += [f"{needs_owner} {'needs' if needs_owner == 1 else 'need'} an owner"] if needs_owner else []
    rest = f"{wording.plural(passed, 'check')} passed" + (f", {not_run} could not run" if not_run else "")
    return f"{', '.join(parts)}; {rest}" if parts else rest


# --- GitHub -----------------------------------------------------------------------------------------------------------


def format_github(result: Result) -> str:
    """Workflow commands that become annotations on files; the last of each kind lists what GitHub would not show."""
    lines = []
    for command, verdict in (("error", Verdict.WRONG), ("warning", Verdict.NEEDS_OWNER)):
        found = [finding for finding in findings(result.outcomes) if finding.verdict is verdict]
        shown = found if len(found) <= ANNOTATIONS else found[: ANNOTATIONS - 1]
        lines += [_annotation(command, finding) for finding in shown]
        if rest := found[len(shown) :]:
            listed = "\n".join(_paragraph(finding) for finding in rest)
            lines.append(f"::{command} title=and {len(rest)} more::{_data(listed)}")
    return "\n".join([*lines, tally(result.outcomes)]) + "\n"


def _annotation(command: str, finding: Finding) -> str:
    place = {"file": finding.path, "line": str(finding.line or 1), "title": f"registry check: {finding.check}"}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    text = f"{plain(finding.message)}\n{_hint(finding)}" if finding.fix else plain(finding.message)
    return f"::{command} {properties}::{_data(text)}"


def _data(text: str) -> str:
    # As @actions/core escapes: github.com/actions/toolkit, packages/core/src/command.ts
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(plain(text)).replace(":", "%3A").replace(",", "%2C")


# --- JSON -------------------------------------------------------------------------------------------------------------


def format_json(result: Result) -> str:
    """An object with `schema` 1, `scope`, `verdict`, and the lists `findings`, `passed` and `not_run`.

    A finding has check, artifact (or null), verdict, message, path, line (or null) and fix; the other two have check
    and artifact, and `not_run` also because.
    """
    ran = [outcome for outcome in result.outcomes if not outcome.not_run]
    not_run = [outcome for outcome in result.outcomes if outcome.not_run]
    return documents.write_json(
        {
            "schema": 1,
            "scope": result.scope,
            "verdict": worst(result.outcomes),
            "findings": [_finding_record(finding) for finding in findings(result.outcomes, notes=True)],
            "passed": [_outcome_record(outcome) for outcome in ran if outcome.verdict is Verdict.OK],
            "not_run": [{**_outcome_record(outcome), "because": outcome.not_run} for outcome in not_run],
        }
    ).decode()


def _finding_record(finding: Finding) -> dict[str, str | int | None]:
    return {
        "check": finding.check,
        "artifact": str(finding.artifact) if finding.artifact else None,
        "verdict": finding.verdict,
        "message": plain(finding.message),
        "path": plain(finding.path),
        "line": finding.line,
        "fix": plain(finding.fix),
    }


def _outcome_record(outcome: Outcome) -> dict[str, str | None]:
    return {"check": outcome.check, "artifact": str(outcome.artifact) if outcome.artifact else None}


FORMATS: Mapping[str, Callable[[Result], str]] = {"text": format_text, GITHUB: format_github, "json": format_json}
