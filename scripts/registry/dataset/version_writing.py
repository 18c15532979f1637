"""Writes a version whose images are stored: the tables, the lists of files (`.dir` objects), and `prepared.dvc` last.

A version is one tracked folder, or has a part for each split and prefix (`core.parts`), with a table and a list of its
own: each part is a small version, and one image more rewrites one part.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import polars as pl
from polars import DataFrame, col

from registry.core import digests, item_paths, layout, manifests, parts, pointers
from registry.core.atomic_write import clear_leftovers, write_atomically
from registry.core.values import Build, DatasetManifest, Output
from registry.dataset import items, version_files, version_rows
from registry.dataset.intake import Places, store_object
from registry.dataset.loaded_selection import LoadedSelection
from registry.dataset.version_rows import Folder
from registry.sync import dir_listing

WRITERS = 16  # parts that are stored at the same time: a bucket takes as long for sixteen objects as for one


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a version that is stored: its path below `prepared`, its list of files, and their number and bytes."""

    path: str
    md5: str  # of the list
    listing: bytes
    files: int
    size: int


def write(manifest: DatasetManifest, selection: LoadedSelection, rows: DataFrame, places: Places) -> Build:
    """Write the version; `rows` has the images of the selection, sorted by uuid: uuid, label, split, key, md5, size."""
    for md5, data in selection.objects.items():
        store_object(md5, data, places)
    rows = rows.with_columns(version_rows.folder_column(manifest, rows))
    outputs, whole = list[Output](), version_files.Whole()
    for part in _store_parts(manifest, selection.rows, rows, places):
        if manifest.folders:
            whole.add(part.path, part.listing)
        outputs.append(Output(parts.path(manifest.id, part.path), part.md5, part.size, part.files))
    rule, counts = manifests.build_rule(manifest), items.count(rows)
    build = Build(selection.output.md5, rule, len(rows), counts, whole.md5 if manifest.folders else "")
    _write_pointer(places.root, manifest, outputs, build)
    return build


def _store_parts(manifest: DatasetManifest, selection: DataFrame, rows: DataFrame, places: Places) -> Iterator[_Part]:
    """Each part of the version, sorted by its path, after storing its tables and its list of files."""
    tables = version_rows.tables(manifest, selection, rows)
    if not manifest.folders:
        yield _store_list(
            "", pl.concat(_store_table(rows[one.rows], one, data, places) for one, data in tables), places
        )
        return

    def store(made: tuple[Folder, bytes]) -> _Part:
        folder, table = made
        return _store_list(folder.path, _store_table(rows[folder.rows], folder, table, places), places)

    with ThreadPoolExecutor(WRITERS) as pool:
        while some := list(islice(tables, WRITERS)):
            yield from pool.map(store, some)


def _store_table(rows: DataFrame, folder: Folder, table: bytes, places: Places) -> DataFrame:
    """The files of a folder (md5, size, relpath below `prepared`), after storing its table."""
    md5 = store_object(digests.md5(table), table, places)
    files = rows.select("md5", "size", relpath=version_rows.item_path())
    row = (md5, len(table), f"{folder.path}/{item_paths.METADATA}")
    return pl.concat([files, DataFrame([row], files.schema, orient="row")])


def _store_list(path: str, files: DataFrame, places: Places) -> _Part:
    """The part that has these files, after storing the list of them."""
    listing = dir_listing.write(files.select("md5", col("relpath").str.strip_prefix(f"{path}/")))
    md5 = store_object(dir_listing.md5_of(listing), listing, places)
    return _Part(path, md5, listing, len(files), int(files["size"].sum()))


def _write_pointer(root: Path, manifest: DatasetManifest, outputs: Sequence[Output], build: Build) -> None:
    facts = {name: fact for name, fact in asdict(build).items() if fact or name != "whole"}
    data = pointers.write_outputs(str(manifest.id), outputs, {"build": facts})
    pointer = root / layout.prepared_pointer(manifest.id)
    clear_leftovers(pointer)
    if not pointer.is_file() or pointer.read_bytes() != data:
        write_atomically(pointer, data)
