"""A report as JSON for programs, as `schemas/report.schema.json` defines it."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from polars import DataFrame

from registry.core import documents
from registry.core.escaping import plain
from registry.core.values import Bump, Finding
from registry.dataset.changes import DatasetChange, Sheet
from registry.model.changes import GateResult, ModelChange
from registry.report import wording
from registry.report.assemble import Report


def render(report: Report) -> str:
    """The whole report as JSON, without pictures. A number that is not finite is null."""
    return documents.write_json(
        {
            "schema": 1,
            "verdict": report.state.value,
            "headline": report.headline,
            "checks": _plain(report.tally),
            "findings": [_finding(one) for one in report.findings],
            "not_run": [{"check": one.check, **_owner(one), "because": plain(one.not_run)} for one in report.not_run],
            "datasets": [_dataset(one) for one in report.datasets],
            "models": [_model(one) for one in report.models],
            "gates": [_gate(model, one) for model in report.models for one in model.gates],
            "run": _plain(report.run),
        }
    ).decode()


def _owner(one: Any) -> dict[str, str | None]:
    return {"artifact": str(one.artifact) if one.artifact else None}


def _finding(one: Finding) -> dict[str, str | int | None]:
    return {
        "check": one.check,
        **_owner(one),
        "verdict": one.verdict.value,
        "message": plain(one.message),
        "path": plain(one.path),
        "line": one.line,
        "fix": plain(one.fix),
    }


def _head(change: DatasetChange | ModelChange) -> dict[str, str | None]:
    versions = {"old": str(change.old) if change.old else None, "new": str(change.new) if change.new else None}
    return {"id": str(change.id), "title": change.title, **versions}


def _dataset(change: DatasetChange) -> dict[str, Any]:
    diff, required = change.diff, change.required_bump
    kinds = ("before", "after", "added", "removed", "relabelled", "moved", "changed")
    return {
        **_head(change),
        "query_change": change.query_change.value,
        "queries": list(change.queries),
        "counts": {kind: _plain(getattr(diff, kind)) for kind in kinds} if diff else None,
        "tables": diff.tables if diff else None,
        "required_bump": {"bump": wording.bump(required.bump), "what": required.what, "why": required.why}
        if required
        else None,
        **{name: _plain(getattr(change, name)) for name in _rest(change)},
    }


def _model(change: ModelChange) -> dict[str, Any]:
    return {**_head(change), **{name: _plain(getattr(change, name)) for name in _rest(change)}}


def _rest(change: DatasetChange | ModelChange) -> list[str]:
    """The fields that are rendered as they are."""
    own = {"id", "title", "old", "new", "query_change", "queries", "diff", "required_bump", "gates"}
    return [field.name for field in fields(change) if field.name not in own]


def _gate(model: ModelChange, one: GateResult) -> dict[str, Any]:
    return {"model": str(model.id), **_plain(one.gate), "state": one.state, "message": one.message, "line": one.line}


def _plain(value: Any) -> Any:
    """A value for JSON: dataclasses become objects, frames lists of rows, NaN and infinity null."""
    match value:
        case Bump():
            return wording.bump(value)
        case float():
            return value if math.isfinite(value) else None
        case str() | int() | None:
            return value
        case Sheet():
            return {name: getattr(value, name) for name in ("name", "title", "total", "shown", "alt")}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in sorted(value.items())}
    return [_plain(one) for one in (value.to_dicts() if isinstance(value, DataFrame) else value)]
