"""How a selection becomes a version: images proven and stored, splits, tables, the `.dir` object, and `prepared.dvc`.

Written in this order, each whole or not at all: images into staging, tables, `.dir` objects, and the pointer last. So a
kill anywhere leaves the earlier version, and running again finishes. No time, host or order gets into the bytes: the
same manifest, selection and lake give the same pointer on any machine.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from polars import col

from registry.core import documents, item_paths, layout, manifests, pointers
from registry.core.atomic_write import clear_leftovers, write_atomically
from registry.core.pointers import object_key
from registry.core.progress import Progress
from registry.core.values import Build, Counts, DatasetManifest, Output
from registry.dataset import column_types, exports, image_validation, items, splits, validation_cache
from registry.errors import InvalidData, NotFound, Refused
from registry.storage.base import Store
from registry.storage.ingest import Ingest, ingest
from registry.storage.local import Folder
from registry.storage.verify import require_size
from registry.sync import dir_listing, inventory

FILE = "selection.parquet"
SLICE = 100_000  # images after which what was learned is written down


@dataclass(frozen=True, slots=True)
class Places:
    """Where a build reads and writes: the registry's root, the lake, staging, production, and DVC's cache."""

    root: Path
    lake: Store
    staging: Store
    production: Store
    cache: Store

    @property
    def notes(self) -> Path:
        """The file of `memory`."""
        return self.root / validation_cache.PATH


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """A dataset's rows as `select` left them, proven to be what raw.dvc names, with the two objects that hold them."""

    rows: pl.DataFrame
    output: Output
    objects: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an image cannot be used; `reason` is one line."""

    uuid: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.uuid} ({self.key}): {self.reason}"


class FaultyImages(InvalidData):
    """Images that a version may not hold."""

    def __init__(self, manifest: DatasetManifest, faults: Sequence[Fault], total: int) -> None:
        self.faults = tuple(faults)
        super().__init__(
            f"{len(faults):,} of {total:,} images of {manifest.id} cannot be used; prepared.dvc stays as it was",
            [str(fault) for fault in faults],
            fix=f"put them right in the lake, or name them under exclude: in {manifest.id}/dataset.yaml, each with the "
            f"reason: `registry build {manifest.id} --exclude-faulty` does that",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a build is going to do: `rows` has one for each image, sorted by uuid.

    Its columns: uuid, label, split; `key`, and what the lake says of it (`size`, `etag`, `modified`: null where it is
    missing); `md5`, where that is known from before; `stored`, whether staging or production has that object.
    """

    manifest: DatasetManifest
    selected: Selected
    rows: pl.DataFrame

    @property
    def unread(self) -> pl.DataFrame:
        """The rows whose images have to be taken from the lake."""
        return self.rows.filter(~col("stored") & col("size").is_between(1, image_validation.MAX_BYTES))

    def __str__(self) -> str:
        excluded, absent = len(self.selected.rows) - len(self.rows), self.rows["size"].null_count()
        lines = [
            f"{self.manifest.id}: {len(self.selected.rows):,} rows selected, {excluded:,} of them excluded",
            f"{len(self.unread):,} of {len(self.rows):,} images to take, {self.unread['size'].sum() / 1e6:,.1f} MB",
            *([f"missing in the lake: {absent:,}"] if absent else []),
        ]
        return "\n".join([*lines, *_counted(items.count(self.rows))])


@dataclass(frozen=True, slots=True)
class Built:
    """A version: its pointer and facts, how many images were read for it and stored in staging, and their bytes.

    `unseen` are those that nobody has looked at here yet: the stores copied them, or had them.
    """

    output: Output
    build: Build
    read: int
    unseen: int
    stored: int
    stored_bytes: int

    def __str__(self) -> str:
        known = self.build.images - self.read - self.unseen
        what = f"{self.build.images:,} images: {known:,} known, {self.read:,} read"
        what += f", {self.unseen:,} unseen" if self.unseen else ""
        lines = [f"{what}, {self.stored:,} of them new in staging ({self.stored_bytes / 1e6:,.1f} MB)"]
        if self.unseen:
            lines.append("the unseen did not come through here; whether they are sound says: registry check --images")
        return "\n".join([*lines, *_counted(self.build.counts)])


# --- the selection ----------------------------------------------------------------------------------------------------


def read_selection(manifest: DatasetManifest, places: Places) -> Selected:
    """The selection that raw.dvc names, from the working tree or the first store that has it.

    Raises NotFound where it is nowhere, Refused where it is another one, InvalidData for rows that cannot be built.
    """
    path, name = layout.raw_pointer(manifest.id), layout.selection_path(manifest.id)
    here, fix = Folder(places.root), f"registry select {manifest.id}"
    if not here.has(path):
        raise NotFound(f"{manifest.id} has no selection yet: there is no {path}", fix=fix)
    output = pointers.read_pointer(here.get(path), path)
    data = here.get(name) if here.has(name) else _fetch_selection(manifest, output, places)
    listing = dir_listing.write(pl.DataFrame({"md5": [_md5(data)], "relpath": [FILE]}))
    if dir_listing.md5_of(listing) != output.md5:
        fix = f"`dvc checkout --force {path}` brings the right one back, `{fix}` makes another"
        raise Refused(f"{name} is not the selection that raw.dvc names", fix=fix)
    rows = exports.read_selection(data, name)
    _require_rows(manifest, rows)
    return Selected(rows, output, {_md5(data): data, output.md5: listing})


def _fetch_selection(manifest: DatasetManifest, output: Output, places: Places) -> bytes:
    listing = dir_listing.read(_fetch(manifest, output.md5, places), output.md5)
    return _fetch(manifest, listing.row(0, named=True)["md5"], places)


def _fetch(manifest: DatasetManifest, md5: str, places: Places) -> bytes:
    for store in (places.cache, places.staging, places.production):
        try:
            return store.get(object_key(md5))
        except NotFound:
            continue
    raise NotFound(
        f"the selection of {manifest.id} is not here, not in staging and not in production",
        fix=f"registry select {manifest.id}",
    )


def _require_rows(manifest: DatasetManifest, rows: pl.DataFrame) -> None:
    """A selection comes through Git and stores: it is believed no more than an export."""
    fix = f"registry select {manifest.id}"
    if rows.columns != [column.name for column in manifest.columns]:
        fault = f"the selection has the columns {', '.join(rows.columns)}, dataset.yaml has others"
        raise Refused(f"{manifest.id}: {fault}", fix=fix)
    is_uuid, is_class = col("uuid").str.contains(f"^{item_paths.UUID}$"), col("label").is_in(list(manifest.classes))
    problems = [
        *(f"{uuid!r} is no UUID" for uuid in rows.filter(is_uuid.not_().fill_null(value=True))["uuid"]),
        *(f"{uuid} is there twice" for uuid in rows.filter(col("uuid").is_duplicated())["uuid"].unique().sort()),
        *(
            f"{uuid}: {label!r} is none of the manifest's classes"
            for uuid, label in rows.filter(is_class.not_().fill_null(value=True))["uuid", "label"].rows()
        ),
    ]
    if problems:
        raise InvalidData(f"{manifest.id}: the selection does not hold what dataset.yaml asks for", problems, fix=fix)


# --- the plan ---------------------------------------------------------------------------------------------------------


def plan(manifest: DatasetManifest, places: Places) -> Plan:
    """What there is to do; images are looked up in the lake and in the stores, but none is read.

    Raises as `read_selection`; NotFound when the lake has none of the images; StorageFailed.
    """
    selected = read_selection(manifest, places)
    rows = items_of(manifest, selected.rows)
    places.lake.require_readable()
    listed = places.lake.find_many(rows["key"].to_list())
    if listed.is_empty():
        fix = "look at lake: in registry.yaml, and at image: in dataset.yaml"
        raise NotFound(f"none of the {len(rows):,} images, such as {rows['key'][0]}, is in {places.lake.url}", fix=fix)
    known = _with_stored(validation_cache.lookup(places.notes, places.lake.url, listed), places)
    rows = rows.join(known, on="key", how="left", maintain_order="left")
    return Plan(manifest, selected, rows.with_columns(col("stored").fill_null(value=False)))


def items_of(manifest: DatasetManifest, selection: pl.DataFrame) -> pl.DataFrame:
    """uuid, label, split and key of each image that is not excluded, sorted by uuid."""
    rows = selection.filter(~col("uuid").is_in(list(manifest.exclude))).sort("uuid")
    if rows.is_empty():
        path = layout.manifest_path(manifest.id)
        raise InvalidData(f"{path}: exclude: leaves no image", [], fix="select more, or exclude less")
    key = pl.format(item_paths.lake_key_format(manifest.image), "uuid")
    return rows.select("uuid", "label", splits.split_column(manifest.split, rows), key=key)


def _with_stored(known: pl.DataFrame, places: Places) -> pl.DataFrame:
    """The rows with `stored`: whether staging or production has the object of their md5, in its full size."""
    wanted, found = known.filter(col("md5").is_not_null()).select("md5", "size").unique("md5"), []
    for store in (places.staging, places.production):
        there = wanted.join(inventory.find_stored(store, wanted["md5"]), on="md5", suffix="_there")
        for md5, right, size in there.filter(col("size_there") != col("size"))["md5", "size", "size_there"].rows():
            require_size(store, object_key(md5), size, right)
        found.append(there["md5"])
        wanted = wanted.join(there, on="md5", how="anti")
    return known.with_columns(stored=col("md5").is_in(pl.concat(found).implode()).fill_null(value=False))


# --- doing it ---------------------------------------------------------------------------------------------------------


def apply(made: Plan, places: Places, progress: Progress | None = None, *, unseen: bool = True) -> Built:
    """Have the images stored, then write the version. What must be read is, and all else too unless `unseen` is fine.

    Raises FaultyImages and StorageFailed; prepared.dvc is as it was then.
    """
    results = _take(made, places, progress, unseen=unseen)
    rows = made.rows.join(results, on="key", how="left", maintain_order="left", suffix="_read").with_columns(
        md5=pl.coalesce("md5_read", "md5"), size=pl.coalesce("size_read", "size"), missing=col("size").is_null()
    )
    if faults := _faults(rows):
        raise FaultyImages(made.manifest, faults, len(rows))
    output, build = write(made, rows, places)
    new, proven = results.filter("copied"), validation_cache.validated_md5s(places.notes)
    unseen = results.filter(~col("inspected") & ~col("md5").is_in(proven.implode()))
    return Built(output, build, int(results["inspected"].sum()), len(unseen), len(new), new["size"].sum())


def _take(made: Plan, places: Places, progress: Progress | None, *, unseen: bool) -> pl.DataFrame:
    """What `ingest` says of the unread images; of each slice, what was seen is remembered as it is done."""
    job = Ingest(places.lake, places.staging, places.production, image_validation.find_fault, unseen)
    parts = []
    for part in made.unread.iter_slices(SLICE):
        begun = datetime.now(UTC)
        parts.append(ingest(job, part, progress=progress))
        sound = parts[-1].filter(col("fault").is_null() & col("inspected"))
        as_listed = part.select(validation_cache.IDENTITY).join(sound, on=["key", "size"])
        validation_cache.record(places.notes, places.lake.url, as_listed, begun)
    return pl.concat([ingest(job, made.unread.clear()), *parts])


def _faults(rows: pl.DataFrame) -> tuple[Fault, ...]:
    """What is wrong with each image that cannot be used, sorted by uuid."""
    large = pl.format("too large: {} bytes, more than {}", "size", pl.lit(image_validation.MAX_BYTES))
    unread = pl.when("missing").then(pl.lit("missing")).when(col("size") > image_validation.MAX_BYTES).then(large)
    empty = pl.when(col("size") == 0).then(pl.lit("empty"))
    judged = rows.with_columns(reason=unread.otherwise(pl.coalesce("fault", empty)))
    alone = judged.filter(col("reason").is_not_null()).select("uuid", "key", "reason")
    return tuple(sorted((Fault(*row) for row in [*alone.rows(), *_twins(judged)]), key=lambda one: one.uuid))


def _twins(judged: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Byte-identical images: all but the first of those with one label, and all of those whose labels disagree."""
    same = judged.filter(col("reason").is_null() & col("md5").is_duplicated()).sort("md5", "uuid")
    for group in same.partition_by("md5", maintain_order=True):
        firsts = dict(group.unique("label", keep="first", maintain_order=True).select("label", "uuid").rows())
        for uuid, key, label in group.select("uuid", "key", "label").rows():
            rival = next((other for other in firsts if other != label), None)
            if rival:
                yield uuid, key, f"the same bytes as {firsts[rival]}, which is labelled {rival}, not {label}"
            elif uuid != firsts[label]:
                yield uuid, key, f"the same bytes as {firsts[label]}"


# --- writing ----------------------------------------------------------------------------------------------------------


def write(made: Plan, rows: pl.DataFrame, places: Places) -> tuple[Output, Build]:
    """The version of a plan whose `rows` have every md5 and size: tables, lists of files, and last the pointer."""
    files = rows.select("md5", "size", relpath=_item_path(made.manifest))
    for split, data in metadata(made.manifest, made.selected.rows, rows):
        table = (_store(_md5(data), data, places), len(data), item_paths.METADATA_FORMAT.format(split))
        files.extend(pl.DataFrame([table], files.schema, orient="row"))
    for md5, data in made.selected.objects.items():
        _store(md5, data, places)
    listing = dir_listing.write(files)
    md5 = _store(dir_listing.md5_of(listing), listing, places)
    output = Output(f"{made.manifest.id}/prepared", md5, files["size"].sum(), len(files))
    build = Build(made.selected.output.md5, manifests.build_rule(made.manifest), len(rows), items.count(rows))
    _point(places.root / layout.prepared_pointer(made.manifest.id), output, build)
    return output, build


def _store(md5: str, data: bytes, places: Places) -> str:
    """An object that was made here: into DVC's cache, and into staging unless production has it. Returns its md5."""
    places.cache.put(object_key(md5), data)
    if not places.production.has(object_key(md5)):
        places.staging.put(object_key(md5), data)
    return md5


def _point(pointer: Path, output: Output, build: Build) -> None:
    data = pointers.write_pointer(output, {"build": asdict(build)})
    clear_leftovers(pointer)
    if not pointer.is_file() or pointer.read_bytes() != data:
        write_atomically(pointer, data)


def _item_path(manifest: DatasetManifest) -> pl.Expr:
    extension = pl.lit(item_paths.extension(manifest.image))
    return pl.format(item_paths.ITEM_PATH_FORMAT, "split", "label", "uuid", extension)


def _file_name(manifest: DatasetManifest) -> pl.Expr:
    """An image's path below its split, with the file name extension of its key in the lake."""
    return pl.format(item_paths.FILE_NAME_FORMAT, "label", "uuid", pl.lit(item_paths.extension(manifest.image)))


def metadata(manifest: DatasetManifest, selection: pl.DataFrame, rows: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Each split that has rows, and its `metadata.csv`: file_name, label, then the other columns, sorted by file_name.

    The convention is Hugging Face's ImageFolder. Values are texts as `cells.as_text` writes them; no value is an empty
    cell. `rows` says which uuid is in which split.
    """
    texts = [column_types.as_text(name, dtype) for name, dtype in selection.schema.items() if name != "label"]
    for split in manifest.split.ratios:
        part = selection.join(rows.filter(col("split") == split), on="uuid", how="semi")
        table = part.select(_file_name(manifest).alias("file_name"), "label", *texts).sort("file_name")
        if len(table):
            yield split, table.write_csv(line_terminator="\n").encode()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# --- leaving out ------------------------------------------------------------------------------------------------------


def exclude(manifest: DatasetManifest, data: bytes, faults: Sequence[Fault]) -> bytes:
    """`dataset.yaml` with the faulty images under `exclude:`, each with its reason. Raises Refused for too many."""
    entries = {fault.uuid: fault.reason for fault in faults}
    one_by_one = {("exclude", uuid): reason for uuid, reason in entries.items()}
    edited = documents.edit_yaml(data, one_by_one if manifest.exclude else {("exclude",): entries})
    if len(edited) > documents.MAX_BYTES:
        fix = "put them right in the lake, or select without them"
        raise Refused(f"{len(faults):,} images are too many to name in {layout.manifest_path(manifest.id)}", fix=fix)
    return edited


# --- words ------------------------------------------------------------------------------------------------------------


def _counted(counts: Counts) -> Iterator[str]:
    """A table of images by class and split."""
    labels = sorted({label for classes in counts.values() for label in classes})
    numbers = {label: [classes.get(label, 0) for classes in counts.values()] for label in labels}
    numbers["all"] = [sum(classes.values()) for classes in counts.values()]
    shown = [["class", *counts, "all"]]
    shown += [[label, *(f"{number:,}" for number in [*row, sum(row)])] for label, row in numbers.items()]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for label, *texts in shown:
        yield "  ".join([label.ljust(widths[0]), *map(str.rjust, texts, widths[1:])])
