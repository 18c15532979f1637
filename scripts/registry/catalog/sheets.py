"""Contact sheets: the thumbnails of many images in one picture, and which image is where.

Each image of a dataset is on one sheet, however many versions have it, so a later version adds sheets with what is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple

import polars as pl
from PIL import Image
from polars import DataFrame, Series

from registry.core import digests
from registry.core.artifact_files import Reader
from registry.core.progress import Progress
from registry.dataset import decoding, thumbnails
from registry.storage.reader import map_reading

SIDE = 80  # pixels of the square that a thumbnail fits into
ACROSS = 8  # thumbnails in a row of a sheet, and rows
CELLS = ACROSS * ACROSS
QUALITY = 70  # of WebP


class Sheet(NamedTuple):
    """A sheet: its name, which is that of what is on it, and its images by MD5, row by row."""

    name: str
    images: tuple[str, ...]


class Drawn(NamedTuple):
    """A sheet as WebP, and whether each of its images could be read. A cell without an image is transparent."""

    data: bytes
    is_complete: bool

    @property
    def moved(self) -> int:
        """Bytes, for progress."""
        return len(self.data)


@dataclass(slots=True)
class Places:
    """Where the images of one dataset are; versions are added from the first to the last."""

    sheets: dict[str, Sheet] = field(default_factory=dict)
    _places: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, images: Sequence[str]) -> None:
        """Put images, by MD5, on sheets in their order, but those that are on one already."""
        new = [md5 for md5 in dict.fromkeys(images) if md5 not in self._places]
        for start in range(0, len(new), CELLS):
            cells = tuple(new[start : start + CELLS])
            sheet = Sheet(digests.md5(f"{SIDE} {ACROSS} {' '.join(cells)}".encode())[:16], cells)
            self.sheets[sheet.name] = sheet
            self._places.update((md5, (sheet.name, cell)) for cell, md5 in enumerate(cells))

    def locate(self, rows: DataFrame) -> tuple[DataFrame, tuple[str, ...]]:
        """Rows (md5; null: not shown) with their `place`, cells counted through the sheets, which are returned."""
        found = [self._places.get(md5) for md5 in rows["md5"]]
        names = {name: at for at, name in enumerate(dict.fromkeys(one[0] for one in found if one))}
        places = [names[one[0]] * CELLS + one[1] if one else None for one in found]
        return rows.with_columns(Series("place", places, pl.Int64)), tuple(names)


def draw(sheets: Sequence[Sheet], read: Reader, progress: Progress | None = None) -> list[Drawn]:
    """Read and draw the images of some sheets; the same images give the same bytes."""
    with thumbnails.without_warnings():  # it is not safe to set within a thread
        return map_reading(_draw, read, sheets, concurrency=thumbnails.THREADS, progress=progress)


def _draw(read: Reader, sheet: Sheet) -> Drawn:
    tiles = [_tile(read(md5)) for md5 in sheet.images]
    page = Image.new("RGBA", (SIDE * ACROSS, SIDE * -(-len(tiles) // ACROSS)))
    for cell, image in enumerate(tile.image for tile in tiles):
        if image:
            row, column = divmod(cell, ACROSS)
            page.paste(image, (column * SIDE + (SIDE - image.width) // 2, row * SIDE + (SIDE - image.height) // 2))
    out = BytesIO()
    page.save(out, "WEBP", quality=QUALITY, method=2)
    return Drawn(out.getvalue(), all(tile.is_known for tile in tiles))


class _Tile(NamedTuple):
    """A thumbnail, None where the bytes are no image; `is_known` is whether there were any."""

    image: Image.Image | None
    is_known: bool = True


def _tile(data: bytes | None) -> _Tile:
    if data is None:
        return _Tile(None, is_known=False)
    try:
        return _Tile(thumbnails.decode(data, SIDE))
    except decoding.FAULTS:
        return _Tile(None)
