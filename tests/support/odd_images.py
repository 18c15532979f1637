"""Files that lie among photographs: images that a strict decoder refuses, other formats, and no images at all."""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class OddFile:
    """The bytes of a file, the ending of its name, and a part of the fault that is told; None: it is sound."""

    data: bytes
    fault: str | None
    ending: str = "jpg"


def photo(
    kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (97, 83), seed: int = 7, **options: object
) -> bytes:
    """An image of noise that was scaled up, so that its file has much to decode."""
    numbers, out = random.Random(seed), io.BytesIO()
    noise = Image.frombytes("RGB", (12, 12), numbers.randbytes(12 * 12 * 3)).resize(size, Image.Resampling.BICUBIC)
    noise.convert(mode).save(out, kind, **options)
    return out.getvalue()


# --- JPEG -------------------------------------------------------------------------------------------------------------


def frame_header(jpeg: bytes) -> int:
    """Where the frame header's marker is, in a file of Pillow."""
    return next(at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := jpeg.find(marker)) >= 0)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """The same bytes, with others in one place."""
    return data[:at] + new + data[at + len(new) :]


def with_segment(jpeg: bytes, marker: int, contents: bytes) -> bytes:
    """A JPEG with one more segment at its start."""
    return jpeg[:2] + bytes((0xFF, marker)) + (len(contents) + 2).to_bytes(2) + contents + jpeg[2:]


def cut_between_scans(progressive: bytes) -> bytes:
    """A progressive JPEG without its last scan, and with an end marker."""
    return progressive[: progressive.rindex(b"\xff\xda")] + b"\xff\xd9"


def claiming(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header says another size."""
    return changed(jpeg, frame_header(jpeg) + 5, height.to_bytes(2) + width.to_bytes(2))


def with_thumbnail(jpeg: bytes) -> bytes:
    """The JPEG with a whole small one in its EXIF block, as cameras write it."""
    return with_segment(jpeg, 0xE1, b"Exif\0\0" + photo(size=(30, 20)))


def extraneous(jpeg: bytes) -> bytes:
    """A JPEG with bytes between two segments, which libjpeg skips with a warning."""
    return jpeg[:20] + b"\x80\x80\x80\x80" + jpeg[20:]  # behind SOI and JFIF


# --- PNG and WebP -----------------------------------------------------------------------------------------------------


def chunk(kind: bytes, contents: bytes) -> bytes:
    """A chunk of a PNG."""
    return len(contents).to_bytes(4) + kind + contents + zlib.crc32(kind + contents).to_bytes(4)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header says another size, with the right checksum."""
    png = photo("PNG")
    return png[:8] + chunk(b"IHDR", width.to_bytes(4) + height.to_bytes(4) + png[24:29]) + png[33:]


def animated(kind: str) -> bytes:
    """Two frames."""
    out, frames = io.BytesIO(), [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def webp_claiming(width: int, height: int) -> bytes:
    """34 bytes: an extended WebP whose header says a size, and an image that is none."""
    canvas = b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + (10).to_bytes(4, "little") + canvas
    return b"RIFF" + len(body).to_bytes(4, "little") + body


# --- other files ------------------------------------------------------------------------------------------------------


def iso_media(brand: bytes, *others: bytes) -> bytes:
    """The start of an ISO base media file: HEIC, AVIF, MP4."""
    names = brand + b"\0\0\0\0" + b"".join(others)
    return (len(names) + 8).to_bytes(4) + b"ftyp" + names + b"\0\0\0\x08free" + bytes(64)


def zipped() -> bytes:
    """An archive with a photograph in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jpg", photo())
    return out.getvalue()


S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>no</Message></Error>'
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
DVC_POINTER = b"outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 1\n  hash: md5\n  path: a.jpg\n"
_TIFF = struct.pack("<2sHIH", b"II", 42, 8, 0) + bytes(64)
_JPEG, _PROGRESSIVE, _LARGE = photo(), photo(progressive=True), photo(size=(970, 830))
_HALF = len(_LARGE) // 2

SOUND: Mapping[str, OddFile] = {
    name: OddFile(data, None, ending)
    for name, data, ending in (
        ("baseline", _JPEG, "jpg"),
        ("grey", photo(mode="L"), "jpg"),
        ("cmyk", photo(mode="CMYK"), "jpeg"),
        ("cmyk progressive", photo(mode="CMYK", progressive=True), "jpg"),
        ("progressive", _PROGRESSIVE, "jpg"),
        ("grey progressive", photo(mode="L", progressive=True), "jpg"),
        ("restart markers", photo(restart_marker_blocks=4), "jpg"),
        ("full colour", photo(subsampling=0), "jpg"),
        ("thumbnail", with_thumbnail(_JPEG), "jpg"),
        ("rotated by exif", photo(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"), "jpg"),
        ("broken exif", with_segment(_JPEG, 0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\xff\1"), "jpg"),
        ("icc profile", photo(icc_profile=bytes(70_000)), "jpg"),
        ("two images (MPO)", _JPEG + photo(seed=8), "jpg"),
        ("bytes behind the end", _JPEG + bytes(512), "jpg"),
        ("end marker in a comment", with_segment(_PROGRESSIVE, 0xFE, b"\xff\xd9\xff\xda"), "jpg"),
        ("one row", photo(size=(200, 1)), "jpg"),
        ("upper case", _JPEG, "JPG"),
        ("png", photo("PNG"), "png"),
        ("png palette", photo("PNG", "P"), "png"),
        ("png alpha", photo("PNG", "LA"), "png"),
        ("png 16 bits", photo("PNG", "I;16"), "png"),
        ("png with bytes behind the end", photo("PNG") + b"\n", "png"),
        ("webp", photo("WEBP"), "webp"),
        ("webp lossless", photo("WEBP", lossless=True), "webp"),
        ("webp alpha", photo("WEBP", "RGBA"), "webp"),
        ("webp with metadata", photo("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), "webp"),
    )
}

ODD: Mapping[str, OddFile] = {
    # JPEG
    "empty": OddFile(b"", "empty file"),
    "cut": OddFile(_LARGE[:_HALF], "truncated"),
    "half with an end marker": OddFile(_LARGE[:_HALF] + b"\xff\xd9", "premature end of data segment"),
    "bytes missing": OddFile(_LARGE[:_HALF] + _LARGE[_HALF + 512 :], "damaged (libjpeg: corrupt JPEG data"),
    "zeros inside": OddFile(changed(_LARGE, _HALF, bytes(4096)), "damaged (libjpeg: corrupt JPEG data"),
    "last bytes missing": OddFile(_JPEG[:-2], "truncated (libjpeg: premature end of JPEG file)"),
    "header alone": OddFile(_JPEG[: _JPEG.index(b"\xff\xda")], "truncated"),
    "last scans missing": OddFile(cut_between_scans(_PROGRESSIVE), "truncated: the last scans are missing"),
    "extraneous bytes": OddFile(extraneous(_JPEG), "extraneous bytes before marker"),
    "12 bits": OddFile(changed(_JPEG, frame_header(_JPEG) + 4, b"\x0c"), "JPEG of 12 bits per sample"),
    "lossless": OddFile(changed(_JPEG, frame_header(_JPEG) + 1, b"\xc3"), "lossless JPEG"),
    "arithmetic": OddFile(changed(_JPEG, frame_header(_JPEG) + 1, b"\xc9"), "JPEG with arithmetic coding"),
    "hierarchical": OddFile(changed(_JPEG, frame_header(_JPEG) + 1, b"\xc5"), "hierarchical JPEG"),
    "bomb": OddFile(claiming(_JPEG, 20_000, 20_000), "20,000 × 20,000 pixels, the limit is"),
    "too few bytes": OddFile(claiming(_JPEG, 9_000, 9_000), "bytes are too few for 9,000 × 9,000 pixels"),
    "no rows": OddFile(claiming(_JPEG, 97, 0), "97 × 0 pixels"),
    "taller than it is": OddFile(claiming(_JPEG, 97, 160), "premature end of data segment"),
    "flatter than it is": OddFile(claiming(_JPEG, 97, 40), "extraneous bytes"),
    "placeholder": OddFile(photo(size=(1, 1)), "1 × 1 pixels: a placeholder"),
    # PNG and WebP
    "png cut": OddFile(photo("PNG")[:-5], "truncated", "png"),
    "png damaged": OddFile(changed(photo("PNG"), 2000, b"\0\1\2\3"), "checksum of the chunk at byte 33", "png"),
    "png bomb": OddFile(png_claiming(60_000, 60_000), "60,000 × 60,000 pixels, the limit is", "png"),
    "png too few bytes": OddFile(png_claiming(9_000, 9_000), "bytes are too few", "png"),
    "png animated": OddFile(animated("PNG"), "animated PNG", "png"),
    "png without pixels": OddFile(photo("PNG")[:33] + chunk(b"IEND", b""), "the pixels are missing", "png"),
    "webp cut": OddFile(photo("WEBP")[:-5], "truncated", "webp"),
    "webp bomb": OddFile(webp_claiming(16_000_000, 16_000_000), "16,000,000 × 16,000,000 pixels", "webp"),
    "webp animated": OddFile(animated("WEBP"), "animated WebP", "webp"),
    "webp without an image": OddFile(webp_claiming(9, 9), "the container has no image", "webp"),
    # the name of another type
    "png as jpg": OddFile(photo("PNG"), "expected JPEG, found PNG: change its extension"),
    "webp as jpg": OddFile(photo("WEBP"), "expected JPEG, found WebP"),
    "jpg as png": OddFile(_JPEG, "expected PNG, found JPEG", "png"),
    # other formats
    "heic": OddFile(iso_media(b"heic", b"mif1", b"heic"), "found HEIC, which a dataset cannot hold: convert it"),
    "heif": OddFile(iso_media(b"mif1", b"mif1", b"heic"), "found HEIC"),
    "avif": OddFile(photo("AVIF"), "found AVIF, which a dataset cannot hold: convert it"),
    "avif of a general brand": OddFile(iso_media(b"mif1", b"avif"), "found AVIF"),
    "jpeg 2000": OddFile(photo("JPEG2000"), "found JPEG 2000, which"),
    "jpeg 2000 code stream": OddFile(photo("JPEG2000", no_jp2=True), "found JPEG 2000"),
    "jpeg xl": OddFile(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64), "found JPEG XL"),
    "jpeg xl code stream": OddFile(b"\xff\x0a" + bytes(64), "found JPEG XL"),
    "gif": OddFile(photo("GIF", "P"), "found GIF, which"),
    "bmp": OddFile(photo("BMP"), "found BMP"),
    "tiff": OddFile(photo("TIFF"), "found TIFF or a raw photograph"),
    "nef": OddFile(_TIFF, "found TIFF or a raw photograph (such as DNG, NEF or ARW)"),
    "cr2": OddFile(b"II*\0\x10\0\0\0CR\2\0" + bytes(64), "found a raw photograph (CR2)"),
    "cr3": OddFile(iso_media(b"crx ", b"isom"), "found a raw photograph (CR3)"),
    "psd": OddFile(b"8BPS\0\1" + bytes(64), "found Photoshop (PSD)"),
    "ppm": OddFile(photo("PPM"), "found netpbm"),
    "ico": OddFile(photo("ICO", size=(32, 32)), "found a Windows icon (ICO)"),
    "dicom": OddFile(bytes(128) + b"DICM" + bytes(64), "found DICOM"),
    "svg": OddFile(b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "found SVG"),
    "mp4": OddFile(iso_media(b"isom", b"mp42"), "found a video (MP4 or QuickTime)"),
    # no images
    "pdf": OddFile(b"%PDF-1.7\n", "found PDF: upload the image itself"),
    "html": OddFile(b"\n<!DOCTYPE html><html><title>404</title>", "found HTML"),
    "html with a mark": OddFile(b"\xef\xbb\xbf<html>", "found HTML"),
    "s3 error": OddFile(S3_ERROR, "found an error of an object store (AccessDenied)"),
    "xml": OddFile(b"<?xml version='1.0'?><x:xmpmeta/>", "found XML"),
    "json": OddFile(json.dumps({"message": "Not Found"}).encode(), "found JSON"),
    "lfs pointer": OddFile(LFS_POINTER, "found a Git LFS pointer"),
    "dvc pointer": OddFile(DVC_POINTER, "found a DVC pointer"),
    "text": OddFile("kein Bild, größer\n".encode(), "found text"),
    "utf-16": OddFile("kein Bild".encode("utf-16"), "found text"),
    "gzip": OddFile(gzip.compress(_JPEG), "found a gzip file"),
    "zip": OddFile(zipped(), "found a ZIP archive"),
    "apple double": OddFile(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(64), "found an AppleDouble file"),
    "thumbs.db": OddFile(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64), "found an OLE file"),
    "zeros": OddFile(bytes(5000), "found nothing but zeros"),
    "noise": OddFile(random.Random(3).randbytes(5000), "found no image"),
}
