"""The selection that `raw.dvc` names, loaded and judged against the manifest: what a build starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars import col

from registry.core import digests, item_paths, layout, pointers
from registry.core.digests import object_key
from registry.core.layout import SPLITS
from registry.core.values import DatasetManifest, Output, Selection
from registry.core.wording import plural
from registry.dataset import adopted_selection, column_types, exports, provenance
from registry.errors import InvalidData, NotFound, Refused
from registry.storage.base import Store
from registry.storage.local import Folder
from registry.sync import dir_listing

FILE = "selection.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSelection:
    """The rows of the selection that raw.dvc names, with the two objects that hold them, by MD5."""

    rows: pl.DataFrame
    output: Output
    objects: Mapping[str, bytes]


def read(manifest: DatasetManifest, root: Path, stores: Sequence[Store]) -> LoadedSelection:
    """The selection that raw.dvc names, from the working tree below `root` or the first store that has it.

    Raises NotFound where no store has it, Refused where it is another one, InvalidData for rows that are invalid.
    """
    path, name = layout.raw_pointer(manifest.id), layout.selection_path(manifest.id)
    folder, fix = Folder(root), f"registry select {manifest.id}"
    if not folder.has(path):
        raise NotFound(f"{path} does not exist: {manifest.id} has no selection", fix=fix)
    output = pointers.read_pointer(folder.get(path), path)
    origin = provenance.read(folder.get(path), path)
    _require_source(manifest, origin)
    data = folder.get(name) if folder.has(name) else _fetch_selection(manifest, output, stores)
    listing = dir_listing.write(pl.DataFrame({"md5": [digests.md5(data)], "relpath": [FILE]}))
    if dir_listing.md5_of(listing) != output.md5:
        fix = f"dvc checkout --force {path} restores it; {fix} replaces it"
        raise Refused(f"{name}: the MD5 differs from the one in raw.dvc", fix=fix)
    rows = exports.read_selection(data, name, rows=origin.rows)
    require_rows(manifest, rows)
    return LoadedSelection(rows, output, {digests.md5(data): data, output.md5: listing})


def _require_source(manifest: DatasetManifest, selection: Selection) -> None:
    if provenance.source_hash(manifest) != selection.source_hash:
        fault = "the query (source and columns) changed after the selection in raw.dvc"
        raise Refused(f"{layout.manifest_path(manifest.id)}: {fault}", fix=f"registry select {manifest.id}")


def _fetch_selection(manifest: DatasetManifest, output: Output, stores: Sequence[Store]) -> bytes:
    listing = dir_listing.read(_fetch(manifest, output.md5, stores), output.md5)
    return _fetch(manifest, listing.row(0, named=True)["md5"], stores)


def _fetch(manifest: DatasetManifest, md5: str, stores: Sequence[Store]) -> bytes:
    for store in stores:
        try:
            return store.get(object_key(md5))
        except NotFound:
            continue
    raise NotFound(
        f"{manifest.id}: no copy of the selection in DVC's cache, staging or production",
        fix=f"registry select {manifest.id}",
    )


def require_rows(manifest: DatasetManifest, rows: pl.DataFrame) -> None:
    """Validates a selection like an export: it comes from Git and stores that others can write.

    Raises Refused for other columns or types, InvalidData for values that the manifest does not allow.
    """
    fix = f"registry select {manifest.id}"
    if rows.columns != [column.name for column in manifest.columns]:
        expected = ", ".join(column.name for column in manifest.columns)
        fault = f"the selection has the columns {', '.join(rows.columns)}, expected {expected}"
        raise Refused(f"{manifest.id}: {fault}", fix=fix)
    types = {column.name: column_types.dtype(column.type) for column in manifest.columns}
    if wrong := [name for name, dtype in rows.schema.items() if dtype != types[name]]:
        fault = f"the selection's column {wrong[0]} has the type {rows.schema[wrong[0]]}, expected {types[wrong[0]]}"
        raise Refused(f"{manifest.id}: {fault}", fix=fix)
    is_uuid, is_class = col("uuid").str.contains(f"^{item_paths.UUID}$"), col("label").is_in(list(manifest.classes))
    required = {column.name for column in manifest.columns if not column.nullable} - {"label"}
    given = manifest.split.given
    problems = [
        *(adopted_selection.find_problems(rows) if manifest.is_adopted else ()),
        *(
            f"{uuid}: {given} is {split!r}, expected {', '.join(SPLITS)}"
            for uuid, split in (rows.filter(~col(given).is_in(SPLITS))["uuid", given].rows() if given else ())
        ),
        *(
            f"{name}: {plural(rows[name].null_count(), 'row')} without a value"
            for name in rows.columns
            if name in required and rows[name].has_nulls()
        ),
        *(f"{uuid!r} is not a UUID" for uuid in rows.filter(is_uuid.not_().fill_null(value=True))["uuid"]),
        *(f"duplicate UUID {uuid}" for uuid in rows.filter(col("uuid").is_duplicated())["uuid"].unique().sort()),
        *(
            f"{uuid}: label {label!r} is not in classes"
            for uuid, label in rows.filter(is_class.not_().fill_null(value=True))["uuid", "label"].rows()
        ),
    ]
    if problems:
        raise InvalidData(f"{manifest.id}: the selection does not match dataset.yaml", problems, fix=fix)
