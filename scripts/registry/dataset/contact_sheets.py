"""Contact sheets: a sample of the changed images on one small WebP picture, with captions.

The same images give the same bytes. A sheet has its own background, so that it is legible on light and dark pages.
"""

import unicodedata
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from PIL.ImageFont import FreeTypeFont
from polars import DataFrame, col, int_range

from registry.core.artifact_files import Reader
from registry.dataset import decoding, image_formats
from registry.dataset.changes import Sheet
from registry.errors import Refused

SHOWN = 20  # images on a sheet
COLUMNS = 5
THREADS = 8  # decoding releases the GIL, and a bucket answers several requests at once
MAX_BYTES, SINGLE_BYTES = 150_000, 40_000
SINGLE = 320  # pixels: the longer side of an image that is shown alone
QUALITIES = (82, 74, 66, 55, 40, 25, 12, 4)  # of WebP, until a sheet is small enough

SIDE, GAP, LINE = 168, 12, 17  # pixels: of an image's square, between squares, of a line of text
PAGE_COLOR, TILE_COLOR, BORDER_COLOR, UNREADABLE_COLOR = "#f6f8fa", "#e4e8ec", "#c9d1d9", "#8c959f"
LABEL_COLOR, NOTE_COLOR, ARROW_COLOR = "#1f2328", "#57606a", "#0969da"


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """An image and its caption: `labels` are joined by arrows (old → new), `note` is the fainter second line."""

    md5: str
    labels: tuple[str, ...]
    note: str = ""


def sample(frame: DataFrame, by: str = "label", number: int = SHOWN) -> DataFrame:
    """At most `number` rows, balanced over the values of `by`; the same ones every time.

    `frame` has at least uuid, md5 and `by`. MD5 order is deterministic and effectively random.
    """
    shuffled = frame.sort("md5", "uuid").with_columns(round=int_range(0, col("md5").len()).over(by))
    return shuffled.sort("round", by).head(number).sort(by, "round").drop("round")


def render(name: str, title: str, images: Sequence[CaptionedImage], total: int, read: Reader) -> Sheet:
    """The sheet of these images, out of `total`, in their order; each is read once.

    An image that cannot be read or decoded is shown as a grey tile with the reason.
    """
    with without_warnings(), ThreadPoolExecutor(THREADS) as pool:
        tiles = list(pool.map(lambda image: render_tile(read, image.md5), images))
    columns = max(1, min(COLUMNS, len(images)))
    rows = -(-len(images) // columns)
    step = SIDE + GAP
    page = Image.new("RGB", (columns * step + GAP, rows * (step + 2 * LINE + 4) + GAP), PAGE_COLOR)
    for index, (image, tile) in enumerate(zip(images, tiles, strict=True)):
        corner = (GAP + index % columns * step, GAP + index // columns * (step + 2 * LINE + 4))
        _paste(page, corner, tile, image)
    alt = _alt_text(title, images, total)
    return Sheet(name, title, total, len(images), page.width, page.height, alt, _encode(page))


def single(name: str, alt: str, md5: str, read: Reader, side: int = SINGLE) -> Sheet:
    """One image alone, as large as a phone shows it; its caption is text beside it."""
    with without_warnings():
        tile = render_tile(read, md5, side)
    return Sheet(name, alt, 1, 1, tile.width, tile.height, alt, _encode(tile, SINGLE_BYTES))


def without_warnings() -> warnings.catch_warnings:
    """Suppresses Pillow's warnings of damaged EXIF and decompression bombs: callers handle such images themselves."""
    return warnings.catch_warnings(action="ignore")


def _alt_text(title: str, images: Sequence[CaptionedImage], total: int) -> str:
    names = sorted(" to ".join(image.labels) for image in images)
    counts = ", ".join(f"{len(list(same))} {name}" for name, same in groupby(names))
    return f"{title}: {len(images):,} of {total:,} images ({counts})"


def _encode(page: Image.Image, limit: int = MAX_BYTES) -> bytes:
    for quality in QUALITIES:
        out = BytesIO()
        page.save(out, "WEBP", quality=quality, method=4)
        if len(out.getvalue()) <= limit:
            break
    return out.getvalue()


# --- one image --------------------------------------------------------------------------------------------------------


def render_tile(read: Reader, md5: str, side: int = SIDE) -> Image.Image:
    """An image in RGB, upright, scaled to fit a square of `side` pixels; a grey tile with the reason where it fails."""
    data = read(md5)
    if data is None:
        return _render_unreadable("no intact copy", side)
    try:
        return thumbnail(data, side)
    except UnidentifiedImageError:
        return _render_unreadable("not an image" if data else "empty file", side)
    except Image.DecompressionBombError:
        return _render_unreadable("too many pixels", side)
    except decoding.FAULTS as error:
        return _render_unreadable(str(error) if isinstance(error, OSError | ValueError) else "cannot be decoded", side)


def thumbnail(data: bytes, side: int) -> Image.Image:
    """An image's bytes as RGB, upright, its longer edge at most `side` pixels. Raises what Pillow does.

    Not ImageOps.exif_transpose, which writes the EXIF again and so fails on a photo whose EXIF is broken.
    """
    with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
        if image.width * image.height > image_formats.MAX_PIXELS:
            raise ValueError("too many pixels")
        image.draft("RGB", (2 * side, 2 * side))  # lets a JPEG skip detail that scaling would throw away
        transpose = decoding.TO_UPRIGHT.get(decoding.orientation(image))
        image.thumbnail((side, side), Image.Resampling.BOX if image.mode.startswith("I") else Image.Resampling.LANCZOS)
        upright = (
            decoding.to_rgb(image) if transpose is None else decoding.to_rgb(image).transpose(transpose)
        )  # 0 is one of them
    factor = side // max(upright.size)  # tiny images by whole numbers, so that each pixel stays sharp
    return ImageOps.scale(upright, factor, Image.Resampling.NEAREST) if factor > 1 else upright


def _render_unreadable(reason: str, side: int) -> Image.Image:
    tile = Image.new("RGB", (side, side), UNREADABLE_COLOR)
    pen, font = ImageDraw.Draw(tile), _font(13)
    lines = _wrap(f"no image: {plain(reason)}", font, side - 24)[:6]
    top = (side - LINE * len(lines)) // 2
    for number, line in enumerate(lines):
        pen.text((side // 2, top + number * LINE), line, "white", font, anchor="ma")
    return tile


def _wrap(text: str, font: FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_truncate(word, font, width))
    return [line for line in lines if line]


# --- captions ---------------------------------------------------------------------------------------------------------


def _paste(page: Image.Image, corner: tuple[int, int], tile: Image.Image, image: CaptionedImage) -> None:
    left, top = corner
    pen = ImageDraw.Draw(page)
    pen.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), TILE_COLOR)
    page.paste(tile, (left + (SIDE - tile.width) // 2, top + (SIDE - tile.height) // 2))
    pen.rectangle((left - 1, top - 1, left + SIDE, top + SIDE), outline=BORDER_COLOR)
    _write_labels(pen, (left, top + SIDE + 5), image.labels)
    pen.text((left, top + SIDE + 5 + LINE), _truncate(plain(image.note), _font(12), SIDE), NOTE_COLOR, _font(12))


def _write_labels(pen: ImageDraw.ImageDraw, corner: tuple[int, int], labels: Sequence[str]) -> None:
    """Labels side by side, with an arrow between them (the font has none); short labels leave space to long ones."""
    texts, font = [plain(label) for label in labels], _font(14)
    widths = _distribute([font.getlength(text) for text in texts], SIDE - 22 * (len(texts) - 1))
    x, y = corner
    for text, width in zip(texts, widths, strict=True):
        if x > corner[0]:
            pen.line((x + 5, y + 8, x + 16, y + 8), ARROW_COLOR, 2)
            pen.polygon(((x + 13, y + 4), (x + 18, y + 8), (x + 13, y + 12)), ARROW_COLOR)
            x += 22
        short = _truncate(text, font, width)
        pen.text((x, y), short, LABEL_COLOR, font, stroke_width=0.3, stroke_fill=LABEL_COLOR)
        x += round(font.getlength(short))


def _distribute(wanted: Sequence[float], width: float) -> list[float]:
    """Shares of `width`, none larger than wanted; what the narrow ones leave is divided among the others."""
    shares = list(wanted)
    for rank, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[index] = min(wanted[index], width / (len(wanted) - rank))
        width -= shares[index]
    return shares


def _truncate(text: str, font: FreeTypeFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def plain(text: str) -> str:
    """A text in the characters that Pillow's default font has: accents are dropped, others become question marks."""
    folded = unicodedata.normalize("NFKD", text)
    return "".join(
        char if char == "·" or (char.isascii() and char.isprintable()) else "?"
        for char in folded
        if not unicodedata.combining(char)
    )


@cache
def _font(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, FreeTypeFont):  # Pillow was built without FreeType; its wheels are not
        raise Refused("Pillow has no FreeType support", fix="pip install --force-reinstall pillow")
    return font
