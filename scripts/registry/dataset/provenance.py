"""Where a selection came from: the hash of its query, and the facts that `raw.dvc` has under `meta.selection`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime

from registry.core import bounds, documents
from registry.core.documents import Document
from registry.core.values import DatasetManifest, Look, Selection
from registry.errors import InvalidDocument

KEY = "selection"


def query_hash(manifest: DatasetManifest, query: Mapping[str, object] | None) -> str:
    """The SHA-256 of the manifest's source and columns, and for a Look also of the query that it had.

    `query` is the query that Looker ran (`Selection.query`); it is only used for a Look.
    """
    source = manifest.source
    compared = {field.name: getattr(source, field.name) for field in fields(source) if field.compare}
    parts = {type(source).__name__: compared, **({"query": query} if isinstance(source, Look) else {})}
    columns = [
        [column.name, column.source, column.type, *([] if column.null_values is None else [column.null_values])]
        for column in manifest.columns
    ]
    return hashlib.sha256(json.dumps([parts, columns], sort_keys=True).encode()).hexdigest()


def to_meta(selection: Selection) -> dict[str, object]:
    """The facts as `meta` of `raw.dvc`, without those that are None."""
    facts = {field.name: getattr(selection, field.name) for field in fields(Selection)}
    at = selection.selected_at.astimezone(UTC)
    facts["selected_at"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {KEY: {name: fact for name, fact in facts.items() if fact is not None}}


def read(pointer: bytes, path: str) -> Selection:
    """The facts in a `raw.dvc`. Raises InvalidDocument where they are missing or invalid."""
    return parse(documents.read_yaml(pointer, path))


def parse(document: Document) -> Selection:
    """The facts in a parsed `raw.dvc`. Raises InvalidDocument where they are missing or invalid."""
    try:
        facts = dict(document.data["meta"][KEY])
        facts["selected_at"] = datetime.fromisoformat(facts["selected_at"])
        facts["selected_at"].astimezone(UTC)  # a year that no other zone has
        facts["rows"] = bounds.count(facts["rows"])
        selection = Selection(**facts)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise _invalid(document) from error
    if not _has_types(selection):
        raise _invalid(document)
    return selection


def _invalid(document: Document) -> InvalidDocument:
    fix = "restore it from Git, or delete it and run `registry select`"
    line = document.line(("meta", KEY))
    return InvalidDocument(document.path, "meta.selection is missing or invalid", line=line, fix=fix)


def _has_types(selection: Selection) -> bool:
    """Whether every fact has its type: the file is text that anybody can edit."""
    texts = (selection.rows_hash, selection.query_hash, selection.origin)
    optional = (selection.share_url, selection.looker_release, selection.sql_hash)
    return (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in optional)
        and (selection.query is None or isinstance(selection.query, Mapping))
    )
