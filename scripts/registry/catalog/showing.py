"""Writes what the site shows of the images of a dataset's releases, where it is not there yet.

The site's folder is the memory of it: what is there under its name is right, and nothing of it is read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from polars import DataFrame, col, when

from registry.catalog import columns, sheets, shown_items
from registry.catalog.options import Options
from registry.catalog.sheets import Places, Sheet
from registry.catalog.shown_items import ShownItems
from registry.core.atomic_write import write_atomically
from registry.core.progress import counter
from registry.core.values import ArtifactId, DatasetManifest, Tag
from registry.dataset import diff, items
from registry.errors import RegistryError
from registry.release.history import Release
from registry.storage.reader import require_object
from registry.sync import dir_listing

INDEX = "index.js"


class Shown(NamedTuple):
    """What is shown of a release, and the folder of its data in the site."""

    folder: str
    items: ShownItems


def sheet_path(dataset: ArtifactId, name: str) -> str:
    """A contact sheet in the site."""
    return f"{dataset}/sheets/{name}.webp"


def prepare(out: Path, releases: Sequence[Release], options: Options) -> dict[Tag, Shown]:
    """What is shown of the releases of one dataset, the earliest first, after writing what `out` lacks of it.

    A release whose lists cannot be read is left out, and told.
    """
    folders = {release.tag: _folder(release, options) for release in releases}
    found = {tag: known for tag, folder in folders.items() if (known := _read_index(out, folder))}
    if any(tag not in found or found[tag].partial for tag in folders):
        stale = {name for known in found.values() for name in known.partial}
        done = [tag for tag in found if not found[tag].partial]
        found |= _write(out, list(_load(releases, options)), folders, done, stale, options)
    return {tag: Shown(folders[tag], found[tag]) for tag in folders if tag in found}


def _folder(release: Release, options: Options) -> str:
    manifest = release.version.content.manifest if release.version else None
    listing = release.version.products[0].md5 if release.version else ""
    declared = manifest.columns if isinstance(manifest, DatasetManifest) else ()
    name = shown_items.key(listing, declared, options.images, options.erased_key)
    return f"{release.tag.artifact}/v{release.tag.version}/items/{name}"


def _read_index(out: Path, folder: str) -> ShownItems | None:
    try:
        return shown_items.read_index((out / folder / INDEX).read_bytes())
    except OSError:
        return None


class _Loaded(NamedTuple):
    """A release with the metadata of its images, and those rows that are shown: md5 is null for an erased one."""

    tag: Tag
    total: int
    metadata: DataFrame
    rows: DataFrame


def _load(releases: Sequence[Release], options: Options) -> Iterator[_Loaded]:
    for release in releases:
        manifest = release.version.content.manifest if release.version else None
        if release.version is None or not isinstance(manifest, DatasetManifest):
            continue
        try:
            md5 = release.version.products[0].md5
            found = items.parse(dir_listing.read(require_object(options.read, md5), md5))
            metadata = diff.read_metadata(manifest, found, options.read)
        except RegistryError as error:
            options.warn(f"{release.tag}: its images and columns are not shown: {error.message}")
            continue
        gone = col("uuid").is_in(options.erased.find_items(found.frame["uuid"]))
        rows = shown_items.choose(found.frame, options.images).with_columns(
            when(gone).then(None).otherwise(col(name)).alias(name) for name in ("uuid", "md5")
        )  # an erased item stays as a row without anything of it, so that the numbers are those of the release
        yield _Loaded(release.tag, found.frame.height, metadata.filter(~gone), rows)


def _write(
    out: Path,
    loaded: Sequence[_Loaded],
    folders: Mapping[Tag, str],
    done: Sequence[Tag],
    stale: set[str],
    options: Options,
) -> dict[Tag, ShownItems]:
    places = Places()
    for one in loaded:
        places.add(one.rows["md5"].drop_nulls().to_list())
    dataset = loaded[0].tag.artifact if loaded else None
    partial = set(_draw(out, dataset, list(places.sheets.values()), stale, options)) if dataset else set[str]()
    written = {}
    for one in loaded:
        if one.tag not in done:
            written[one.tag] = _write_release(out / folders[one.tag], one, places, partial)
    return written


def _draw(out: Path, dataset: ArtifactId, wanted: Sequence[Sheet], stale: set[str], options: Options) -> Iterator[str]:
    """Draw the sheets that are not there, or lack an image; the names of those that still lack one."""
    missing = [one for one in wanted if one.name in stale or not (out / sheet_path(dataset, one.name)).is_file()]
    with counter(f"thumbnails of {dataset}", "image", sum(len(one.images) for one in missing)) as advance:
        for sheet in missing:
            drawn = sheets.draw(sheet, options.read)
            write_atomically(out / sheet_path(dataset, sheet.name), drawn.data)
            advance(len(sheet.images))
            if not drawn.is_complete:
                yield sheet.name


def _write_release(folder: Path, one: _Loaded, places: Places, partial: set[str]) -> ShownItems:
    described = columns.describe(one.metadata)
    rows, names = places.locate(one.rows)
    for name, data in shown_items.write_rows(rows, one.metadata, described):
        write_atomically(folder / name, data)
    found = ShownItems(
        one.total, shown_items.groups(one.rows), described.distributions, names,
        tuple(name for name in names if name in partial),
    )  # fmt: skip
    write_atomically(folder / INDEX, shown_items.write_index(found))
    return found
