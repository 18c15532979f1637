"""A report as JSON for programs, as `schemas/report.schema.json` defines it."""

import json
import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from registry.core import schema
from registry.core.values import Finding, Outcome
from registry.dataset.changes import DatasetChange
from registry.dataset.json_values import to_json
from registry.model.changes import GateResult, ModelChange
from registry.report import json_blocks
from registry.report.pictures import PictureFiles
from registry.report.values import Report

COUNTS = ("before", "after", "added", "removed", "relabelled", "moved", "changed")


_HIDDEN = re.compile(r"[^\x20-\x7e\n]")  # in JSON, all of these stand in strings


def render(report: Report, pictures: Iterable[PictureFiles] = ()) -> bytes:
    """The whole report as JSON; `pictures` are the files that lie beside it. A number that is not finite is null.

    A text or a list that is longer than its schema allows is cut, so that whatever a change holds, the report is valid.
    """
    content = {
        "schema": 1,
        "verdict": report.state.value,
        "headline": report.headline,
        "checks": to_json(report.tally),
        "findings": [_finding(one) for one in report.findings],
        "not_run": [_not_run(one) for one in report.not_run],
        "datasets": [_dataset(one) for one in report.datasets],
        "models": [_fields(one, "gates", "shares") for one in report.models],
        "gates": [_gate(model, one) for model in report.models for one in model.gates],
        "sections": json_blocks.encode(report.sections),
        "pictures": [{"name": one.name, "light": one.light, "dark": one.dark, "width": one.width} for one in pictures],
        "run": to_json(report.run),
    }
    return _write(schema.fit(content, "report"))


def _write(content: Any) -> bytes:
    """JSON in which every character is visible, however a text is shown.

    A byte of a file's name that is no UTF-8 is half of a surrogate pair in Python. JSON has no such character, so it is
    written as the report shows it.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return (_HIDDEN.sub(_escape, text) + "\n").encode()


def _escape(found: re.Match[str]) -> str:
    if "\ud800" <= found[0] <= "\udfff":
        return rf"\\u{ord(found[0]):04x}"
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "check": one.check,
        "artifact": to_json(one.artifact),
        "verdict": one.verdict.value,
        "message": one.message,
        "path": one.path,
        "line": one.line,
        "fix": one.fix,
    }


def _not_run(one: Outcome) -> dict[str, Any]:
    return {"check": one.check, "artifact": to_json(one.artifact), "because": one.not_run}


def _dataset(change: DatasetChange) -> dict[str, Any]:
    diff = change.diff
    return {
        **_fields(change, "diff"),
        "counts": {kind: to_json(getattr(diff, kind)) for kind in COUNTS} if diff else None,
        "tables": diff.tables if diff else None,
    }


def _fields(change: DatasetChange | ModelChange, *left_out: str) -> dict[str, Any]:
    return {field.name: to_json(getattr(change, field.name)) for field in fields(change) if field.name not in left_out}


def _gate(model: ModelChange, one: GateResult) -> dict[str, Any]:
    return {"model": str(model.id), **to_json(one.gate), "state": one.state, "message": one.message, "line": one.line}
