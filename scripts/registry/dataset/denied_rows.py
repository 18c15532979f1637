"""Keeps denied images out of datasets: out of a new selection, and out of what is built of an earlier one."""

from dataclasses import replace

from polars import DataFrame, col

from registry.core.deny_list import Denied
from registry.core.values import DatasetManifest
from registry.core.wording import abbreviate, plural
from registry.dataset import exports
from registry.dataset.select import SelectedRows
from registry.errors import InvalidData


def leave_out(manifest: DatasetManifest, rows: SelectedRows, denied: Denied) -> SelectedRows:
    """A selection without denied images, and a note that names them. Raises InvalidData where none is left."""
    if not (found := denied.find(rows.frame["uuid"])):
        return rows
    kept = rows.frame.filter(~col("uuid").is_in(list(found)))
    if kept.is_empty():
        fault = f"{manifest.id}: the deny list has all {plural(len(found), 'selected image')}"
        raise InvalidData(fault, [f"{uuid}: {why}" for uuid, why in found.items()], fix="select others")
    note = f"{plural(len(found), 'denied image')} left out: {abbreviate(list(found))}"
    origin = replace(rows.origin, rows=kept.height, rows_hash=exports.rows_hash(kept))
    return replace(rows, frame=kept, origin=origin, notes=(*rows.notes, note))


def find(manifest: DatasetManifest, selection: DataFrame, denied: Denied) -> dict[str, str]:
    """The denied images of a selection that the manifest does not exclude yet, sorted, each with the reason."""
    return denied.find(selection.filter(~col("uuid").is_in(list(manifest.exclude)))["uuid"])
