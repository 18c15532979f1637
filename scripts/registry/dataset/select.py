"""How a Looker query or an export becomes a selection: rows and their origin, then a plan, then files.

Files are written atomically, in this order: objects in DVC's cache, `.gitignore`, `raw/selection.parquet`, and
`raw.dvc` last. So what Git tracks is always readable, and a killed run is finished by running it again.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from registry.core import digests, pointers
from registry.core.adoption import Adopted
from registry.core.artifact_files import Reader
from registry.core.atomic_write import clear_leftovers, is_leftover, write_atomically
from registry.core.layout import manifest_path, raw_pointer, selection_path
from registry.core.values import (
    ArtifactId,
    DatasetManifest,
    Delivery,
    Export,
    Output,
    Selection,
)
from registry.dataset import evidence, exports, file_control, looker_result, provenance
from registry.dataset.file_control import How
from registry.errors import InvalidData, InvalidDocument, Refused
from registry.storage import proofs
from registry.storage.cache import Cache
from registry.sync import dir_listing

if TYPE_CHECKING:
    from registry.integrations.looker import QueryResult

FILE = "selection.parquet"
LOOKER = "looker"  # the origin of what Looker answered; an export's is the file's name
IGNORED = ("/raw", "/prepared")
READ_ONLY = 0o444  # what DVC gives the objects of its cache, so that a link to one cannot be written through


@dataclass(frozen=True, slots=True, eq=False)
class SelectedRows:
    """The rows of a selection, sorted by uuid, their origin, and what a person should know of how they were read."""

    frame: pl.DataFrame
    origin: Selection
    unknown: tuple[str, ...] = ()  # what Looker did not tell about their origin, each with the reason
    notes: tuple[str, ...] = ()  # what a person should know of how a file was read
    types: Mapping[str, str] | None = None  # LookML's, by field, where Looker told them


@dataclass(frozen=True, slots=True, eq=False)
class Previous:
    """A selection in the working tree: raw.dvc, parsed, and its file; no bytes where it has to be pulled first."""

    pointer: bytes
    output: Output
    origin: Selection
    file: bytes

    @property
    def rows(self) -> pl.DataFrame | None:
        """The rows of the file, which are ten times as large: they are decoded each time, and not kept."""
        return exports.read_selection(self.file, f"{self.output.path}/{FILE}") if self.file else None


@dataclass(frozen=True, slots=True, eq=False)
class Current:
    """What a dataset's folder holds before a selection is written: the previous one, and .gitignore."""

    previous: Previous | None = None
    ignore: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a selection writes, in this order: objects by MD5 into the cache, files by path from the root."""

    summary: tuple[str, ...]
    objects: Mapping[str, bytes]
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return "\n".join(self.summary)


# --- rows -------------------------------------------------------------------------------------------------------------


def from_export(
    manifest: DatasetManifest, file: Path, root: Path, how: How | None = None, delivery: Delivery | None = None
) -> SelectedRows:
    """The rows of an exported file, or of a delivery that was downloaded into `file`.

    Raises as `exports.read`, and Refused where a limit may have cut it off.
    """
    how, name = how or How(), delivery.url if delivery else str(file)
    learnt = file_control.find_zone(manifest, how, root)
    try:
        read = exports.read(file, manifest, zone=learnt.zone, name=name)
    except InvalidData as error:
        raise InvalidData(error.message, [*error.problems, *map(_unknown, learnt.unknown)], fix=error.fix) from error
    whole = tuple(file_control.require_whole(read.frame, name, manifest, how, root))
    origin = _origin(manifest, read.frame, delivery.url if delivery else file.name)
    origin = replace(origin, file_hash=_hash_file(file), delivery=delivery)
    return SelectedRows(read.frame, origin, notes=(*read.notes, *whole))


def _unknown(line: str) -> str:
    return f"not known from Looker: {line}"


def is_current(manifest: DatasetManifest, current: Current, delivery: Delivery) -> bool:
    """Whether the selection was made of this very delivery, and by the source and columns that the manifest has now."""
    origin = current.previous.origin if current.previous else None
    same = origin is not None and origin.delivery == delivery and bool(delivery.etag)
    return same and origin is not None and origin.source_hash == provenance.source_hash(manifest)


def _hash_file(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def from_looker(manifest: DatasetManifest, root: Path) -> SelectedRows:
    """The result of the manifest's Looker query. Raises as `looker.run_query` and `looker_result.read`.

    Raises Refused where the source is an export.
    """
    from registry.integrations import looker  # the SDK takes half a second to import

    if isinstance(manifest.source, Export):
        raise Refused(
            f"{manifest_path(manifest.id)}: the source is an export: {manifest.source.description}",
            fix=f"registry select {manifest.id} --from FILE",
        )
    if isinstance(manifest.source, Adopted):
        raise Refused(
            f"{manifest_path(manifest.id)}: the source is no query: it was adopted from {manifest.source}",
            fix=f"{manifest.source.command(manifest.id)}; or write another source",
        )
    with TemporaryDirectory(prefix="registry-select-") as folder:
        result = looker.run_query(manifest.source, manifest.columns, root=root, folder=Path(folder))
        frame = looker_result.read(result, manifest)
    notes = tuple(f"note: {line}" for line in looker_result.notes(result, manifest, len(frame)))
    return SelectedRows(frame, _origin(manifest, frame, LOOKER, result), result.unknown, notes, result.types)


def _origin(
    manifest: DatasetManifest, frame: pl.DataFrame, name: str, result: "QueryResult | None" = None
) -> Selection:
    made = Selection(
        rows=len(frame),
        rows_hash=exports.rows_hash(frame),
        source_hash=provenance.source_hash(manifest),
        origin=name,
        selected_at=datetime.now(UTC).replace(microsecond=0),
    )
    if result is None:
        return made
    origin = result.origin
    return replace(
        made,
        query=result.query,
        query_hash=provenance.query_hash(result.query),
        sql_hash=origin.sql_hash,
        asked_by=origin.asked_by,
        workspace=origin.workspace,
        lookml=origin.lookml,
        looker_release=origin.release,
        share_url=origin.share_url,
    )


# --- the plan ---------------------------------------------------------------------------------------------------------


def read_current(root: Path, artifact: ArtifactId, read_object: Reader | None = None) -> Current:
    """What the folder holds; with `read_object`, rows that are not in the working tree are read from stores.

    Raises Refused where writing would follow a link or lose a file, or reading fails.
    """
    try:
        _require_safe_folder(root, artifact)
        ignore, path = root / str(artifact) / ".gitignore", raw_pointer(artifact)
        ignored = ignore.read_bytes() if ignore.is_file() else b""
        if not (root / path).is_file():
            return Current(ignore=ignored)
        pointer = (root / path).read_bytes()
        output, origin = pointers.read_pointer(pointer, path), provenance.read(pointer, path)
        previous = Previous(pointer, output, origin, _read_file(root / selection_path(artifact), output, read_object))
        _ = previous.rows  # a damaged file is refused before Looker runs the query
        return Current(previous, ignored)
    except InvalidDocument as error:
        fix = "restore it from Git, or delete it; then select again"
        raise InvalidDocument(error.path, error.fault, line=error.line, fix=fix) from error
    except OSError as error:
        raise Refused(
            f"{error.filename} cannot be read: {error.strerror}", fix="check the permissions of the file"
        ) from error


def _require_safe_folder(root: Path, artifact: ArtifactId) -> None:
    folder = root / str(artifact)
    raw = folder / "raw"
    for path in (folder.parent, folder, raw, root / raw_pointer(artifact)):
        if path.is_symlink():
            name = path.relative_to(root)
            raise Refused(f"{name} is a symbolic link", fix="replace it by a regular file or folder")
    for path in sorted(raw.iterdir()) if raw.exists() else ():
        if path.name != FILE and not is_leftover(path, FILE):
            raise Refused(f"{artifact}/raw: unexpected file {path.name}", fix="move it elsewhere")


def _read_file(file: Path, output: Output, read_object: Reader | None) -> bytes:
    """The file of an output, if it is the one that the output names, or else a store has it; or no bytes."""
    data = file.read_bytes() if file.is_file() else b""
    if dir_listing.md5_of(_listing(digests.md5(data))) == output.md5:
        return data
    return _fetch(output, read_object) if read_object else b""


def _fetch(output: Output, read_object: Reader) -> bytes:
    """The file of an output from the stores; empty where none has it."""
    listing = read_object(output.md5)
    files = dir_listing.read(listing, output.md5)["md5"].to_list() if listing else []
    return (read_object(files[0]) if files else None) or b""


def plan(artifact: ArtifactId, rows: SelectedRows, current: Current) -> Plan:
    """What is to be written. The same rows of the same source leave `raw.dvc` as it is, byte for byte.

    So does a file with the rows that the query returned; where a query returns the rows of a file, its facts are new.
    """
    data = exports.write_selection(rows.frame)
    md5, previous = digests.md5(data), current.previous
    listing = _listing(md5)
    output = Output(f"{artifact}/raw", dir_listing.md5_of(listing), len(data), nfiles=1)
    pointer = pointers.write_pointer(output, provenance.to_meta(rows.origin))
    unknown = map(_unknown, rows.unknown)
    first = f"{artifact}: {_describe_rows(rows)}"
    summary = (first, _describe_change(rows, previous), *rows.notes, *unknown)
    if previous and _is_same(previous.origin, rows.origin):
        pointer = previous.pointer
        if previous.output.md5 != output.md5:  # another release of Polars wrote the same rows
            return Plan((*summary, "run `registry pull` to download the selection"), {}, {})
    files = {
        f"{artifact}/.gitignore": _add_ignored(current.ignore),
        selection_path(artifact): data,
        raw_pointer(artifact): pointer,
    }
    return Plan(summary, {md5: data, output.md5: listing}, files)


def require_kept(manifest: DatasetManifest, rows: SelectedRows, current: Current) -> None:
    """Stops where a new result of the same query lacks more images than `expectations.max_removed_share` allows.

    Where the previous rows are not here, at least as many are missing as there are fewer rows. Raises InvalidData.
    """
    limit, previous = manifest.expectations.max_removed_share, current.previous
    if limit is None or previous is None or previous.origin.source_hash != rows.origin.source_hash:
        return
    before = previous.origin.rows
    old = previous.rows
    missing = before - len(rows.frame) if old is None else _compare(rows.frame, old).removed
    if missing > limit * before:
        share = f"{missing:,} of {before:,} images ({missing / before:.1%})"
        raise InvalidData(
            f"{manifest.id}: {share} of the previous selection are missing, expected at most {limit:.4g} "
            "(max_removed_share); nothing was written",
            [evidence.describe(previous.origin, rows.origin)],
            fix="if they are to be removed, raise expectations.max_removed_share in dataset.yaml; "
            "else compare the rights of the API key's user and the LookML",
        )


def _is_same(old: Selection, new: Selection) -> bool:
    hashes = {(origin.rows_hash, origin.source_hash) for origin in (old, new)}
    return len(hashes) == 1 and new.query_hash in {None, old.query_hash}


def _listing(md5: str) -> bytes:
    return dir_listing.write(pl.DataFrame({"md5": [md5], "relpath": [FILE]}))


def _add_ignored(ignore: bytes) -> bytes:
    lines = ignore.decode(errors="surrogateescape").splitlines()
    missing = [line for line in IGNORED if line not in lines]
    if not missing:
        return ignore
    return ("\n".join([*lines, *missing]) + "\n").encode(errors="surrogateescape")


# --- summary ----------------------------------------------------------------------------------------------------------


def _describe_rows(rows: SelectedRows) -> str:
    counts = rows.frame.group_by("label").len().sort("len", "label", descending=[True, False]).rows()
    shown = [f"{label} {count:,}" for label, count in counts[:10]]
    rest = [f"{len(counts) - 10:,} more classes"] if len(counts) > 10 else []
    return f"{len(rows.frame):,} rows from {rows.origin.origin} ({', '.join([*shown, *rest])})"


def _describe_change(rows: SelectedRows, previous: Previous | None) -> str:
    if previous is None:
        return "first selection"
    query = evidence.describe(previous.origin, rows.origin)
    since = f"since {previous.origin.selected_at:%Y-%m-%d %H:%M} UTC"
    if rows.origin.rows_hash == previous.origin.rows_hash:
        return f"{query}; rows unchanged {since}"
    if (old := previous.rows) is None:
        return f"{query}; rows changed {since}; run `registry pull` to compare them"
    return f"{query}; rows changed {since}: {_describe_difference(rows.frame, old)}"


def _describe_difference(new: pl.DataFrame, old: pl.DataFrame) -> str:
    found = _compare(new, old)
    counts = f"{found.added:,} added, {found.removed:,} removed"
    if new.schema != old.schema:
        return f"{counts}; the columns were {', '.join(old.columns)}"
    return f"{counts}, {found.changed:,} changed"


class _Difference(NamedTuple):
    """Numbers of rows; where the columns differ, none is counted as changed."""

    added: int
    removed: int
    changed: int


def _compare(new: pl.DataFrame, old: pl.DataFrame) -> _Difference:
    """How two selections differ, range by range of UUIDs: the joins of ten million rows at once take 2 GB."""
    counts = [_compare_range(*both) for both in _ranges(new, old)]
    return _Difference(*map(sum, zip(*counts, strict=True)))


def _ranges(new: pl.DataFrame, old: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of both in each range of UUIDs, in their order."""
    start, old = 0, old if old["uuid"].is_sorted() else old.sort("uuid")
    for part in new.iter_slices(exports.ROWS_PER_GROUP):
        stop = old["uuid"].search_sorted(part["uuid"][-1], side="right")
        yield part, old.slice(start, stop - start)
        start = stop
    yield new.clear(), old.slice(start)


def _compare_range(new: pl.DataFrame, old: pl.DataFrame) -> _Difference:
    added, removed = (len(one.join(other, on="uuid", how="anti")) for one, other in ((new, old), (old, new)))
    if new.schema != old.schema:
        return _Difference(added, removed, 0)
    unequal = new.join(old, on=new.columns, how="anti", nulls_equal=True)
    return _Difference(added, removed, len(unequal) - added)


# --- writing ----------------------------------------------------------------------------------------------------------


def apply(plan: Plan, root: Path, cache: Path) -> None:
    """Write the plan; `cache` is DVC's cache folder. Files that are the same already are left alone.

    Raises StorageFailed. If it is interrupted, the previous selection is still readable, and applying again finishes.
    """
    store = Cache(cache, root / proofs.PATH)
    for md5, data in plan.objects.items():
        key = digests.object_key(md5)
        if os.path.lexists(cache / key) and not _holds(cache / key, data):
            store.set_aside(cache / key, key)
        _write(cache / key, data, mode=READ_ONLY)
    for path, data in plan.files.items():
        _write(root / path, data, mode=0o644)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    clear_leftovers(path)
    if not _holds(path, data):
        write_atomically(path, data, mode=mode)


def _holds(path: Path, data: bytes) -> bool:
    """Whether a path is a file of these bytes; the target of a link may be changed by others."""
    return path.is_file() and not path.is_symlink() and path.read_bytes() == data
