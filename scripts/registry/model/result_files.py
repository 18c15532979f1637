"""The forms of single training results: their names, the lock, metrics, plots."""

import csv
import io
import re
from collections.abc import Collection, Mapping
from math import isfinite
from pathlib import PurePosixPath
from typing import Any

from registry.core import declared_results, documents, output_names, pointers, schema
from registry.errors import InvalidDocument

MAX_BYTES = documents.MAX_BYTES  # of one file, as in `registry check`
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
# An SVG is a page with scripts, so it is none of these.
ENDINGS = frozenset({".json", ".yaml", ".yml", ".toml", ".csv", ".tsv", *PICTURES})
_PLAIN = re.compile(r"[A-Za-z0-9_. /-]+")
_FIX = "let the training write it with DVC's or Python's own writers"


def fault_of_name(path: str) -> str:
    """What is wrong with the name of a metrics or plots file; empty where nothing is."""
    if not _PLAIN.fullmatch(path):
        return "has characters other than letters, digits, spaces and _ . -"
    if fault := output_names.find_fault(path):
        return fault
    if PurePosixPath(path).suffix.lower() not in ENDINGS:
        return f"ends with none of {' '.join(sorted(ENDINGS))}"
    return ""


def require_lock(data: bytes, path: str, stages: Collection[str]) -> None:
    """Raise InvalidDocument for a lock that does not follow its schema, or has other `stages`, or outputs elsewhere."""
    document = documents.read_yaml(data, path)
    schema.require(document, "lock")
    recorded = document.data.get("stages", {})
    fix = f"dvc repro {path.removesuffix('lock')}yaml"
    if recorded.keys() != set(stages):
        names = " and ".join(sorted(recorded)) or "no stage"
        raise InvalidDocument(path, f"records {names}, expected {' and '.join(sorted(stages))}", fix=fix)
    if not pointers.parse_lock(document).outs:
        raise InvalidDocument(path, "records no output", fix=fix)


def require_metrics(data: bytes, path: str) -> None:
    """Raise InvalidDocument for metrics that are no mapping, or have NaN, infinite numbers or duplicate keys."""
    _require_finite(declared_results.read_metrics(data, path), path)


def _require_finite(value: Any, path: str) -> None:
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _require_finite(one, path)
    if isinstance(value, float) and not isfinite(value):
        raise InvalidDocument(path, f"{value} is not allowed as a number", fix=_FIX)


def require_plot(data: bytes, path: str) -> None:
    """Raise InvalidDocument for a plot that is not in the form that its name says."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in PICTURES:
        if not data.startswith(PICTURES[suffix]):
            raise InvalidDocument(path, f"is no {suffix[1:].upper()} picture", fix=_FIX)
        return
    text = _text(data, path)
    if suffix == ".json":
        documents.read_json(data, path, is_finite=False)  # thresholds of a curve are infinite
    elif suffix in {".csv", ".tsv"}:
        _require_table(text, path, "," if suffix == ".csv" else "\t")
    elif suffix == ".toml":
        declared_results.read_metrics(data, path)
    else:
        documents.read_yaml(data, path)


def _text(data: bytes, path: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidDocument(path, "not UTF-8 text", fix=_FIX) from error
    if "\0" in text:
        raise InvalidDocument(path, "has a NUL character", fix=_FIX)
    return text


def _require_table(text: str, path: str, delimiter: str) -> None:
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        raise InvalidDocument(path, f"is not a valid table: {error}", fix=_FIX) from error
