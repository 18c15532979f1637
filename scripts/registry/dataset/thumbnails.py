"""Thumbnails: small WebP pictures of images for a reviewer. What is said of an image is text beside it, never in it.

The same images give the same bytes.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from polars import DataFrame, col, int_range

from registry.core.artifact_files import Reader
from registry.dataset import decoding, image_formats
from registry.dataset.changes import Thumbnail
from registry.storage.reader import ERASED, absence

SHOWN = 12  # of a kind
THREADS = 8  # decoding releases the GIL, and a bucket answers several requests at once
SIDE, GAP = 320, 12  # pixels: the longer side of an image, which a phone shows whole; between the two of a pair
MAX_BYTES = 40_000
QUALITIES = (82, 74, 66, 55, 40, 25, 12, 4)  # of WebP, until a thumbnail is small enough
UNREADABLE_COLOR, CROSS_COLOR = "#8c959f", "#c9d1d9"


def sample(frame: DataFrame, by: str = "label", number: int = SHOWN) -> DataFrame:
    """At most `number` rows, balanced over the values of `by`; the same ones every time.

    `frame` has at least uuid, md5 and `by`. MD5 order is deterministic and effectively random.
    """
    shuffled = frame.sort("md5", "uuid").with_columns(round=int_range(0, col("md5").len()).over(by))
    return shuffled.sort("round", by).head(number).sort(by, "round").drop("round")


class Wanted(NamedTuple):
    """An image to render, by its MD5; `name` is fit for a file name, `alt` says what it shows."""

    name: str
    alt: str
    md5: str


def render(name: str, alt: str, md5: str, read: Reader, side: int = SIDE) -> Thumbnail:
    """The image with this MD5, at most `side` pixels long; a crossed grey square where it cannot be read or decoded."""
    with without_warnings():
        return _render(Wanted(name, alt, md5), read, side)


def render_all(wanted: Sequence[Wanted], read: Reader) -> list[Thumbnail]:
    """These images, as `render` does it; each is read once, some at a time."""
    with without_warnings(), ThreadPoolExecutor(THREADS) as pool:  # it is not safe to set within a thread
        return list(pool.map(lambda one: _render(one, read, SIDE), wanted))


def _render(one: Wanted, read: Reader, side: int) -> Thumbnail:
    tile = _render_tile(read, one.md5, side)
    fault = f"no image: {tile.fault}" if tile.fault else ""
    return Thumbnail(one.name, one.alt, tile.image.width, tile.image.height, _encode(tile.image), fault)


def render_pair(name: str, alt: str, md5s: tuple[str, str], read: Reader) -> Thumbnail:
    """Two images side by side, each at most SIDE pixels long."""
    with without_warnings():
        left, right = (_render_tile(read, md5, SIDE) for md5 in md5s)
    width, height = 2 * SIDE + GAP, max(left.image.height, right.image.height)
    page = Image.new("RGBA", (width, height))  # transparent, so that it fits light and dark pages
    for tile, start in ((left, 0), (right, SIDE + GAP)):
        page.paste(tile.image, (start + (SIDE - tile.image.width) // 2, (height - tile.image.height) // 2))
    faults = [f"no {side} image: {tile.fault}" for side, tile in (("left", left), ("right", right)) if tile.fault]
    return Thumbnail(name, alt, width, height, _encode(page, 2 * MAX_BYTES), "; ".join(faults))


def _encode(page: Image.Image, limit: int = MAX_BYTES) -> bytes:
    for quality in QUALITIES:
        out = BytesIO()
        page.save(out, "WEBP", quality=quality, method=4)
        if len(out.getvalue()) <= limit:
            break
    return out.getvalue()


# --- one image --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tile:
    """An image in RGB, upright and scaled; `fault` says why it is a grey square."""

    image: Image.Image
    fault: str = ""


def _render_tile(read: Reader, md5: str, side: int) -> _Tile:
    data = read(md5)
    if data is None:
        return _unreadable("erased" if absence(read, md5) == ERASED else "no intact copy", side)
    try:
        return _Tile(decode(data, side))
    except UnidentifiedImageError:
        return _unreadable("not an image" if data else "empty file", side)
    except Image.DecompressionBombError:
        return _unreadable("too many pixels", side)
    except decoding.FAULTS as error:
        return _unreadable(str(error) if isinstance(error, OSError | ValueError) else "cannot be decoded", side)


def without_warnings() -> warnings.catch_warnings:
    """Suppresses Pillow's warnings of damaged EXIF and decompression bombs: callers handle such images themselves."""
    return warnings.catch_warnings(action="ignore")


def decode(data: bytes, side: int) -> Image.Image:
    """An image's bytes as RGB, upright, its longer edge at most `side` pixels. Raises what Pillow does.

    Not ImageOps.exif_transpose, which writes the EXIF again and so fails on a photo whose EXIF is broken.
    """
    with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
        if image.width * image.height > image_formats.MAX_PIXELS:
            raise ValueError("too many pixels")
        image.draft("RGB", (2 * side, 2 * side))  # lets a JPEG skip detail that scaling would throw away
        transpose = decoding.TO_UPRIGHT.get(decoding.orientation(image))
        image.thumbnail((side, side), Image.Resampling.BOX if image.mode.startswith("I") else Image.Resampling.LANCZOS)
        pixels = decoding.to_rgb(image)
        upright = pixels if transpose is None else pixels.transpose(transpose)  # 0 is one of them
    factor = side // max(upright.size)  # tiny images by whole numbers, so that each pixel stays sharp
    return ImageOps.scale(upright, factor, Image.Resampling.NEAREST) if factor > 1 else upright


def _unreadable(fault: str, side: int) -> _Tile:
    tile = Image.new("RGB", (side, side), UNREADABLE_COLOR)
    pen = ImageDraw.Draw(tile)
    pen.line((0, 0, side, side), CROSS_COLOR, 3)
    pen.line((0, side, side, 0), CROSS_COLOR, 3)
    return _Tile(tile, fault)
