"""Writes what the site shows of the images of a dataset's releases, where it is not there yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from polars import DataFrame, col, when

from registry.catalog import columns, sheets, shown_items
from registry.catalog.folder import INCOMPLETE, Folder
from registry.catalog.options import Options
from registry.catalog.sheets import CELLS, Drawn, Places, Sheet
from registry.catalog.shown_items import ShownItems
from registry.core import layout
from registry.core.parts import Parts
from registry.core.progress import counter
from registry.core.values import ArtifactId, DatasetManifest, Tag
from registry.dataset import diff, items
from registry.dataset.items import Items
from registry.errors import RegistryError
from registry.release.history import Release

INDEX = "index.js"
BATCH = 64  # sheets that are drawn before they are written


class Shown(NamedTuple):
    """What is shown of a release, and the folder of its data in the site."""

    folder: str
    items: ShownItems


def sheet_path(dataset: ArtifactId, name: str) -> str:
    """A contact sheet in the site."""
    return f"{dataset}/sheets/{name}.webp"


def prepare(folder: Folder, releases: Sequence[Release], options: Options) -> dict[Tag, Shown]:
    """What is shown of the releases of one dataset, the earliest first, after writing what the site lacks of it.

    A release whose lists cannot be read is left out, and told.
    """
    found, place, writer = dict[Tag, Shown](), "", _Writer(folder, options)
    for release in releases:
        manifest = release.version.content.manifest if release.version else None
        if release.version is None or not isinstance(manifest, DatasetManifest):
            continue
        one = _Dataset(release.tag, manifest, release.version.parts)
        key = shown_items.key(one.listed, manifest.columns, options.images, options.erased_key, place)
        wanted = f"{one.tag.artifact}/v{one.tag.version}/items/{key}"
        try:
            known = _find(folder, wanted, one.tag) or writer.write(wanted, one)
        except RegistryError as error:
            options.warn(f"{one.tag}: its images and columns are not shown: {error.message}")
            continue
        place, found[one.tag] = wanted, Shown(wanted, known)
        writer.earlier.append(one)
    return found


@dataclass(frozen=True, slots=True)
class _Dataset:
    """A release of a dataset: its manifest, and its lists of files."""

    tag: Tag
    manifest: DatasetManifest
    listed: Parts


def _find(folder: Folder, place: str, tag: Tag) -> ShownItems | None:
    """What is shown of a release, where all of it is there."""
    known = shown_items.read_index(folder.read(f"{place}/{INDEX}") or b"")
    if known is None:
        return None
    beside = (f"{place}/{name}" for name in (INDEX, *shown_items.file_names(known)))
    own = (layout.release_sheet(tag),) if known.sheets else ()
    there = folder.has(*beside, *own, *(sheet_path(tag.artifact, name) for name in known.sheets))
    return known if there else None


@dataclass(slots=True)
class _Writer:
    """Writes releases of one dataset; `earlier` are those before, whose images are put on sheets first."""

    folder: Folder
    options: Options
    earlier: list[_Dataset] = field(default_factory=list)
    _places: Places = field(default_factory=Places)
    _placed: int = 0  # of the earlier ones
    _drawn: dict[str, bool] = field(default_factory=dict)  # sheets, and whether one is complete

    def write(self, place: str, one: _Dataset) -> ShownItems:
        """What is shown of a release, after writing it."""
        found = self._read(one)
        metadata = diff.read_metadata(one.manifest, found, self.options.read)
        for before in self.earlier[self._placed :]:
            self._places.add(_md5s(self._choose(self._read(before))))
        self._placed = len(self.earlier)
        chosen = self._choose(found)
        self._places.add(_md5s(chosen))
        rows, names = self._places.locate(chosen)
        gone = col("uuid").is_in(self.options.erased.find_items(found.frame["uuid"]))
        described = columns.describe(metadata.filter(~gone))
        self._draw(one.tag, [self._places.sheets[name] for name in names])
        shown = ShownItems(found.frame.height, shown_items.groups(rows), described.distributions, names)
        for name, data in shown_items.write_rows(rows, metadata.filter(~gone), described):
            self.folder.write(f"{place}/{name}", data)
        if examples := shown_items.examples(chosen):
            [drawn] = sheets.draw([Sheet("", examples)], self.options.read)
            self._put(layout.release_sheet(one.tag), drawn)
        is_complete = all(self._drawn.get(name, True) for name in names)
        self.folder.write(f"{place}/{INDEX}", shown_items.write_index(shown), "" if is_complete else INCOMPLETE)
        return shown

    def _read(self, one: _Dataset) -> Items:
        return items.read(one.listed, self.options.read)

    def _choose(self, found: Items) -> DataFrame:
        """The rows that are shown. An erased item stays as a row without anything of it, so that numbers agree."""
        gone = col("uuid").is_in(self.options.erased.find_items(found.frame["uuid"]))
        return shown_items.choose(found.frame, self.options.images).with_columns(
            when(gone).then(None).otherwise(col(name)).alias(name) for name in ("uuid", "md5")
        )

    def _draw(self, tag: Tag, wanted: Sequence[Sheet]) -> None:
        """Draw the sheets that are not there, or lack an image."""
        paths = {one.name: sheet_path(tag.artifact, one.name) for one in wanted}
        missing = [one for one in wanted if one.name not in self._drawn and not self.folder.has(paths[one.name])]
        with counter(f"thumbnails of {tag}", "image", sum(len(one.images) for one in missing)) as advance:
            for start in range(0, len(missing), BATCH):
                batch = missing[start : start + BATCH]
                done = sheets.draw(batch, self.options.read, lambda count, _: advance(count * CELLS))
                for sheet, drawn in zip(batch, done, strict=True):
                    self._drawn[sheet.name] = self._put(paths[sheet.name], drawn)

    def _put(self, path: str, drawn: Drawn) -> bool:
        """Write a sheet; whether it is complete."""
        self.folder.write(path, drawn.data, "" if drawn.is_complete else INCOMPLETE)
        return drawn.is_complete


def _md5s(rows: DataFrame) -> list[str]:
    return rows["md5"].drop_nulls().to_list()
