"""How the datasets of two trees differ: query, items, metadata, version, and pictures of changed images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import polars as pl
from polars import DataFrame, col

from registry.core import artifact_files, erasures, layout, parts, tombstones, versioning
from registry.core.artifact_files import ArtifactFiles, Files, Parsed, Reader
from registry.core.documents import Document
from registry.core.erasures import Erased
from registry.core.names import parse_version
from registry.core.parts import Parts
from registry.core.progress import bar
from registry.core.tree import Tree
from registry.core.values import (
    ArtifactId,
    Bump,
    Content,
    DatasetManifest,
    Diff,
    Kind,
    RequiredBump,
    Selection,
    Version,
)
from registry.core.wording import plural
from registry.dataset import (
    change_examples,
    distribution,
    evidence,
    items,
    metadata_tables,
    near_duplicates,
    pair_thumbnails,
    provenance,
    query_text,
)
from registry.dataset.changes import DatasetChange, QueryChange
from registry.dataset.items import Items
from registry.dataset.near_duplicates import NearDuplicates
from registry.errors import InvalidDocument, NotFound, RegistryError
from registry.storage.reader import require_object

# Keys of a manifest that say which data the dataset holds; a change of any other key is metadata-only.
_DATA_KEYS = {"schema", "name", "version", "source", "image", "columns", "classes", "split", "exclude", "layout"}
_KINDS = {  # kind of change → the version whose metadata describes those items, and which rows of a `Diff` they are
    "added": ("new", col("md5_old").is_null()),
    "removed": ("old", col("md5_new").is_null()),
    "relabelled": ("old", col("label_old") != col("label_new")),
    "moved": ("old", col("split_old") != col("split_new")),
    "changed": ("old", col("md5_old") != col("md5_new")),
}
_SHOWN_AS_TRANSITIONS = {"relabelled": "label", "moved": "split"}  # kind of change → the column that it is about
UNREADABLE = Version(0, 0, 0)  # stands for the version of a manifest that cannot be parsed


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """How objects are read, and what is done with the images themselves.

    `pictures` renders changed images and pairs. Near-duplicates are searched for in versions of at most
    `near_duplicates` images; None skips the search without a message. `hash_cache` is the file of `perceptual_hash`;
    `compare` takes what was `erased` from the tree after the change.
    """

    read: Reader
    hash_cache: Path
    pictures: bool = False
    near_duplicates: int | None = None
    erased: Erased = erasures.NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class _Dataset:
    """A dataset in one tree whose manifest is valid."""

    manifest: DatasetManifest
    keys: Mapping[str, Any]  # the manifest as it was parsed from YAML
    content: Content
    selection: Selection | None
    card: bytes

    @property
    def prepared(self) -> Parts:
        """The lists of its files; none before the first build."""
        return parts.of(self.content.objects)

    @property
    def source_hash(self) -> str:
        """The hash of the manifest's source and columns."""
        return provenance.source_hash(self.manifest)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """A dataset in one tree: as much as can be shown of it, and `dataset`, unless its manifest is invalid (`fault`)."""

    title: str
    version: Version
    size: int  # bytes of all images and tables
    fault: str
    dataset: _Dataset | None


def compare(old: Tree, new: Tree, options: DiffOptions, only: ArtifactId | None = None) -> tuple[DatasetChange, ...]:
    """Every dataset that differs between two trees (or `only` that one), sorted by id.

    What cannot be read is in the change's `unknown`. Raises NotFound where neither tree has `only`.
    """
    before, after = artifact_files.list_files(old), artifact_files.list_files(new)
    known = {artifact for tree in (old, new) for artifact in layout.find(tree) if artifact.kind is Kind.DATASET}
    if only and only not in known:
        raise NotFound(f"{only}: no such dataset in {old} or in {new}", fix="registry list")
    candidates = [only] if only else sorted(known)
    differing = (
        artifact for artifact in candidates if _file_contents(before, artifact) != _file_contents(after, artifact)
    )
    options = replace(options, erased=tombstones.read_valid(new))
    return tuple(_compare_sides(before, after, artifact, options) for artifact in differing)


def _file_contents(files: Files, artifact: ArtifactId) -> dict[str, bytes]:
    """A dataset's files in Git, by name."""
    return {name: files.tree.read(f"{artifact}/{name}") for name in files.inside(artifact)}


def _compare_sides(before: Files, after: Files, artifact: ArtifactId, options: DiffOptions) -> DatasetChange:
    old, new = _read_side(before, artifact), _read_side(after, artifact)
    sides = [side for side in (new, old) if side]
    change = DatasetChange(
        artifact,
        next((side.title for side in sides if side.title), str(artifact)),
        old.version if old else None,
        new.version if new else None,
        bytes_before=old.size if old else 0,
        bytes_after=new.size if new else 0,
    )
    if fault := next((side.fault for side in reversed(sides) if side.fault), ""):
        return replace(change, unknown=fault)
    return _compare_datasets(change, old.dataset if old else None, new.dataset if new else None, options)


def _compare_datasets(
    change: DatasetChange, old: _Dataset | None, new: _Dataset | None, options: DiffOptions
) -> DatasetChange:
    if old and new:
        change = _with_manifest_changes(change, old, new)
    elif new:
        change = replace(change, query_change=QueryChange.FIRST, selections=(None, new.selection))
    return _with_items(change, old, new, options)


# --- reading one tree -------------------------------------------------------------------------------------------------


def _read_side(files: Files, artifact: ArtifactId) -> _Side | None:
    if layout.manifest_path(artifact) not in files.entries:
        return None
    found = artifact_files.read_artifact(files, artifact)
    manifest, prepared = found.manifest, found.prepared.value if found.prepared else None
    size = prepared.size if prepared else 0
    faulty = next((file for file in (manifest, found.raw, found.prepared) if file and file.faults), None)
    if faulty or manifest.value is None or manifest.document is None:
        title, version = manifest.value.title if manifest.value else "", _find_version(manifest.document)
        return _Side(title, version, size, _describe_fault(faulty or manifest), None)
    text = files.tree.read(card) if (card := layout.card_path(artifact)) in files.entries else b""
    dataset = _read_dataset(found, manifest.document, text)
    return _Side(manifest.value.title, manifest.value.version, size, "", dataset)


def _read_dataset(files: ArtifactFiles, document: Document, card: bytes) -> _Dataset | None:
    manifest, content, raw = files.manifest.value, files.content, files.raw.document if files.raw else None
    if content is None or not isinstance(manifest, DatasetManifest):
        return None
    try:
        selection = provenance.parse(raw) if raw else None
    except InvalidDocument:
        selection = None
    return _Dataset(manifest, document.data, content, selection, card)


def _describe_fault(file: Parsed[Any]) -> str:
    """The first fault of a file that has some, with its place."""
    return f"{file.path}:{file.faults[0].line}: {file.faults[0].message}"


def _find_version(document: Document | None) -> Version:
    """The version of an invalid manifest, where at least that key is valid."""
    if document is None or not isinstance(document.data, Mapping):
        return UNREADABLE
    try:
        return parse_version(str(document.data.get("version")))
    except RegistryError:
        return UNREADABLE


# --- from the files in Git --------------------------------------------------------------------------------------------


def _with_manifest_changes(change: DatasetChange, old: _Dataset, new: _Dataset) -> DatasetChange:
    """The change with what the files in Git show: the query, metadata-only changes, the declared bump."""
    query_change = _compare_queries(old, new)
    texts = [query_text.render(side.manifest, side.selection) for side in (old, new)]
    return replace(
        change,
        query_change=query_change,
        selections=(old.selection, new.selection),
        queries=(texts[0], texts[1]) if query_change is QueryChange.QUERY else ("", ""),
        declared=declared_bump(old.manifest.version, new.manifest.version),
        metadata_changes=tuple(_metadata_changes(old, new)),
        unknown=_describe_stale_selection(new),
    )


def _compare_queries(old: _Dataset, new: _Dataset) -> QueryChange:
    if old.source_hash != new.source_hash:
        return QueryChange.QUERY
    if old.selection is None or new.selection is None:
        is_same = old.content.objects.get("raw") == new.content.objects.get("raw")
        return QueryChange.UNCHANGED if is_same else QueryChange.UNKNOWN
    found = evidence.compare(old.selection, new.selection)
    is_same = old.selection.rows_hash == new.selection.rows_hash
    return QueryChange.UNCHANGED if is_same and found is not QueryChange.QUERY else found


def _describe_stale_selection(dataset: _Dataset) -> str:
    if dataset.selection and dataset.source_hash != dataset.selection.source_hash:
        select = f"registry select {dataset.manifest.id}"
        return f"the result of the new query, which is not in raw.dvc yet (run `{select}`)"
    return ""


def _metadata_changes(old: _Dataset, new: _Dataset) -> Iterator[str]:
    names = dict.fromkeys([*new.keys, *old.keys])
    yield from (name for name in names if name not in _DATA_KEYS and old.keys.get(name) != new.keys.get(name))
    if old.card != new.card:
        yield "README.md"


def declared_bump(old: Version, new: Version) -> Bump:
    """The part of the version that was raised; NONE where the version is the same or lower."""
    if new <= old:
        return Bump.NONE
    if new.major != old.major:
        return Bump.MAJOR
    return Bump.MINOR if new.minor != old.minor else Bump.PATCH


def _required_bump(old: _Dataset | None, new: _Dataset | None, diff: Diff | None) -> RequiredBump | None:
    required = versioning.required_bumps(old.content, new.content, diff) if old and new else ()
    return required[0] if required else None


# --- from the objects -------------------------------------------------------------------------------------------------


def _with_items(
    change: DatasetChange, old: _Dataset | None, new: _Dataset | None, options: DiffOptions
) -> DatasetChange:
    """The change with what the `.dir` objects show; they are read only where they differ."""
    if (old.prepared if old else {}) == (new.prepared if new else {}):
        return replace(change, required_bump=_required_bump(old, new, None))
    try:
        diff, before, after = _compare_items(old, new, options)
    except RegistryError as error:
        unknown = _join(change.unknown, error.message)
        return replace(change, required_bump=_required_bump(old, new, None), unknown=unknown)
    required = _required_bump(old, new, diff)
    change = replace(change, diff=diff, transitions=_count_transitions(diff), required_bump=required)
    change = _attempt(change, partial(_with_images, change, diff, after, options))
    tables = after.tables
    del after  # of ten million images it has more than a gigabyte
    if old and new:
        sides = ((old.manifest, before), (new.manifest, tables))
        change = _attempt(change, partial(_with_distributions, change, diff, *sides, options.read))
    return change


def _compare_items(
    old: _Dataset | None, new: _Dataset | None, options: DiffOptions
) -> tuple[Diff, Mapping[str, str], Items]:
    """How the items differ, the tables of the old version, and the items of the new one.

    Of a version in parts, the old items are in memory prefix by prefix. Raises NotFound and Refused.
    """
    diffs, tables, after = list[Diff](), dict[str, str](), list[Items]()
    for pair in parts.aligned(old.prepared if old else {}, new.prepared if new else {}):
        # One after the other: side by side, two lists of a million files would take 150 MB more.
        before, found = map(_read_items, (old, new), pair, repeat(options.read))
        diffs.append(items.compare(before, found, options.erased))
        tables |= before.tables
        after.append(found)
    return items.join(diffs), tables, items.concat(after)


def _attempt(change: DatasetChange, step: Callable[[], DatasetChange]) -> DatasetChange:
    """The result of `step`; where it fails, the change as it was, with the error in `unknown`."""
    try:
        return step()
    except RegistryError as error:
        return replace(change, unknown=_join(change.unknown, error.message))


def _join(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _read_items(dataset: _Dataset | None, listed: Parts, read: Reader) -> Items:
    found = items.read(listed, read)
    if dataset and (repeated := items.find_repeated(found)["uuid"].n_unique()):
        manifest = dataset.manifest
        uuids = plural(repeated, "duplicate UUID")
        raise NotFound(f"{manifest.id} {manifest.version}: {uuids} in prepared; items cannot be compared")
    return found


def _count_transitions(diff: Diff) -> DataFrame:
    """How many items changed from which label or split to which: columns what, old, new, items."""
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


def _with_distributions(
    change: DatasetChange,
    diff: Diff,
    old: tuple[DatasetManifest, Mapping[str, str]],
    new: tuple[DatasetManifest, Mapping[str, str]],
    read: Reader,
) -> DatasetChange:
    """The change with distribution shifts of metadata columns, and the values where changed items are concentrated."""
    before, after = distribution.as_values(*(_read_columns(*side, read) for side in (old, new)))
    sides = {"old": before, "new": after}
    concentrations = [
        concentration
        for kind, (side, is_changed) in _KINDS.items()
        for concentration in distribution.find_concentrations(
            kind, sides[side].drop(_SHOWN_AS_TRANSITIONS.get(kind, ())), diff.rows.filter(is_changed)["uuid"].hash()
        )
    ]
    found = distribution.find_shifts(*(frame.drop("label", "split") for frame in (before, after)))
    return replace(change, concentrations=tuple(concentrations), shifts=found.shifts, stable=found.stable)


def _read_columns(manifest: DatasetManifest, tables: Mapping[str, str], read: Reader) -> DataFrame:
    """All tables of a version. A number stands for a UUID: it only marks an item, and has a sixth of the bytes."""
    if not tables:
        about = f"{manifest.id} {manifest.version}"
        raise NotFound(f"{about}: no metadata.parquet in prepared; its columns cannot be compared")
    found = (table.with_columns(col("uuid").hash()) for table in _read_tables(manifest, tables, read))
    return pl.concat(found, how="diagonal")


def read_metadata(manifest: DatasetManifest, found: Items, read: Reader) -> DataFrame:
    """The items' uuid, split and label, and the other columns of `metadata.parquet` but UUIDs."""
    tables = [*_read_tables(manifest, found.tables, read)]
    return pl.concat(tables, how="diagonal") if tables else found.frame.select("uuid", "label", "split")


def _read_tables(manifest: DatasetManifest, tables: Mapping[str, str], read: Reader) -> Iterator[DataFrame]:
    columns = [column for column in manifest.columns if column.type != distribution.UUID]
    for folder, md5 in tables.items():
        table = metadata_tables.read(require_object(read, md5), columns)
        yield table.with_columns(split=pl.lit(folder.partition("/")[0]))


def _with_images(change: DatasetChange, diff: Diff, after: Items, options: DiffOptions) -> DatasetChange:
    examples = change_examples.render(diff, options.read) if options.pictures else ()
    near = _find_near_duplicates(change, diff, after, options)
    identical = near_duplicates.find_identical(after, near_duplicates.new_uuids(diff))
    ranked, more = near_duplicates.rank([*identical, *near.pairs])
    pairs = pair_thumbnails.render(ranked, options.read) if options.pictures else ()
    rest = f"{plural(more, 'further duplicate pair')}, which {'are' if more > 1 else 'is'} not listed" if more else ""
    shown = replace(change, examples=examples, duplicates=ranked, pairs=pairs)
    return replace(shown, search_skipped=near.skipped, unknown=_join(change.unknown, near.unknown, rest))


def _find_near_duplicates(change: DatasetChange, diff: Diff, after: Items, options: DiffOptions) -> NearDuplicates:
    new, images, limit = near_duplicates.new_uuids(diff), after.frame.height, options.near_duplicates
    if limit is None or new.is_empty():
        return NearDuplicates()
    if images > limit:
        return NearDuplicates(
            skipped=f"{plural(images, 'image')} exceed report.near_duplicates in registry.yaml ({limit:,})"
        )
    with bar(f"searching for near-duplicates in {change.id}", images) as progress:
        return near_duplicates.find_near(new, after, options.read, options.hash_cache, progress)
