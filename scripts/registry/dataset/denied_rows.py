"""Keeps denied images out of datasets: out of a new selection, and out of what is built of an earlier one."""

from collections.abc import Iterator
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
    kept = rows.frame.filter(~col("uuid").is_in(list(denied)))
    if kept.height == rows.frame.height:
        return rows
    left_out = rows.frame.filter(col("uuid").is_in(list(denied)))["uuid"].to_list()
    if kept.is_empty():
        fault = f"{manifest.id}: the deny list has all {plural(len(left_out), 'selected image')}"
        raise InvalidData(fault, list(_describe(left_out, denied)), fix="select others")
    note = f"{plural(len(left_out), 'denied image')} left out: {abbreviate(left_out)}"
    origin = replace(rows.origin, rows=kept.height, rows_hash=exports.rows_hash(kept))
    return replace(rows, frame=kept, origin=origin, notes=(*rows.notes, note))


def _describe(uuids: list[str], denied: Denied) -> Iterator[str]:
    return (f"{uuid}: {denied[uuid]}" for uuid in uuids)


def find(manifest: DatasetManifest, selection: DataFrame, denied: Denied) -> dict[str, str]:
    """The denied images of a selection that the manifest does not exclude yet, sorted, each with the reason."""
    found = selection.filter(col("uuid").is_in(list(denied)), ~col("uuid").is_in(list(manifest.exclude)))
    return {uuid: denied[uuid] for uuid in found["uuid"].sort()}
