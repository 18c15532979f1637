"""Image files by their first bytes: the formats that a dataset may hold, their limits, and what other files are."""

import re
from enum import StrEnum

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb (PIL.Image.MAX_IMAGE_PIXELS)
MAX_BYTES = 256 << 20  # far more than as many pixels take
HEAD = 1024  # bytes that tell what a file is


class Format(StrEnum):
    """The formats that a dataset may hold."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"


class InvalidImage(Exception):
    """Why bytes are no valid image: one line."""


BY_EXTENSION = {"jpg": Format.JPEG, "jpeg": Format.JPEG, "png": Format.PNG, "webp": Format.WEBP}

CONVERT = "convert it to JPEG, PNG or WebP in the lake"
UPLOAD = "upload the image itself"
RENAME = "change its extension"

# Signature at an offset, name, what to do. The first that fits; a signature stands in front of those that it contains.
_IMAGES = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0\x10\0\0\0CR", "a raw photograph (CR2)"),
    (8, b"CR", "a raw photograph (CR2)"),
    (0, b"IIRO", "a raw photograph (ORF)"),
    (0, b"IIRS", "a raw photograph (ORF)"),
    (0, b"IIU\0", "a raw photograph (RW2)"),
    (0, b"FUJIFILMCCD-RAW", "a raw photograph (RAF)"),
    (0, b"FOVb", "a raw photograph (X3F)"),
    (0, b"II\xbc\x01", "JPEG XR"),
    (0, b"II*\0", "TIFF or a raw photograph (such as DNG, NEF or ARW)"),
    (0, b"MM\0*", "TIFF or a raw photograph (such as DNG, NEF or ARW)"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"\0\0\1\0", "a Windows icon (ICO)"),
    (0, b"qoif", "QOI"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"gimp xcf", "GIMP (XCF)"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"FLIF", "FLIF"),
    (0, b"BPG\xfb", "BPG"),
    (128, b"DICM", "DICOM"),
)
_OTHERS = (
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"PK\5\6", "a ZIP archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\0\5\x16\7", "an AppleDouble file (macOS keeps attributes in it)"),
    (0, b"\0\0\0\1Bud1", "a macOS folder file (.DS_Store)"),
    (0, b"\xd0\xcf\x11\xe0", "an OLE file (such as Thumbs.db)"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska)"),
    (0, b"PAR1", "Parquet"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)
# The brand behind `ftyp` in ISO base media files (ISO/IEC 14496-12).
_BRANDS = {
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"),
    "AVIF": (b"avif", b"avis"),
    "a raw photograph (CR3)": (b"crx ",),
    "JPEG 2000": (b"jp2 ", b"jpx ", b"jpm "),
    "JPEG XL": (b"jxl ",),
}


def require_size(width: int, height: int) -> None:
    """Raises InvalidImage for a size in pixels that no image of a dataset has; asked before memory is allocated."""
    if not width or not height:
        raise InvalidImage(f"image has {width:,} × {height:,} pixels")
    if width * height == 1:
        raise InvalidImage("image has 1 × 1 pixels: a placeholder, not a picture")
    if width * height > MAX_PIXELS:
        raise InvalidImage(f"image has {width:,} × {height:,} pixels, the limit is {MAX_PIXELS:,}")


def describe_too_large(number: int) -> str:
    """The fault of an image of so many bytes."""
    return f"file has {number:,} bytes, the limit is {MAX_BYTES:,}"


def detect(data: bytes) -> Format | None:
    """The format of an image that a dataset may hold, by its signature."""
    if data.startswith(b"\xff\xd8\xff") and data[3:4] != b"\xf7":
        return Format.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Format.WEBP
    return None


def describe_foreign(data: bytes) -> str:
    """What a file of no such format is, and what to do: `HEIC, which a dataset cannot hold: convert it …`."""
    head = data[:HEAD]
    if name := _image(head):
        return f"{name}, which a dataset cannot hold: {CONVERT}"
    if name := _document(head) or _by_signature(_OTHERS, head):
        return f"{name}: {UPLOAD}"
    if data.count(0) == len(data):
        return f"nothing but zeros (an upload that was interrupted, perhaps): {UPLOAD}"
    return f"text: {UPLOAD}" if _is_text(head) else "no image"


def _by_signature(table: tuple[tuple[int, bytes, str], ...], head: bytes) -> str | None:
    return next((name for offset, signature, name in table if head.startswith(signature, offset)), None)


def _image(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if re.match(rb"P[1-7][\s#]", head):
        return "netpbm (such as PPM)"
    if b"<svg" in head.lower() and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "SVG"
    return _by_signature(_IMAGES, head)


def _by_brand(head: bytes) -> str:
    """What an ISO base media file is, by its major brand; a general one is told apart by those that follow."""
    end = min(int.from_bytes(head[:4]), len(head))
    brands = (head[8:12], *(head[start : start + 4] for start in range(16, end, 4)))
    if brands[0] in {b"mif1", b"msf1", b"mif2"} and any(brand in _BRANDS["AVIF"] for brand in brands):
        return "AVIF"
    return next((name for name, known in _BRANDS.items() if brands[0] in known), "a video (MP4 or QuickTime)")


# What stands at the start of texts that take an image's place, in front of more general ones.
_TEXTS = (
    (rb"version https://git-lfs", "a Git LFS pointer (the image was not fetched)"),
    (rb"(?:outs:\s|md5: [0-9a-f]{32})", "a DVC pointer (the image was not fetched)"),
    (rb"<!doctype html|<html", "HTML (such as a login or error page)"),
)


def _document(head: bytes) -> str | None:
    """What a text is, where its first characters tell."""
    text = _as_ascii(head).lstrip()
    for pattern, name in _TEXTS:
        if re.match(pattern, text, re.IGNORECASE):
            return name
    if text.startswith(b"<"):
        code = re.search(rb"<Error>.{0,200}?<Code>([A-Za-z]{1,40})</Code>", text, re.DOTALL)
        return f"an error of an object store ({code[1].decode()})" if code else "XML"
    return "JSON" if re.match(rb"[\[{]\s*[\"{\[\]}0-9-]", text) else None


def _as_ascii(head: bytes) -> bytes:
    """A text without its byte order mark; of UTF-16, the characters that are ASCII."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[2:].replace(b"\0", b"")
    return head.removeprefix(b"\xef\xbb\xbf")


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        text = head[: error.start].decode() if len(head) == HEAD and error.start > HEAD - 4 else "\0"
    return all(char.isprintable() or char in "\t\r\n\f" for char in text)
