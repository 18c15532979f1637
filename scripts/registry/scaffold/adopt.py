"""Makes a dataset of what a team has already: plan, images into staging, then manifest, selection and version.

Written in this order: images, `dataset.yaml` and the card, the selection, `prepared.dvc`; the `.dvc` file of this
registry that was adopted is removed last. A killed run is finished by running it again.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from polars import DataFrame, col

from registry.core import documents, item_paths, layout, manifests, schema
from registry.core.adoption import GIVEN_SPLIT, Adopted
from registry.core.atomic_write import write_atomically
from registry.core.documents import Location
from registry.core.progress import Progress
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Column, DatasetManifest, Selection
from registry.core.wording import abbreviate, join, plural, size, table
from registry.dataset import (
    column_types,
    exclusions,
    exports,
    image_formats,
    image_validation,
    intake,
    provenance,
    validation_cache,
)
from registry.dataset import select as selecting
from registry.dataset.intake import Places
from registry.errors import InvalidData, Refused
from registry.scaffold import adopt_layout, adopt_metadata, adopt_rows, adopt_sources, explore, new
from registry.scaffold.adopt_layout import Image, LeftOut
from registry.scaffold.adopt_metadata import Metadata
from registry.scaffold.adopt_rows import Read, Rows
from registry.scaffold.adopt_sources import Source
from registry.scaffold.new import Words

_RATIOS = {"train": 0.8, "val": 0.1, "test": 0.1}
_DAMAGED = "damaged in the source: its bytes have another MD5 than the repository says"
_EMPTY, _TOO_LARGE = "empty file", "too large for an image"


@dataclass(frozen=True, slots=True)
class Request:
    """The dataset to be made, what people say of it, and the classes that they chose for labels of the source."""

    artifact: ArtifactId
    owners: tuple[str, ...]
    words: Words
    classes: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be adopted: the images with their labels and splits, and where each of them is.

    `files` has path, md5, key, size, etag, modified and store of each image; `stored` says that the registry has it.
    `before` is the manifest that is there already, of the same source.
    """

    request: Request
    source: Source
    images: tuple[Image, ...]
    classes: Mapping[str, str]
    metadata: Metadata
    files: DataFrame
    left_out: tuple[LeftOut, ...]
    before: DatasetManifest | None = None

    @property
    def pending(self) -> DataFrame:
        """The files of the images that have to be copied or read."""
        return self.files.filter(~col("stored"))

    def __str__(self) -> str:
        pending, places = self.pending, join([store.url for store in self.source.stores])
        names = {label: name for label, name in self.classes.items() if label != name}
        return "\n".join(
            [
                f"{self.request.artifact}: {plural(len(self.images), 'image')} of {self.source.origin}",
                f"{len(pending):,} to take from {places}, {size(int(pending['size'].sum()))}",
                _counts(self.images, self.classes),
                *self._say_one_class(),
                *(
                    f"class {label!r} is called {name}; --class {shlex.quote(f'{label}=NAME')} for another name"
                    for label, name in names.items()
                    if label not in self.request.classes
                ),
                *adopt_metadata.describe(self.metadata),
                *adopt_layout.describe(self.left_out),
            ]
        )

    def _say_one_class(self) -> Iterator[str]:
        if len(found := set(self.classes.values())) == 1:
            yield f"note: all images are of one class, {next(iter(found))}; expected CLASS/FILE or SPLIT/CLASS/FILE"


def _counts(images: tuple[Image, ...], classes: Mapping[str, str]) -> str:
    """A table of images by class and given split."""
    splits = [split for split in (*layout.SPLITS, None) if any(image.split == split for image in images)]
    numbers: dict[tuple[str, str | None], int] = {}
    for image in images:
        at = classes[image.label or ""], image.split
        numbers[at] = numbers.get(at, 0) + 1
    names = list(dict.fromkeys(sorted(classes.values())))
    rows = [[name, *(numbers.get((name, split), 0) for split in splits)] for name in names]
    return table(["class", *(split or ("images" if len(splits) == 1 else "no split") for split in splits)], rows)


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan(tree: Tree, request: Request, source: Source, places: Places) -> Plan:
    """Sorts the files of a source, and finds out which of its images the registry has already; no image is read.

    Raises Refused where the dataset exists, or the files have no form that is known; InvalidData where objects or rows
    are missing or wrong.
    """
    before = require_place(tree, request.artifact, source.origin)
    everything = [*source.files["path"].to_list()]
    found = adopt_layout.sort(everything)
    adopt_sources.require_complete(source, [*found.images, *found.metadata])
    metadata = adopt_metadata.read(found.metadata, found.images, source.read)
    placed = adopt_layout.read(found.images, metadata.labels)
    images, left_out = _label(placed, metadata)
    lenient = before.lenient if before else False
    files = source.files.filter(col("path").is_in([image.path for image in images]))
    files, unusable = _without_unusable(files)
    kept = set(files["path"])
    images = tuple(image for image in images if image.path in kept)
    if not images:
        raise Refused(
            f"{source.origin} has no image that can be adopted: {next(iter(unusable)).why}", fix="name another folder"
        )
    classes = adopt_layout.name_classes({image.label or "" for image in images}, request.classes)
    rest = (*source.left_out, *found.left_out, *left_out, *unusable)
    files = _with_stored(source, files, places, lenient=lenient)
    return Plan(request, source, images, classes, metadata, files, rest, before)


def require_place(tree: Tree, artifact: ArtifactId, origin: Adopted) -> DatasetManifest | None:
    """The manifest that is there, if it is of the same source; None where none is. Raises Refused for another one."""
    if not tree.has(layout.manifest_path(artifact)):
        return None
    document = manifests.read_document(tree, artifact)
    source = document.data.get("source") if isinstance(document.data, dict) else None
    adopted = source.get("adopted") if isinstance(source, dict) else None
    if not isinstance(adopted, dict) or (adopted.get("from"), adopted.get("path", "")) != (origin.place, origin.path):
        fault = f"{artifact} exists already, and is not adopted from {replace(origin, commit='')}"
        raise Refused(fault, fix="choose another name, or edit source.adopted in its dataset.yaml")
    manifest = manifests.parse(document, artifact)
    return manifest if isinstance(manifest, DatasetManifest) else None


def _label(placed: tuple[Image, ...], metadata: Metadata) -> tuple[tuple[Image, ...], list[LeftOut]]:
    """The images with the labels and splits of tables, which are nearer to them than their folders; and the others."""
    images, left_out = list[Image](), list[LeftOut]()
    for image in placed:
        label = metadata.labels.get(image.path) or (None if metadata.labels else image.label)
        split = image.split or metadata.splits.get(image.path)
        if label is None:
            why = "no label in a table" if metadata.labels else adopt_layout.NO_CLASS
            left_out.append(LeftOut(image.path, why))
        else:
            images.append(Image(image.path, split, label))
    if not images:
        fault = f"no image has a label: {abbreviate([one.path for one in left_out])}"
        fix = "name the folder that has the class folders; or write metadata.csv with the columns file_name and label"
        raise Refused(fault, fix=fix)
    return tuple(images), left_out


def _without_unusable(files: DataFrame) -> tuple[DataFrame, list[LeftOut]]:
    usable = col("size").is_between(1, image_formats.MAX_BYTES)
    others = files.filter(~usable).select("path", "size").rows()
    return files.filter(usable), [LeftOut(path, _TOO_LARGE if length else _EMPTY) for path, length in others]


def _with_stored(source: Source, files: DataFrame, places: Places, *, lenient: bool) -> DataFrame:
    """The files with `stored`, and the md5s that an earlier run found."""
    if not source.has_md5s:
        store, listed = source.stores[0], files.drop("md5")
        files = validation_cache.lookup(places.validation_cache, store.url, listed, lenient=lenient)
    return intake.with_stored(files, places)


# --- images -----------------------------------------------------------------------------------------------------------


def take(plan: Plan, places: Places, progress: Progress) -> tuple[dict[str, Read], tuple[LeftOut, ...]]:
    """Copies the images into staging: what was read of each by path, and those that are damaged. Raises StorageFailed.

    Where a store can copy them itself, images are neither read nor validated.
    """
    known = plan.files.filter("stored").select("path", "md5", "size")
    read = {path: Read(md5, length) for path, md5, length in known.rows()}
    damaged = list[LeftOut]()
    for files, find_fault, store in _groups(plan):
        results = intake.take(
            files.unique("key", maintain_order=True), places.of(plan.source.stores[store]), progress,
            lenient=_lenient(plan), validate_all=False, find_fault=find_fault,
        )  # fmt: skip
        joined = files.select("path", "key", declared="md5").join(results, on="key", how="left", maintain_order="left")
        for row in joined.rows(named=True):
            if row["md5"] is None or (row["declared"] and row["md5"] != row["declared"]):
                damaged.append(LeftOut(row["path"], _DAMAGED if row["md5"] else "removed from the source meanwhile"))
            else:
                read[row["path"]] = Read(row["md5"], row["size"], row["fault"])
        if len(valid := joined.filter(col("fault").is_null() & col("inspected"))):
            validation_cache.record_objects(
                places.validation_cache, valid.select("md5", "path"), lenient=_lenient(plan)
            )
    return read, tuple(damaged)


def _lenient(plan: Plan) -> bool:
    return plan.before.lenient if plan.before else False


def _groups(plan: Plan) -> Iterator[tuple[DataFrame, Callable[[str, bytes], str | None] | None, int]]:
    """The pending files by store; where keys are no names, also by extension, with the validation of that."""
    for store in range(len(plan.source.stores)):
        here = plan.pending.filter(col("store") == store)
        if not plan.source.has_md5s:
            yield here, None, store
            continue
        extension = col("path").str.extract(item_paths.EXTENSION).str.to_lowercase()
        for (name,), files in here.group_by(extension, maintain_order=True):
            yield files, partial(_find_fault, f"image.{name}", lenient=_lenient(plan)), store


def _find_fault(name: str, _: str, data: bytes, *, lenient: bool) -> str | None:
    """What is wrong with an object that is an image of this name."""
    return image_validation.find_fault(name, data, lenient=lenient)


# --- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """What is written: the manifest, as a value and as bytes, the card where there is none, and the selection."""

    manifest: DatasetManifest
    files: Mapping[str, bytes]
    selection: selecting.Plan
    told: tuple[str, ...]


def write_up(plan: Plan, rows: Rows, tree: Tree, current: selecting.Current) -> Files:
    """The files of a dataset with these rows. Raises Refused where `exclude` becomes too large."""
    artifact, path = plan.request.artifact, layout.manifest_path(plan.request.artifact)
    if plan.before is None:
        files = dict(new.render("adopted", artifact, _values(plan, rows)))
        if tree.has(layout.card_path(artifact)):
            files.pop(layout.card_path(artifact))
    else:
        files = {path: documents.edit_yaml(tree.read(path), _changes(plan, plan.before, rows))}
    manifest = _parse(files[path], path, artifact)
    if rows.exclude.keys() - manifest.exclude.keys():
        files[path] = exclusions.exclude(manifest, files[path], {**rows.exclude})
        manifest = _parse(files[path], path, artifact)
    frame = rows.frame.select(column.name for column in manifest.columns)
    origin = Selection(
        rows=len(frame),
        rows_hash=exports.rows_hash(frame),
        source_hash=provenance.source_hash(manifest),
        origin=str(plan.source.origin),
        selected_at=datetime.now(UTC).replace(microsecond=0),
    )
    selection = selecting.plan(artifact, selecting.SelectedRows(frame, origin), current)
    told = (*rows.notes, *adopt_rows.describe_exclusions(rows), *adopt_layout.describe(rows.left_out))
    return Files(manifest, files, selection, told)


def _parse(data: bytes, path: str, artifact: ArtifactId) -> DatasetManifest:
    """The manifest, which may have placeholders in texts about the dataset."""
    document = documents.read_yaml(data, path)
    for fault in schema.find_faults(document, artifact.kind.value):
        if fault.message.partition(":")[0] not in {"description", "license"}:
            raise InvalidData(f"{path}: {fault.message}", [], fix=fault.fix)
    manifest = manifests.parse(document, artifact)
    assert isinstance(manifest, DatasetManifest)  # `parse` chooses by the kind
    return manifest


def _values(plan: Plan, rows: Rows) -> dict[str, str]:
    request, counts = plan.request, adopt_rows.count(rows.frame)
    classes = sorted(set(rows.frame["label"]))
    ratios = adopt_rows.ratios(counts) if counts else _RATIOS
    shares = ", ".join(f"{split}: {ratio:g}" for split, ratio in ratios.items())
    given = f"  given: {GIVEN_SPLIT}" if counts else "  # group_by: camera"
    return {
        **new.describe(request.artifact, request.words, request.owners),
        "source": "  adopted:\n"
        + "".join(f"    {key}: {json.dumps(value)}\n" for key, value in _source(plan).items()).rstrip(),
        "columns": "\n".join(f"  {column.name}: {_in_flow(_column(column))}" for column in rows.columns),
        "classes": explore.classes_text(classes),
        "split": f"  salt: {request.artifact.name}\n  ratios: {{{shares}}}\n{given}",
        "origin": str(plan.source.origin),
    }


def _source(plan: Plan) -> dict[str, str]:
    origin = plan.source.origin
    values = {"from": origin.place, "path": origin.path, "commit": origin.commit, "md5": origin.md5}
    return {key: value for key, value in values.items() if value}


def _column(column: Column) -> dict[str, Any]:
    source = {"from": column.source} if column.source != column.name else {}
    return {**source, "type": column.type, **({"nullable": True} if column.nullable else {})}


def _in_flow(values: Mapping[str, Any]) -> str:
    """A column on one line, as people write it: `{type: string, nullable: true}`."""
    texts = {key: json.dumps(value) if key in {"from", "nullable"} else value for key, value in values.items()}
    return f"{{{', '.join(f'{key}: {text}' for key, text in texts.items())}}}"


def _changes(plan: Plan, before: DatasetManifest, rows: Rows) -> dict[Location, Any]:
    """What a later state of the same source changes in the manifest. Its version is a person's."""
    changes: dict[Location, Any] = {("source",): {"adopted": _source(plan)}}
    old = {column.name for column in before.columns}
    changes |= {("columns", column.name): _column(column) for column in rows.columns if column.name not in old}
    if more := sorted(set(rows.frame["label"]) - set(before.classes)):
        changes[("classes",)] = [*before.classes, *more]
    if GIVEN_SPLIT in rows.frame.columns and before.split.given is None:
        changes[("split", "given")] = GIVEN_SPLIT
    return changes


def write(files: Files, root: Path, cache: Path) -> None:
    """Write the manifest and the card, then the selection. Raises StorageFailed."""
    for path, data in files.files.items():
        if not (root / path).is_file() or (root / path).read_bytes() != data:
            write_atomically(root / path, data)
    selecting.apply(files.selection, root, cache)


def keep_columns(rows: Rows, before: DatasetManifest | None) -> Rows:
    """The rows with the columns that the manifest has already, null where the source has none of that name any more."""
    if before is None:
        return rows
    missing = [column for column in before.columns if column.name not in rows.frame.columns]
    if lost := [column.name for column in missing if not column.nullable]:
        fix = "write nullable: true there, or delete the columns (major)"
        raise Refused(f"{layout.manifest_path(before.id)}: the source has no columns {join(lost)} any more", fix=fix)
    nothing = [pl.lit(None, column_types.dtype(column.type)).alias(column.name) for column in missing]
    return replace(rows, frame=rows.frame.with_columns(nothing), columns=(*rows.columns, *missing))
