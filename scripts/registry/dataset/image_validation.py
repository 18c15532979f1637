"""Whether bytes are a sound image: of the type that their key's ending says, whole, decodable, of a sane size."""

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb (PIL.Image.MAX_IMAGE_PIXELS)
MAX_BYTES = 256 << 20  # far more than as many pixels take

# The first bytes of what people mistake for something else.
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"<", "HTML or XML"),
)
_TYPES = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WebP"}


def find_fault(key: str, data: bytes) -> str | None:
    """What is wrong with the image under `key`, or None.

    A PNG that is called `.jpg` is wrong: browsers, object stores and decoders of one format go by the name. All pixels
    are decoded (a JPEG's at an eighth of its size, which still reads every coefficient), for `verify` reads none.
    """
    wanted = _TYPES.get(key.rpartition(".")[2].lower())
    if not data:
        return "empty"
    if len(data) > MAX_BYTES:
        return f"too large: {len(data):,} bytes, more than {MAX_BYTES:,}"
    if wanted is None:
        return f"not a type that a dataset can have ({', '.join(_TYPES)})"
    if (found := _type(data)) != wanted:
        return f"its name says {wanted}, but it is {found or 'no image'}"
    return _decode(wanted, data)


def _type(data: bytes) -> str | None:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)


def _decode(kind: str, data: bytes) -> str | None:
    try:
        image = _open(kind, data)
        if image.width * image.height > MAX_PIXELS:
            return f"too large: {image.width:,} × {image.height:,} pixels, more than {MAX_PIXELS:,}"
        if kind == "JPEG":
            image.draft("L", (1, 1))
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, MemoryError) as error:
        return f"unreadable: {_one_line(str(error))}" if _ends(kind, data) else "truncated"
    return None if _ends(kind, data) else "truncated"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:100] or "it cannot be decoded"


def _open(kind: str, data: bytes) -> "ImageFile":
    """The decoder of one format, so that no other one, and no warning, is reached."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {"JPEG": JpegImageFile, "PNG": PngImageFile, "WebP": WebPImageFile}[kind](BytesIO(data))


def _ends(kind: str, data: bytes) -> bool:
    """Whether the format's own end is there: decoders are content with less."""
    if kind == "JPEG":
        return data.find(b"\xff\xd9", _scan_start(data)) >= 0
    if kind == "PNG":
        return b"IEND\xaeB`\x82" in data[-65_536:]
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _scan_start(data: bytes) -> int:
    """Where a JPEG's first scan starts: the thumbnail that may lie before it has an end of its own."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        place += 1 if data[place + 1] == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4])
    return place
