"""Where a selection came from: the hashes of its source and query, and what `raw.dvc` has under `meta.selection`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime

from registry.core import bounds, documents
from registry.core.documents import Document
from registry.core.values import Asker, DatasetManifest, Delivery, Export, Lookml, Selection
from registry.errors import InvalidDocument

KEY = "selection"
PARTS = {"asked_by": Asker, "lookml": Lookml, "delivery": Delivery}  # facts that are mappings of texts


def source_hash(manifest: DatasetManifest) -> str:
    """The SHA-256 of the manifest's source and columns: a selection with another one is outdated."""
    source = manifest.source
    compared = {field.name: getattr(source, field.name) for field in fields(source) if field.compare}
    if isinstance(source, Export):  # the headers say what is read of a file, not what Looker is asked
        compared |= {"place": source.place and str(source.place)}
        compared |= {"headers": {column.name: column.headers for column in manifest.columns if column.headers}}
    optional = ("null_values", "timezone")
    columns = [
        [column.name, column.source, column.type]
        + [value for name in optional if (value := getattr(column, name)) is not None]
        + (["kept"] if column.kept else [])
        for column in manifest.columns
    ]
    return _digest([{type(source).__name__: compared}, columns])


def query_hash(query: Mapping[str, object]) -> str:
    """The SHA-256 of a query as it was run (`Selection.query`)."""
    return _digest(dict(query))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def to_meta(selection: Selection) -> dict[str, object]:
    """The facts as `meta` of `raw.dvc`, without those that are None."""
    facts = {field.name: getattr(selection, field.name) for field in fields(Selection)}
    facts |= {name: asdict(facts[name]) for name in PARTS if facts[name] is not None}
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
        facts |= {name: part(**facts[name]) for name, part in PARTS.items() if name in facts}
        selection = Selection(**facts)
        if not _has_types(selection):
            raise _invalid(document)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise _invalid(document) from error
    return selection


def _invalid(document: Document) -> InvalidDocument:
    fix = "restore it from Git, or delete it and run `registry select`"
    line = document.line(("meta", KEY))
    return InvalidDocument(document.path, "meta.selection is missing or invalid", line=line, fix=fix)


def _has_types(selection: Selection) -> bool:
    """Whether every fact has its type, and a query its hash: the file is text that anybody can edit."""
    asker, lookml = selection.asked_by or Asker(""), selection.lookml or Lookml("", "")
    texts: list[object] = [selection.rows_hash, selection.source_hash, selection.origin]
    delivery = selection.delivery or Delivery("", "", "")
    texts += [asker.id, asker.name, lookml.project, lookml.commit, delivery.url, delivery.etag, delivery.modified]
    optional: list[object] = [selection.file_hash, selection.query_hash, selection.sql_hash, selection.workspace]
    texts += [text for text in (*optional, selection.looker_release, selection.share_url) if text is not None]
    flag: object = asker.service_account
    if not all(isinstance(text, str) for text in texts) or not isinstance(flag, bool):
        return False
    return selection.query_hash == (None if selection.query is None else query_hash(selection.query))
