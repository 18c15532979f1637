"""Selecting and building a dataset for several commands, with their output and progress bars."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from polars import DataFrame, col

from registry.cli.workspace import Workspace
from registry.console import say
from registry.core import delivery_places, documents, escaping, layout, looker_addresses, manifests, schema
from registry.core.adoption import Adopted
from registry.core.atomic_write import write_atomically
from registry.core.delivery_places import Place
from registry.core.progress import bar
from registry.core.values import ArtifactId, DatasetManifest, Delivery, Export
from registry.core.wording import plural
from registry.dataset import build as building
from registry.dataset import denied_rows, exclusions, exports, kept_columns, loaded_selection, relative_dates
from registry.dataset import select as selecting
from registry.dataset.file_control import How
from registry.dataset.intake import Places
from registry.dataset.select import SelectedRows
from registry.errors import InvalidData, Refused

NOT_WRITTEN = "nothing was written (--dry-run)"


# --- select -----------------------------------------------------------------------------------------------------------


def select(
    space: Workspace,
    dataset: ArtifactId,
    export: str | None = None,
    how: How | None = None,
    *,
    dry_run: bool = False,
    fetch: bool = False,
) -> selecting.Plan | None:
    """Run a dataset's Looker query, or read an export or a delivery, and write the selection.

    `export` is a path or URL; by default it is where the manifest says that files are delivered, if anywhere. With
    `fetch`, the rows before are read from stores where they are not in the working tree. Returns what was written; None
    where that delivery was selected before.
    """
    manifest = manifests.load_dataset(space.tree, dataset)
    current = selecting.read_current(space.root, dataset, space.read_object if fetch else None)
    place = _place(manifest, export)
    if place:
        rows = _select_delivery(space, manifest, place, current, how)
        if rows is None:
            return None
    elif export:
        say(f"reading {export}", err=True)
        rows = selecting.from_export(kept_columns.asked(manifest), Path(export), space.root, how)
    elif how:
        fix = f"registry select {dataset} --from FILE"
        raise Refused("--timezone and --complete are about a file, and no file is given", fix=fix)
    else:
        rows = selecting.from_looker(kept_columns.asked(manifest), space.root)
    rows = denied_rows.leave_out(manifest, kept_columns.add(manifest, rows, current), space.denied)
    plan = selecting.plan(dataset, rows, current)
    say(str(plan))
    for found in relative_dates.find(manifest, rows.origin.query, rows.types):
        say(found.remark)
    selecting.require_kept(manifest, rows, current)
    if dry_run:
        say(NOT_WRITTEN, err=True)
    else:
        selecting.apply(plan, space.root, space.cache_dir)
    return plan


def _place(manifest: DatasetManifest, export: str | None) -> Place | None:
    """The URL that was given, or that of the manifest's deliveries; None for a path, and where there is neither."""
    if export:
        looker_addresses.require_no_page(export)
        return delivery_places.parse(export) if delivery_places.is_url(export) else None
    return manifest.source.place if isinstance(manifest.source, Export) else None


def _select_delivery(
    space: Workspace, manifest: DatasetManifest, place: Place, current: selecting.Current, how: How | None
) -> SelectedRows | None:
    """The rows of a delivery; None where they were selected before, in the same way."""
    from registry.storage import deliveries, dvc_config  # obstore and DVC take 0.3 s, which Looker need not wait for

    say(f"looking for the delivery at {place}", err=True)
    found = deliveries.find(place, dvc_config.load(space.root), exports.SUFFIXES)
    if how is None and selecting.is_current(manifest, current, found.delivery):
        say(f"{manifest.id}: nothing new: {found.url} is the delivery that was selected before, by its ETag")
        return None
    with TemporaryDirectory(prefix="registry-delivery-") as folder:
        path, read = deliveries.download(found, Path(folder))
        rows = selecting.from_export(kept_columns.asked(manifest), path, space.root, how, read.delivery)
    beside = f", the newest of {plural(found.others + 1, 'file')}" if found.others else ""
    at = read.delivery.modified.replace("T", " ").replace("Z", " UTC") or "at a time that its server does not say"
    note = f"delivered {at}{beside}"
    return replace(rows, notes=(note, *rows.notes, *_older(read.delivery, current)))


def _older(delivery: Delivery, current: selecting.Current) -> Iterator[str]:
    """A line where the newest delivery is older than the one before."""
    before = current.previous.origin.delivery if current.previous else None
    if before and delivery.modified < before.modified:
        newer = escaping.one_line(f"{before.url}, {before.modified}")  # of a file that a pull request may edit
        yield f"warning: the selection before was made of a newer delivery: {newer}"


def generated_sql(space: Workspace, dataset: ArtifactId) -> str:
    """The SQL that Looker generates for a dataset's query. Raises Refused for an export, which has none."""
    from registry.integrations import looker  # the SDK takes half a second to import

    manifest = manifests.load_dataset(space.tree, dataset)
    if isinstance(manifest.source, Export | Adopted):
        message = f"{layout.manifest_path(dataset)}: the source is no query: Looker generates no SQL for it"
        raise Refused(message, fix="leave --sql out")
    return looker.generated_sql(manifest.source, manifests.asked_columns(manifest), root=space.root)


# --- build ------------------------------------------------------------------------------------------------------------


def plan_build(space: Workspace, dataset: ArtifactId) -> building.Plan:
    """What a build of a dataset's current selection would do."""
    return _plan(space, _leave_out(space, manifests.load_dataset(space.tree, dataset)))


def _plan(space: Workspace, manifest: DatasetManifest) -> building.Plan:
    say(f"looking up the images of {manifest.id}", err=True)
    return building.plan(manifest, build_places(space))


def _leave_out(space: Workspace, manifest: DatasetManifest) -> DatasetManifest:
    """The manifest that also excludes the denied images of the selection, which are named."""
    denied = denied_rows.find(manifest, selected(space, manifest), space.denied) if space.denied else {}
    for uuid, why in denied.items():
        say(f"{manifest.id}: {uuid} is denied and left out: {why}")
    return replace(manifest, exclude={**manifest.exclude, **denied})


def _forget(space: Workspace, dataset: ArtifactId) -> None:
    """Write the selection without the rows of images that were erased: `exclude:` would name these."""
    rows = selected(space, manifests.load_dataset(space.tree, dataset)) if space.erased else None
    if rows is None or not (gone := space.erased.find_items(rows["uuid"])):
        return
    kept, current = rows.filter(~col("uuid").is_in(gone)), selecting.read_current(space.root, dataset)
    if kept.is_empty() or current.previous is None:
        raise Refused(f"{dataset}: every selected image was erased", fix=f"registry select {dataset}")
    origin = replace(current.previous.origin, rows=kept.height, rows_hash=exports.rows_hash(kept))
    selecting.apply(selecting.plan(dataset, SelectedRows(kept, origin), current), space.root, space.cache_dir)
    say(f"{dataset}: {plural(len(gone), 'erased row')} left out of the selection")


def selected(space: Workspace, manifest: DatasetManifest) -> DataFrame:
    """The rows of a dataset's selection."""
    places = build_places(space)
    return loaded_selection.read(manifest, space.root, (places.cache, places.staging, places.production)).rows


def build(space: Workspace, dataset: ArtifactId, *, exclude_faulty: bool = False) -> building.BuildResult:
    """Build a dataset. With `exclude_faulty`, add faulty images to its `exclude:` and build without them."""
    if not exclude_faulty:
        return _build(space, dataset, validate_all=False)
    try:
        return _build(space, dataset, validate_all=True)
    except building.InvalidImages as error:
        path, reasons = layout.manifest_path(dataset), {fault.uuid: fault.reason for fault in error.faults}
        _write_excluded(space.fresh(), dataset, reasons)
        say(f"{path}: added {plural(len(error.faults), 'faulty image')} to exclude:, each with its reason")
        return _build(space.fresh(), dataset, validate_all=True)


def _build(space: Workspace, dataset: ArtifactId, *, validate_all: bool) -> building.BuildResult:
    """Build; with `validate_all`, images that could be copied server-side are read and validated here too.

    Denied images are added to `exclude:` first, so that a version stays a function of its manifest and selection.
    """
    _forget(space, dataset)
    manifest = manifests.load_dataset(space.tree, dataset)
    wanted = _leave_out(space, manifest)
    if denied := {uuid: why for uuid, why in wanted.exclude.items() if uuid not in manifest.exclude}:
        _write_excluded(space, dataset, denied)
    plan = _plan(space, wanted)
    with bar("copying images", len(plan.pending)) as progress:
        return building.apply(plan, build_places(space), progress, validate_all=validate_all)


def exclude(space: Workspace, dataset: ArtifactId, uuids: Sequence[str], why: str) -> int:
    """Add selected images to a dataset's `exclude:`, all with one reason. Returns how many were not excluded before.

    Raises InvalidData for what is not a UUID of the selection, and InvalidDocument for a reason that is not one line.
    """
    manifest, path = manifests.load_dataset(space.tree, dataset), layout.manifest_path(dataset)
    rows = selected(space, manifest)
    if unknown := sorted({*uuids} - {*rows["uuid"]}):
        faults = [f"{uuid}: not in the selection" for uuid in unknown]
        fix = "copy UUIDs as the report prints them"
        raise InvalidData(f"{dataset}: {plural(len(unknown), 'image')} cannot be excluded", faults, fix=fix)
    reasons = {uuid: why for uuid in uuids if uuid not in manifest.exclude}
    if reasons:
        _write_excluded(space, dataset, reasons)
        say(f"{path}: added {plural(len(reasons), 'image')} to exclude:")
    return len(reasons)


def _write_excluded(space: Workspace, dataset: ArtifactId, reasons: Mapping[str, str]) -> None:
    """Add images to a dataset's `exclude:`. Raises InvalidDocument, and Refused for too many."""
    manifest, path = manifests.load_dataset(space.tree, dataset), layout.manifest_path(dataset)
    edited = exclusions.exclude(manifest, space.tree.read(path), reasons)
    schema.require(documents.read_yaml(edited, path), "dataset")
    write_atomically(space.root / path, edited)


def build_places(space: Workspace) -> Places:
    """Where a build reads and writes."""
    stores = space.stores
    return Places(space.root, stores.lake, stores.staging, stores.production, stores.cache)
