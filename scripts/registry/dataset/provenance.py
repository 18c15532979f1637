"""Where a selection came from: the hash of the question, and the facts that `raw.dvc` keeps under `meta.selection`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime

from registry.core import pointers
from registry.core.values import DatasetManifest, Look, Selection
from registry.errors import InvalidDocument

KEY = "selection"


def query_hash(manifest: DatasetManifest, query: Mapping[str, object] | None) -> str:
    """The SHA-256 of what is asked for: the manifest's source and columns, and for a Look the query that it had.

    `query` is what Looker was asked (`Selection.query`); a query that stands in the manifest is hashed from there.
    """
    source = manifest.source
    asked = {type(source).__name__: asdict(source), **({"query": query} if isinstance(source, Look) else {})}
    columns = [[column.name, column.source, column.type] for column in manifest.columns]
    return hashlib.sha256(json.dumps([asked, columns], sort_keys=True).encode()).hexdigest()


def to_meta(selection: Selection) -> dict[str, object]:
    """The facts as `meta` of `raw.dvc`; what is not known is left out."""
    facts = {field.name: getattr(selection, field.name) for field in fields(Selection)}
    at = selection.selected_at.astimezone(UTC)
    facts["selected_at"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {KEY: {name: fact for name, fact in facts.items() if fact is not None}}


def read(pointer: bytes, path: str) -> Selection:
    """The facts that a `raw.dvc` holds. Raises InvalidDocument where it holds none."""
    try:
        facts = dict(pointers.read_meta(pointer, path)[KEY])
        facts["selected_at"] = datetime.fromisoformat(facts["selected_at"])
        return Selection(**facts)
    except (KeyError, TypeError, ValueError) as error:
        fix = "only `registry select` writes this file: take it back from Git, or delete it and select again"
        raise InvalidDocument(path, "it does not say where its selection came from", fix=fix) from error
