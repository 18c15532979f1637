"""A manifest's query, run at the Looker of a test."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.core.values import Look, LookerQuery
from registry.integrations import looker
from support.selections import LOOKER, Row, manifest


def run_query(tmp_path: Path, source: Mapping[str, object] = LOOKER) -> looker.QueryResult:
    """The result of a source with the columns of `support.selections`; its rows lie below `tmp_path`."""
    folder = tmp_path / "results"
    folder.mkdir(exist_ok=True)
    parsed = manifest(source)
    assert isinstance(parsed.source, LookerQuery | Look)
    return looker.run_query(parsed.source, parsed.columns, root=tmp_path, folder=folder)


def rows_of(result: looker.QueryResult) -> list[Row]:
    """The rows of a result, as they came."""
    found: list[Row] = json.loads(result.rows.read_bytes())
    return found


def by_uuid(some: Sequence[Row]) -> list[Row]:
    """Rows in the order that the query of `support.selections` asks for."""
    return sorted(some, key=lambda row: str(row["images.uuid"]))
