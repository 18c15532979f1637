"""What Looker returned for a query, read as rows, and judged: complete, with images, and each image once."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from registry.core.values import DatasetManifest, Look
from registry.core.wording import join, plural
from registry.dataset import evidence, exports
from registry.errors import InvalidData

if TYPE_CHECKING:
    from registry.integrations.looker import QueryResult

NAME = "the Looker result"


def read(result: "QueryResult", manifest: DatasetManifest) -> pl.DataFrame:
    """The rows of a result, sorted by uuid. Raises InvalidData where there are none, rows are invalid, or some lack.

    What decides about the rows and is not in the manifest is part of the message.
    """
    if _is_empty(result):
        raise InvalidData(
            f"{NAME} has no rows; nothing was written",
            [*_describe_asker(result), *result.notes],
            fix="open the query in Looker as that user; correct the filters, or ask a Looker admin for the user "
            "attributes and permissions by which it sees rows",
        )
    zone = exports.Zone(result.timezone)
    try:
        frame = exports.read(result.rows, manifest, zone=zone, name=NAME, is_raw=True).frame
    except InvalidData as error:
        details = [*error.problems, *_explain(result, error.problems)]
        summary = f"{NAME} does not match {manifest.id}/dataset.yaml; nothing was written"
        raise InvalidData(summary, details, fix=error.fix) from error
    _require_complete(result, manifest, frame)
    return frame


def _is_empty(result: "QueryResult") -> bool:
    with result.rows.open("rb") as rows:
        return rows.read(64).split() in ([b"[]"], [b"[", b"]"])


def _explain(result: "QueryResult", problems: Sequence[str]) -> Iterator[str]:
    """What Looker's description of the explore says about the problems, and what else decides about the rows."""
    if any("duplicate UUID" in problem for problem in problems):
        yield from dict.fromkeys(result.repeating.values())
    yield from (f"note: {line}" for line in result.notes)


def _describe_asker(result: "QueryResult") -> Iterator[str]:
    if asker := result.origin.asked_by:
        yield f"the query was run by {evidence.describe_asker(asker)}"


def _require_complete(result: "QueryResult", manifest: DatasetManifest, frame: pl.DataFrame) -> None:
    """The last rows by uuid, which Looker returned by themselves, are part of the result.

    A result that was cut off has a beginning of the rows in the order of their UUIDs, which are unique, so it lacks the
    last. Raises InvalidData.
    """
    zone = exports.Zone(result.timezone)
    last = exports.read(result.last, manifest, zone=zone, name=NAME, is_raw=True).frame
    missing = last.join(frame, on="uuid", how="anti")
    if len(missing):
        raise InvalidData(
            f"Looker returned {plural(len(frame), 'row')}, but not the last by uuid; nothing was written",
            ["the result was cut off, or images were added while it was read", *_describe_asker(result)],
            fix="select again; if it is cut off again, ask a Looker admin for the permission download_without_limit",
        )


def notes(result: "QueryResult", manifest: DatasetManifest, rows: int) -> Iterator[str]:
    """What decided about the rows and is not in the manifest, and where a Look shows fewer than it has."""
    if isinstance(manifest.source, Look) and result.limit is not None and result.limit < rows:
        order = f" by {join(list(result.order))}" if result.order else ""
        yield f"Look {manifest.source.id} shows {plural(result.limit, 'row')}{order}; all {rows:,} were taken"
    yield from result.notes
