"""How the datasets of two trees differ: the question, the items, the metadata, the version, and pictures of it all."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars import DataFrame, col

from registry.core import artifact_files, layout, versioning
from registry.core.artifact_files import Files, Part, Pointer, Reader
from registry.core.names import parse_version
from registry.core.progress import bar
from registry.core.tree import Tree
from registry.core.values import (
    ArtifactId,
    Bump,
    Content,
    DatasetManifest,
    Diff,
    Kind,
    Look,
    LookerQuery,
    Selection,
    Version,
)
from registry.dataset import change_sheets, distribution, items, near_duplicates, provenance
from registry.dataset.changes import DatasetChange, DuplicatePair, QueryChange
from registry.dataset.items import Items
from registry.errors import InvalidDocument, NotFound, RegistryError
from registry.storage.reader import require_object
from registry.sync import dir_listing

if TYPE_CHECKING:
    from registry.core.documents import Document

_SHAPE = {"schema", "name", "version", "source", "image", "columns", "classes", "split", "exclude"}  # no words
_KINDS = {  # kind of change → which rows of a `Diff` it is, and which version says what those items are like
    "added": ("new", col("md5_old").is_null()),
    "removed": ("old", col("md5_new").is_null()),
    "relabelled": ("old", col("label_old") != col("label_new")),
    "moved": ("old", col("split_old") != col("split_new")),
    "changed": ("old", col("md5_old") != col("md5_new")),
}
_SAID = {"relabelled": "label", "moved": "split"}  # columns of which the transitions tell
UNREADABLE = Version(0, 0, 0)  # of a manifest that nobody can read


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """How objects are read, and what is done with images.

    `sheets` draws contact sheets. Near-duplicates are sought in versions of at most `near_duplicates` images; None says
    nothing of them. `notes` is likeness's memory.
    """

    read: Reader
    notes: Path
    sheets: bool = False
    near_duplicates: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """A dataset in one tree, as far as its files can be read."""

    manifest: Part[DatasetManifest]
    found: Mapping[str, Part[Pointer]]
    selection: Selection | None
    card: bytes

    @property
    def prepared(self) -> str:
        """The md5 of the images' list; empty where there is none."""
        return self.content.objects.get("prepared", "") if self.manifest.value else ""

    @property
    def content(self) -> Content:
        """What Git knows of this version."""
        return artifact_files.content(self.manifest.value, self.found, None)

    @property
    def size(self) -> int:
        """Bytes of all images and tables."""
        pointer = self.found["prepared.dvc"].value if "prepared.dvc" in self.found else None
        return pointer.output.size if pointer else 0

    @property
    def version(self) -> Version:
        """The manifest's version."""
        return self.manifest.value.version if self.manifest.value else _salvage(self.manifest.document)


def _salvage(document: "Document | None") -> Version:
    try:
        return parse_version(str(document.data["version"]))
    except (AttributeError, KeyError, TypeError, RegistryError):
        return UNREADABLE


def compare(old: Tree, new: Tree, objects: DiffOptions, only: ArtifactId | None = None) -> tuple[DatasetChange, ...]:
    """Every dataset that differs between two trees (or that one), sorted by id; what cannot be read is told in each.

    Raises NotFound for `only` where neither tree has it.
    """
    before, after = artifact_files.files(old), artifact_files.files(new)
    there = {artifact for tree in (old, new) for artifact in layout.find(tree) if artifact.kind is Kind.DATASET}
    if only and only not in there:
        raise NotFound(f"{only} is a dataset neither in {old} nor in {new}", fix="see `registry list`")
    chosen = [only] if only else sorted(there)
    differing = (artifact for artifact in chosen if _files(before, artifact) != _files(after, artifact))
    return tuple(_compare(before, after, artifact, objects) for artifact in differing)


def _files(files: Files, artifact: ArtifactId) -> dict[str, bytes]:
    """A dataset's small files by name; one that is too large stands for itself."""
    paths = {name: f"{artifact}/{name}" for name in files.inside(artifact)}
    return {name: files.tree.read(path) for name, path in paths.items()}


def _compare(before: Files, after: Files, artifact: ArtifactId, objects: DiffOptions) -> DatasetChange:
    old, new = (_side(files, artifact) for files in (before, after))
    known = next((side.manifest.value for side in (new, old) if side and side.manifest.value), None)
    change = DatasetChange(
        artifact,
        known.title if known else str(artifact),
        old.version if old else None,
        new.version if new else None,
        bytes_before=old.size if old else 0,
        bytes_after=new.size if new else 0,
    )
    for side in (old, new):
        if side and side.manifest.faults:
            fault = side.manifest.faults[0]
            return replace(change, unknown=f"{side.manifest.path}:{fault.line}: {fault.message}")
    return _with_items(_told(change, old, new), old, new, objects)


def _side(files: Files, artifact: ArtifactId) -> _Side | None:
    if layout.manifest_path(artifact) not in files.entries:
        return None
    paths = {name: f"{artifact}/{name}" for name in files.inside(artifact)}
    found = {
        name: artifact_files.pointer(files, path) for name, path in paths.items() if name in {"raw.dvc", "prepared.dvc"}
    }
    raw, card = layout.raw_pointer(artifact), layout.card_path(artifact)
    try:
        selection = provenance.read(files.read(raw), raw) if raw in files.entries else None
    except InvalidDocument:
        selection = None
    text = files.tree.read(card) if card in files.entries else b""
    return _Side(artifact_files.manifest(files, artifact), found, selection, text)


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


# --- from the files in Git --------------------------------------------------------------------------------------------


def _told(change: DatasetChange, old: _Side | None, new: _Side | None) -> DatasetChange:
    """The change with what the files in Git tell: the question, the words, the bump that was declared."""
    if old is None or new is None:
        return replace(change, query_change=QueryChange.FIRST if old is None else QueryChange.UNCHANGED)
    query_change = _query_change(old, new)
    differs = query_change is QueryChange.QUERY
    return replace(
        change,
        query_change=query_change,
        queries=(describe(old.manifest.value, old.selection), describe(new.manifest.value, new.selection))
        if differs
        else ("", ""),
        declared=declared(change.old, change.new),
        metadata_changes=tuple(_words(old, new)),
        unknown=_stale(new),
    )


def _query_change(old: _Side, new: _Side) -> QueryChange:
    hashes = [_hash(side) for side in (old, new)]
    if hashes[0] != hashes[1]:
        return QueryChange.QUERY
    rows = [side.selection.rows_hash if side.selection else side.content.objects.get("raw") for side in (old, new)]
    return QueryChange.UNCHANGED if rows[0] == rows[1] else QueryChange.RESULT


def _hash(side: _Side) -> str:
    """The question of the manifest, which the next selection asks; a Look has the query that the last one found."""
    return provenance.query_hash(side.manifest.value, side.selection.query if side.selection else None)


def _stale(side: _Side) -> str:
    if side.selection and _hash(side) != side.selection.query_hash:
        return "what the new question answers: the manifest asks another one than its selection (`registry select`)"
    return ""


def describe(manifest: DatasetManifest, selection: Selection | None) -> str:
    """A dataset's question as lines that a person can compare."""
    lines = [*_source_lines(manifest, selection)]
    lines += [f"column {one.name}: {one.source} ({one.type})" for one in manifest.columns]
    return "\n".join(lines)


def _source_lines(manifest: DatasetManifest, selection: Selection | None) -> Iterator[str]:
    source = manifest.source
    if isinstance(source, LookerQuery):
        yield f"looker {source.model}/{source.view}"
        yield from (f"filter {field}: {value}" for field, value in sorted(source.filters.items()))
        yield from (f"filter expression: {line}" for line in (source.filter_expression or "").splitlines())
        yield from (f"sort {field}" for field in source.sorts)
        yield f"timezone {source.timezone}"
    elif isinstance(source, Look):
        yield f"look {source.id}"
        query = (selection.query if selection else None) or {}
        yield from (f"{name} {line}" for name in sorted(query) for line in _flat(query[name]))
    else:
        yield from (f"export: {line}" for line in source.description.splitlines())


def _flat(value: object) -> Iterator[str]:
    """A value of a query, each entry of a mapping or a list on a line of its own."""
    if isinstance(value, Mapping):
        yield from (f"{name}: {value[name]}" for name in sorted(value))
    elif isinstance(value, list | tuple):
        yield from map(str, value)
    elif value is not None:
        yield str(value)


def _words(old: _Side, new: _Side) -> Iterator[str]:
    before, after = (side.manifest.document.data for side in (old, new))
    names = dict.fromkeys([*after, *before])
    yield from (name for name in names if name not in _SHAPE and before.get(name) != after.get(name))
    if old.card != new.card:
        yield "README.md"


def declared(old: Version, new: Version) -> Bump:
    """How far a version moved; not at all where it went back."""
    if new <= old:
        return Bump.NONE
    steps = ((Bump.MAJOR, old.major, new.major), (Bump.MINOR, old.minor, new.minor), (Bump.PATCH, old.patch, new.patch))
    return next(bump for bump, before, after in steps if before != after)


# --- from the objects -------------------------------------------------------------------------------------------------


def _with_items(change: DatasetChange, old: _Side | None, new: _Side | None, objects: DiffOptions) -> DatasetChange:
    """The change with what the lists of files tell; these are read only where the images differ."""
    if (old.prepared if old else "") == (new.prepared if new else ""):
        return replace(change, **_require(old, new, None))
    try:
        with ThreadPoolExecutor(2) as pool:  # a list of a million files takes seconds
            before, after = pool.map(lambda side: _items(side, objects.read), (old, new))
    except RegistryError as error:
        return replace(change, **_require(old, new, None), unknown=_joined(change.unknown, error.message))
    diff = items.compare(before, after)
    change = replace(change, diff=diff, transitions=_transitions(diff), **_require(old, new, diff))
    if old and new:
        sides = ((old.manifest.value, before), (new.manifest.value, after))
        change = _tried(change, lambda: _with_metadata(change, *sides, objects.read))
    return _tried(change, lambda: _with_exhibits(change, after, objects))


def _tried(change: DatasetChange, step: Callable[[], DatasetChange]) -> DatasetChange:
    """The change after a step; as it was, and saying why, where the step could not be taken."""
    try:
        return step()
    except RegistryError as error:
        return replace(change, unknown=_joined(change.unknown, error.message))


def _with_exhibits(change: DatasetChange, after: Items, objects: DiffOptions) -> DatasetChange:
    sheets = change_sheets.render(change.diff, objects.read) if objects.sheets else ()
    near, unknown, search_skipped = _near_duplicates(change, after, objects)
    shown, more = near_duplicates.rank([*near_duplicates.find_identical(after), *near])
    rest = f"{more:,} more pairs of images that are or look the same" if more else ""
    unknown = _joined(change.unknown, unknown, rest)
    return replace(change, sheets=sheets, duplicates=shown, search_skipped=search_skipped, unknown=unknown)


def _near_duplicates(
    change: DatasetChange, after: Items, objects: DiffOptions
) -> tuple[tuple[DuplicatePair, ...], str, str]:
    """Those that were found; what could not be looked at, and what is not to be looked at, in words."""
    fresh, images, most = near_duplicates.new_md5s(change.diff), after.frame.height, objects.near_duplicates
    if most is None or fresh.is_empty():
        return (), "", ""
    if images > most:
        return (), "", f"among {images:,} images: registry.yaml has report.near_duplicates up to {most:,}"
    with bar(f"looking for near-duplicates in {change.id}", images) as progress:
        return *near_duplicates.find_near(fresh, after, objects.read, objects.notes, progress), ""


def _require(old: _Side | None, new: _Side | None, diff: Diff | None) -> dict[str, object]:
    found = versioning.required_bumps(old.content, new.content, diff) if old and new else ()
    return {"required_bump": found[0] if found else None}


def _items(side: _Side | None, read: Reader) -> Items:
    if side is None or not side.prepared:
        return items.parse(DataFrame(schema={"md5": pl.String, "relpath": pl.String}))
    found = items.parse(dir_listing.read(require_object(read, side.prepared), side.prepared))
    if found.frame["uuid"].n_unique() < found.frame.height:
        raise NotFound(f"{side.manifest.value.id} {side.version} has an item twice: what changed cannot be told")
    return found


def _transitions(diff: Diff) -> DataFrame:
    both = diff.rows.filter(col("md5_old").is_not_null(), col("md5_new").is_not_null())
    frames = (
        both.filter(col(f"{what}_old") != col(f"{what}_new"))
        .group_by(old=col(f"{what}_old").cast(pl.String), new=col(f"{what}_new").cast(pl.String))
        .agg(items=pl.len())
        .sort("old", "new")
        .select(pl.lit(what).alias("what"), "old", "new", "items")
        for what in ("label", "split")
    )
    return pl.concat(frames)


def _with_metadata(
    change: DatasetChange,
    old: tuple[DatasetManifest, Items],
    new: tuple[DatasetManifest, Items],
    read: Reader,
) -> DatasetChange:
    """The change with what moved in the metadata columns, and where the changed items are concentrated."""
    sides = (_metadata(manifest, found, read) for manifest, found in (old, new))
    before, after = distribution.as_values(*sides)
    told = {"old": before, "new": after}
    found = (
        distribution.find_concentrations(
            kind, told[side].drop(_SAID.get(kind, ())), change.diff.rows.filter(chosen)["uuid"]
        )
        for kind, (side, chosen) in _KINDS.items()
    )
    places = tuple(one for several in found for one in several)
    moved = distribution.find_shifts(*(frame.drop("label", "split") for frame in (before, after)))
    return replace(change, concentrations=places, shifts=moved)


def _metadata(manifest: DatasetManifest, found: Items, read: Reader) -> DataFrame:
    """The items' uuid, split and label, and the other columns that its tables have."""
    tables = [
        distribution.read_table(require_object(read, md5), manifest.columns).with_columns(split=pl.lit(split))
        for split, md5 in found.tables.items()
    ]
    return pl.concat(tables, how="diagonal") if tables else found.frame.select("uuid", "label", "split")
