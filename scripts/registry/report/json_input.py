"""Reads report.json in the job that posts it: a file that another job made, which read data of a pull request.

Nothing of it is believed beyond its closed schema, `schemas/report.schema.json`, whose texts and lists all have a
maximum. Loads no library that decodes data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.core import documents, names, schema
from registry.core.check_names import CheckName
from registry.core.documents import Document
from registry.core.values import ArtifactId, Finding, Outcome, Verdict
from registry.errors import InvalidDocument
from registry.integrations.hardware import Hardware
from registry.report import json_blocks
from registry.report.pictures import PictureFiles
from registry.report.run_info import RunInfo
from registry.report.values import Page, State, Tally, state_of

PATH = "report.json"
MAX_BYTES = 8_000_000
FIX = "see the log of the job that made the report, and run it again"


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What is shown of a report, and the files of its pictures."""

    page: Page
    pictures: tuple[PictureFiles, ...]


def parse(data: bytes) -> ReadReport:
    """A report.json. Raises InvalidDocument for one that `json_output` does not write."""
    if len(data) > MAX_BYTES:
        raise InvalidDocument(PATH, f"is {len(data):,} bytes, expected at most {MAX_BYTES:,}", fix=FIX)
    try:
        found = documents.read_json(data, PATH)
        schema.require(Document(PATH, found, {}), "report")
        report = _read(found)
        if report.page.state is not state_of(report.page.findings, report.page.not_run):
            raise InvalidDocument(PATH, f"verdict is {report.page.state}, which its findings do not make")
    except (InvalidDocument, names.InvalidName, ValueError) as error:
        fault = error.fault if isinstance(error, InvalidDocument) else str(error)
        raise InvalidDocument(PATH, fault, fix=FIX) from error
    return report


def _read(found: Mapping[str, Any]) -> ReadReport:
    run, checks = found["run"], found["checks"]
    page = Page(
        State(found["verdict"]),
        found["headline"],
        Tally(checks["passed"], checks["needs_owner"], checks["failed"], checks["not_run"]),
        tuple(map(_finding, found["findings"])),
        tuple(map(_not_run, found["not_run"])),
        json_blocks.decode(found["sections"]),
        RunInfo(
            tuple(run["commands"]), run["base"], run["head"], _hardware(run["hardware"]), tuple(run["uncommitted"])
        ),
    )
    pictures = tuple(PictureFiles(one["name"], one["light"], one["dark"], one["width"]) for one in found["pictures"])
    return ReadReport(page, pictures)


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(
        CheckName(row["check"]), _artifact(row["artifact"]), Verdict(row["verdict"]), row["message"], row["path"],
        row["line"], row["fix"],
    )  # fmt: skip


def _not_run(row: Mapping[str, Any]) -> Outcome:
    return Outcome(CheckName(row["check"]), _artifact(row["artifact"]), not_run=row["because"])


def _artifact(text: str | None) -> ArtifactId | None:
    return names.parse_id(text) if text is not None else None


def _hardware(row: Mapping[str, Any]) -> Hardware:
    return Hardware(**{**row, "seconds": row["seconds"] or 0.0})
