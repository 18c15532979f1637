"""Whether bytes are a valid image: of the type of the key's extension, complete, decodable, of a reasonable size."""

from io import BytesIO

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb (PIL.Image.MAX_IMAGE_PIXELS)
MAX_BYTES = 256 << 20  # far more than as many pixels take
EMPTY = "empty file"

# The first bytes of files that are mistaken for images of another type.
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
    """What is wrong with the image under `key`; None for a valid one.

    A PNG with the extension `.jpg` is invalid: browsers, object stores and single-format decoders rely on the name. All
    pixels are decoded (a JPEG's at an eighth of its size, which still reads every coefficient): `verify` reads none.
    """
    expected = _TYPES.get(key.rpartition(".")[2].lower())
    if not data:
        return EMPTY
    if len(data) > MAX_BYTES:
        return describe_too_large(len(data))
    if expected is None:
        return f"the extension is not one of {', '.join(_TYPES)}"
    if (found := _type(data)) != expected:
        return f"expected {expected}, found {found or 'no image'}"
    return _decode(expected, data)


def describe_too_large(number: int) -> str:
    """The fault of an image of so many bytes."""
    return f"file has {number:,} bytes, the limit is {MAX_BYTES:,}"


def _type(data: bytes) -> str | None:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)


def _decode(kind: str, data: bytes) -> str | None:
    try:
        image = _open(kind, data)
        if image.width * image.height > MAX_PIXELS:
            return f"image has {image.width:,} × {image.height:,} pixels, the limit is {MAX_PIXELS:,}"
        if kind == "JPEG":
            image.draft("L", (1, 1))
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError, MemoryError) as error:
        return f"cannot be decoded: {_one_line(str(error))}" if _ends(kind, data) else "truncated"
    return None if _ends(kind, data) else "truncated"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:100] or "damaged data"


def _open(kind: str, data: bytes) -> ImageFile:
    """The decoder of one format, so that no other one, and no warning, is reached."""
    file = BytesIO(data)
    match kind:
        case "JPEG":
            return JpegImageFile(file)
        case "PNG":
            return PngImageFile(file)
    return WebPImageFile(file)


def _ends(kind: str, data: bytes) -> bool:
    """Whether the format's end marker is present: decoders accept less."""
    if kind == "JPEG":
        return data.find(b"\xff\xd9", _scan_start(data)) >= 0
    if kind == "PNG":
        return b"IEND\xaeB`\x82" in data[-65_536:]
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _scan_start(data: bytes) -> int:
    """Where a JPEG's first scan starts: a thumbnail in front of it has its own end marker."""
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF and data[offset + 1] != 0xDA:
        offset += 1 if data[offset + 1] == 0xFF else 2 + int.from_bytes(data[offset + 2 : offset + 4])
    return offset
