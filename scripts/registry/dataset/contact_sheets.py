"""Contact sheets: some of the images that a change is about, on one small WebP picture with captions.

The same pictures give the same bytes. A sheet has a background of its own, so that it reads on light and dark pages.
"""

import unicodedata
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING

from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from polars import DataFrame, col, int_range

from registry.core.artifact_files import Reader
from registry.dataset import image_validation
from registry.dataset.changes import Sheet

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SHOWN = 20  # pictures on a sheet
COLUMNS = 5
LANES = 8  # threads: decoding releases the interpreter's lock, and a bucket answers several at once
MAX_BYTES = 150_000
QUALITIES = (82, 74, 66, 55, 40, 25, 12, 4)  # of WebP, until a sheet is small enough

SIDE, GAP, LINE = 168, 12, 17  # pixels: of a picture's square, between squares, of a line of text
PAPER, TILE, RIM, INK, FAINT, ARROW = "#f6f8fa", "#e4e8ec", "#c9d1d9", "#1f2328", "#57606a", "#0969da"
BROKEN = "#8c959f"

TO_UPRIGHT = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for broken bytes (see `images`), and the fault of an image that is none.
FAULTS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, MemoryError, RuntimeError)


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """An image and its caption: `labels` are joined by arrows (old → new), `note` is the fainter second line."""

    md5: str
    labels: tuple[str, ...]
    note: str = ""


def sample(frame: DataFrame, by: str = "label", number: int = SHOWN) -> DataFrame:
    """At most `number` rows, as many of each value of `by` as can be; the same ones every time.

    `frame` has at least uuid, md5 and `by`. An MD5 is as good as a die, and falls the same on every machine.
    """
    dice = frame.sort("md5", "uuid").with_columns(turn=int_range(0, col("md5").len()).over(by))
    return dice.sort("turn", by).head(number).sort(by, "turn").drop("turn")


def render(name: str, title: str, pictures: Sequence[CaptionedImage], total: int, read: Reader) -> Sheet:
    """The sheet of these pictures, out of `total`, in their order; `read` is asked for each of them once.

    An image that cannot be read or decoded is a grey tile that says why.
    """
    with without_warnings(), ThreadPoolExecutor(LANES) as pool:
        tiles = list(pool.map(lambda picture: render_tile(read, picture.md5), pictures))
    columns = max(1, min(COLUMNS, len(pictures)))
    rows = -(-len(pictures) // columns)
    step = SIDE + GAP
    page = Image.new("RGB", (columns * step + GAP, rows * (step + 2 * LINE + 4) + GAP), PAPER)
    for place, (picture, image) in enumerate(zip(pictures, tiles, strict=True)):
        corner = (GAP + place % columns * step, GAP + place // columns * (step + 2 * LINE + 4))
        _paste(page, corner, image, picture)
    shown = len(pictures)
    alt = _alt(title, pictures, total)
    return Sheet(name, title, total, shown, page.width, page.height, alt, _encode(page))


def without_warnings() -> warnings.catch_warnings:
    """Within it Pillow warns of no broken EXIF and no bomb: such an image is a tile that says so, or is passed over."""
    return warnings.catch_warnings(action="ignore")


def _alt(title: str, pictures: Sequence[CaptionedImage], total: int) -> str:
    names = sorted(" to ".join(picture.labels) for picture in pictures)
    counts = ", ".join(f"{len(list(same))} {name}" for name, same in groupby(names))
    return f"{title}: {len(pictures):,} of {total:,} images ({counts})"


def _encode(page: Image.Image) -> bytes:
    for quality in QUALITIES:
        out = BytesIO()
        page.save(out, "WEBP", quality=quality, method=4)
        if len(out.getvalue()) <= MAX_BYTES:
            break
    return out.getvalue()


# --- one picture ------------------------------------------------------------------------------------------------------


def render_tile(read: Reader, md5: str, side: int = SIDE) -> Image.Image:
    """An image, upright and whole in RGB, that fits into a square of `side` pixels; a grey one where it is broken."""
    data = read(md5)
    if data is None:
        return _broken("no intact copy", side)
    try:
        return thumbnail(data, side)
    except UnidentifiedImageError:
        return _broken("not an image" if data else "empty", side)
    except Image.DecompressionBombError:
        return _broken("too many pixels", side)
    except FAULTS as error:
        return _broken(str(error) if isinstance(error, OSError | ValueError) else "cannot be decoded", side)


def thumbnail(data: bytes, side: int) -> Image.Image:
    """An image's bytes as RGB, upright, its longer edge at most `side` pixels. Raises what Pillow does.

    Not ImageOps.exif_transpose, which writes the EXIF anew and so fails on a photo whose EXIF is broken.
    """
    with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
        if image.width * image.height > image_validation.MAX_PIXELS:
            raise ValueError("too many pixels")
        image.draft("RGB", (2 * side, 2 * side))  # lets a JPEG skip detail that scaling would throw away
        turn = TO_UPRIGHT.get(orientation(image))
        image.thumbnail((side, side), Image.Resampling.BOX if image.mode.startswith("I") else Image.Resampling.LANCZOS)
        upright = to_rgb(image) if turn is None else to_rgb(image).transpose(turn)  # the first of them is 0
    larger = side // max(upright.size)  # tiny ones by whole numbers, so that each pixel stays what it is
    return ImageOps.scale(upright, larger, Image.Resampling.NEAREST) if larger > 1 else upright


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF is broken."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except FAULTS:
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; 16 bits keep their upper eight (Pillow would clip), and what is transparent becomes white."""
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def _broken(reason: str, side: int) -> Image.Image:
    grey = Image.new("RGB", (side, side), BROKEN)
    pen, font = ImageDraw.Draw(grey), _font(13)
    lines = _wrap(f"no picture: {plain(reason)}", font, side - 24)[:6]
    top = (side - LINE * len(lines)) // 2
    for number, line in enumerate(lines):
        pen.text((side // 2, top + number * LINE), line, "white", font, anchor="ma")
    return grey


def _wrap(text: str, font: "FreeTypeFont", width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_cut(word, font, width))
    return [line for line in lines if line]


# --- captions ---------------------------------------------------------------------------------------------------------


def _paste(page: Image.Image, corner: tuple[int, int], image: Image.Image, picture: CaptionedImage) -> None:
    left, top = corner
    pen = ImageDraw.Draw(page)
    pen.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), TILE)
    page.paste(image, (left + (SIDE - image.width) // 2, top + (SIDE - image.height) // 2))
    pen.rectangle((left - 1, top - 1, left + SIDE, top + SIDE), outline=RIM)
    _write_labels(pen, (left, top + SIDE + 5), picture.labels)
    pen.text((left, top + SIDE + 5 + LINE), _cut(plain(picture.note), _font(12), SIDE), FAINT, _font(12))


def _write_labels(pen: ImageDraw.ImageDraw, corner: tuple[int, int], labels: Sequence[str]) -> None:
    """Labels side by side, an arrow between them (the font has none); what is short leaves its room to the others."""
    texts, font = [plain(label) for label in labels], _font(14)
    rooms = _share([font.getlength(text) for text in texts], SIDE - 22 * (len(texts) - 1))
    x, y = corner
    for text, room in zip(texts, rooms, strict=True):
        if x > corner[0]:
            pen.line((x + 5, y + 8, x + 16, y + 8), ARROW, 2)
            pen.polygon(((x + 13, y + 4), (x + 18, y + 8), (x + 13, y + 12)), ARROW)
            x += 22
        short = _cut(text, font, room)
        pen.text((x, y), short, INK, font, stroke_width=0.3, stroke_fill=INK)
        x += round(font.getlength(short))


def _share(wanted: Sequence[float], width: float) -> list[float]:
    rooms = list(wanted)
    for rank, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        rooms[place] = min(wanted[place], width / (len(wanted) - rank))
        width -= rooms[place]
    return rooms


def _cut(text: str, font: "FreeTypeFont", width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def plain(text: str) -> str:
    """A text in the letters that Pillow's own font has: accents fall off, other strange ones are question marks."""
    folded = unicodedata.normalize("NFKD", text)
    return "".join(
        char if char == "·" or (char.isascii() and char.isprintable()) else "?"
        for char in folded
        if not unicodedata.combining(char)
    )


@cache
def _font(size: int) -> "FreeTypeFont":
    return ImageFont.load_default(size)
