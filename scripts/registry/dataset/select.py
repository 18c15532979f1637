"""How a Looker query or an export becomes a selection: rows with where they came from, a plan, then files.

Written in this order, each file whole or not at all: the objects in DVC's cache, `.gitignore`, `raw/selection.parquet`,
and `raw.dvc` last, so that what Git knows is always readable and running again finishes a run that was killed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import polars as pl

from registry.core import pointers
from registry.core.atomic_write import clear_leftovers, is_leftover, write_atomically
from registry.core.layout import manifest_path, raw_pointer, selection_path
from registry.core.values import ArtifactId, DatasetManifest, Export, LookerQuery, Output, Selection
from registry.dataset import exports, provenance
from registry.errors import InvalidData, InvalidDocument, Refused
from registry.sync import dir_listing

if TYPE_CHECKING:
    from registry.integrations.looker import QueryResult

FILE = "selection.parquet"
IGNORED = ("/raw", "/prepared")
READ_ONLY = 0o444  # what DVC gives the objects of its cache, so that a link to one cannot be written through


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a selection, sorted by uuid, and where they came from."""

    frame: pl.DataFrame
    origin: Selection


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What a dataset's folder holds: raw.dvc and what it says, the rows that it names if they are here, .gitignore."""

    pointer: bytes | None = None
    output: Output | None = None
    origin: Selection | None = None
    rows: pl.DataFrame | None = None
    ignore: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a selection writes: objects by md5 into the cache, then files by path from the root, in this order."""

    summary: tuple[str, ...]
    objects: Mapping[str, bytes]
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return "\n".join(self.summary)


# --- rows -------------------------------------------------------------------------------------------------------------


def from_export(manifest: DatasetManifest, file: Path) -> Rows:
    """The rows of an exported file. Raises as `tables.read`."""
    timezone = manifest.source.timezone if isinstance(manifest.source, LookerQuery) else "UTC"
    frame = exports.read(file, manifest, timezone=timezone)
    return Rows(frame, _origin(manifest, frame, file.name))


def from_looker(manifest: DatasetManifest, root: Path) -> Rows:
    """The rows that Looker has for the manifest's source. Raises as `looker.run_query` and `tables.read`.

    Raises InvalidData when Looker counts other images than it sent, and Refused where the source is an export.
    """
    from registry.integrations import looker  # the SDK takes half a second to import

    if isinstance(manifest.source, Export):
        raise Refused(
            f"{manifest_path(manifest.id)}: its rows come from an export: {manifest.source.description}",
            fix=f"export them, then registry select {manifest.id} --from FILE",
        )
    with TemporaryDirectory(prefix="registry-select-") as folder:
        result = looker.run_query(manifest.source, manifest.columns, root=root, folder=Path(folder))
        frame = exports.read(result.rows, manifest, timezone=result.timezone, name="Looker's result")
    if result.images != len(frame):
        raise InvalidData(
            f"Looker sent {len(frame):,} images but counts {result.images:,}; nothing was written",
            ["it cut its answer short, or the images changed in between, or a filter is on a measure"],
            fix="try again; then let the API key download without limit, or export the rows and use --from FILE",
        )
    return Rows(frame, _origin(manifest, frame, "looker", result))


def _origin(
    manifest: DatasetManifest, frame: pl.DataFrame, name: str, result: "QueryResult | None" = None
) -> Selection:
    query = result.query if result else None
    return Selection(
        rows=len(frame),
        rows_hash=exports.rows_hash(frame),
        query_hash=provenance.query_hash(manifest, query),
        origin=name,
        selected_at=datetime.now(UTC).replace(microsecond=0),
        share_url=result.share_url if result else None,
        looker_release=result.release if result else None,
        sql_hash=result.sql_hash if result else None,
        query=query,
    )


# --- the plan ---------------------------------------------------------------------------------------------------------


def before(root: Path, artifact: ArtifactId) -> Before:
    """What is there. Raises Refused where writing would follow a link or lose a file, or where reading fails."""
    try:
        _require_place(root, artifact)
        ignore, path = root / str(artifact) / ".gitignore", raw_pointer(artifact)
        ignored = ignore.read_bytes() if ignore.is_file() else b""
        if not (root / path).is_file():
            return Before(ignore=ignored)
        pointer = (root / path).read_bytes()
        output, origin = pointers.read_pointer(pointer, path), provenance.read(pointer, path)
        return Before(pointer, output, origin, _rows_before(root / selection_path(artifact), output, artifact), ignored)
    except InvalidDocument as error:
        fix = "take it back from Git, or delete it, and select again"
        raise InvalidDocument(error.path, error.fault, line=error.line, fix=fix) from error
    except OSError as error:
        raise Refused(f"{error.filename} cannot be read: {error.strerror}", fix="let yourself read it") from error


def _require_place(root: Path, artifact: ArtifactId) -> None:
    folder = root / str(artifact)
    raw = folder / "raw"
    for path in (folder.parent, folder, raw, root / raw_pointer(artifact)):
        if path.is_symlink():
            name = path.relative_to(root)
            raise Refused(f"{name} is a symbolic link, which could lead anywhere", fix=f"put what it names at {name}")
    for path in sorted(raw.iterdir()) if raw.exists() else ():
        if path.name != FILE and not is_leftover(path, FILE):
            raise Refused(f"{artifact}/raw holds {path.name}, which is no part of a selection", fix="move it elsewhere")


def _rows_before(file: Path, output: Output, artifact: ArtifactId) -> pl.DataFrame | None:
    """The rows of an output, if this is their file."""
    data = file.read_bytes() if file.is_file() else b""
    is_theirs = dir_listing.md5_of(_listing(_md5(data))) == output.md5
    return exports.read_selection(data, selection_path(artifact)) if is_theirs else None


def plan(artifact: ArtifactId, rows: Rows, known: Before) -> Plan:
    """What is to be written. The same rows for the same question leave `raw.dvc` as it is, byte for byte."""
    data = exports.write_selection(rows.frame)
    listing = _listing(_md5(data))
    output = Output(f"{artifact}/raw", dir_listing.md5_of(listing), len(data), nfiles=1)
    pointer = pointers.write_pointer(output, provenance.to_meta(rows.origin))
    summary = (f"{artifact}: {_counted(rows)}", *_changes(rows, known))
    if known.origin and _identity(known.origin) == _identity(rows.origin):
        pointer = known.pointer
        if known.output.md5 != output.md5:  # another release of Polars wrote the same rows
            return Plan((*summary, "to have them here: registry pull"), {}, {})
    files = {
        f"{artifact}/.gitignore": _ignoring(known.ignore),
        selection_path(artifact): data,
        raw_pointer(artifact): pointer,
    }
    return Plan(summary, {_md5(data): data, output.md5: listing}, files)


def _identity(origin: Selection) -> tuple[str, str]:
    return origin.rows_hash, origin.query_hash


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _listing(md5: str) -> bytes:
    return dir_listing.write(pl.DataFrame({"md5": [md5], "relpath": [FILE]}))


def _ignoring(ignore: bytes) -> bytes:
    lines = ignore.decode(errors="surrogateescape").splitlines()
    missing = [line for line in IGNORED if line not in lines]
    if not missing:
        return ignore
    return ("\n".join([*lines, *missing]) + "\n").encode(errors="surrogateescape")


# --- what it says -----------------------------------------------------------------------------------------------------


def _counted(rows: Rows) -> str:
    counts = rows.frame.group_by("label").len().sort("len", "label", descending=[True, False]).rows()
    shown = [f"{label} {count:,}" for label, count in counts[:10]]
    rest = [f"{len(counts) - 10:,} more classes"] if len(counts) > 10 else []
    return f"{len(rows.frame):,} rows from {rows.origin.origin} ({', '.join([*shown, *rest])})"


def _changes(rows: Rows, known: Before) -> tuple[str, ...]:
    if known.origin is None:
        return ("its first selection",)
    identities = zip(_identity(rows.origin), _identity(known.origin), strict=True)
    same_rows, same_question = (new == old for new, old in identities)
    question = "the question is the same" if same_question else "the question changed"
    since = f"since {known.origin.selected_at:%Y-%m-%d %H:%M} UTC"
    if same_rows:
        return (f"{question}, the rows are the same {since}",)
    if known.rows is None:
        return (f"{question}, the rows changed {since}; those are not here to compare (registry pull)",)
    return (f"{question}, the rows changed {since}: {_compared(rows.frame, known.rows)}",)


def _compared(new: pl.DataFrame, old: pl.DataFrame) -> str:
    added, removed = (one.join(other, on="uuid", how="anti") for one, other in ((new, old), (old, new)))
    counts = f"{len(added):,} added, {len(removed):,} removed"
    if new.schema != old.schema:
        return f"{counts}; the columns were {', '.join(old.columns)}"
    unequal = new.join(old, on=new.columns, how="anti", nulls_equal=True)
    return f"{counts}, {len(unequal) - len(added):,} with other values"


# --- writing ----------------------------------------------------------------------------------------------------------


def apply(made: Plan, root: Path, cache: Path) -> None:
    """Write the plan; `cache` is DVC's cache folder. What is there already with the same bytes is left alone.

    Raises StorageFailed; whatever the moment, what was there before can still be read, and applying again finishes.
    """
    for md5, data in made.objects.items():
        _write(cache / pointers.object_key(md5), data, mode=READ_ONLY)
    for path, data in made.files.items():
        _write(root / path, data, mode=0o644)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    clear_leftovers(path)
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, data, mode=mode)
