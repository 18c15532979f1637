"""A report as JSON for programs, as `schemas/report.schema.json` defines it."""

from dataclasses import fields
from typing import Any

from registry.core import documents
from registry.core.escaping import plain
from registry.core.values import Finding, Outcome
from registry.dataset.changes import DatasetChange
from registry.dataset.json_values import to_json
from registry.model.changes import GateResult, ModelChange
from registry.report.assemble import Report

COUNTS = ("before", "after", "added", "removed", "relabelled", "moved", "changed")


def render(report: Report) -> str:
    """The whole report as JSON, without pictures. A number that is not finite is null."""
    return documents.write_json(
        {
            "schema": 1,
            "verdict": report.state.value,
            "headline": report.headline,
            "checks": to_json(report.tally),
            "findings": [_finding(one) for one in report.findings],
            "not_run": [_not_run(one) for one in report.not_run],
            "datasets": [_dataset(one) for one in report.datasets],
            "models": [_fields(one, "gates") for one in report.models],
            "gates": [_gate(model, one) for model in report.models for one in model.gates],
            "run": to_json(report.run),
        }
    ).decode()


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "check": one.check,
        "artifact": to_json(one.artifact),
        "verdict": one.verdict.value,
        "message": plain(one.message),
        "path": plain(one.path),
        "line": one.line,
        "fix": plain(one.fix),
    }


def _not_run(one: Outcome) -> dict[str, Any]:
    return {"check": one.check, "artifact": to_json(one.artifact), "because": plain(one.not_run)}


def _dataset(change: DatasetChange) -> dict[str, Any]:
    diff = change.diff
    return {
        **_fields(change, "diff"),
        "counts": {kind: to_json(getattr(diff, kind)) for kind in COUNTS} if diff else None,
        "tables": diff.tables if diff else None,
    }


def _fields(change: DatasetChange | ModelChange, left_out: str) -> dict[str, Any]:
    return {field.name: to_json(getattr(change, field.name)) for field in fields(change) if field.name != left_out}


def _gate(model: ModelChange, one: GateResult) -> dict[str, Any]:
    return {"model": str(model.id), **to_json(one.gate), "state": one.state, "message": one.message, "line": one.line}
