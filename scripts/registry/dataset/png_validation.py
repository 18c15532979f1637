"""Whether a PNG is complete and undamaged: each chunk by its checksum, some of which Pillow skips, then the pixels.

The rules are those of the specification (https://www.w3.org/TR/png-3/, 5 and 11.2).
"""

from collections.abc import Iterator
from io import BytesIO
from itertools import groupby
from typing import NamedTuple
from zlib import crc32

from PIL.PngImagePlugin import PngImageFile

from registry.dataset.image_formats import InvalidImage, require_size

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_DEFLATE = 1032  # bytes that one compressed byte makes at most (https://zlib.net/zlib_tech.html)


class _Chunk(NamedTuple):
    kind: bytes
    contents: memoryview


def require_sound(data: bytes) -> None:
    """Reads every chunk, then decodes every pixel. Raises InvalidImage, and what Pillow raises.

    What follows the last chunk is ignored, as readers do. Several frames (APNG) are refused: some readers take the
    first of them, others the image that stands for them.
    """
    chunks = tuple(_read_chunks(data))
    least = _least_size(chunks[0])
    kinds = [kind for kind, _ in groupby(chunk.kind for chunk in chunks)]
    if kinds.count(b"IDAT") != 1 or kinds[-1] != b"IEND":
        raise InvalidImage("damaged: the pixels are missing, or other chunks are among them")
    for chunk in chunks:
        if chunk.kind == b"acTL" and int.from_bytes(chunk.contents[:4]) > 1:
            raise InvalidImage("animated PNG, but a dataset holds still images: convert it in the lake")
        if chunk.kind == b"CgBI":
            raise InvalidImage("PNG in Apple's own variant (CgBI), which other readers cannot decode: convert it")
        if chunk.kind[:1].isupper() and chunk.kind not in _CRITICAL:
            raise InvalidImage(f"damaged: unknown critical chunk {chunk.kind.decode('ascii', 'replace')}")
    compressed = sum(len(chunk.contents) for chunk in chunks if chunk.kind == b"IDAT")
    if least > compressed * _DEFLATE:
        raise InvalidImage(f"truncated: {compressed:,} bytes are too few for its pixels")
    PngImageFile(BytesIO(data)).load()


def _read_chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to IEND, of which there is one at least. Raises InvalidImage."""
    view, offset, kind = memoryview(data), 8, b""
    while kind != b"IEND":
        size, kind = int.from_bytes(view[offset : offset + 4]), bytes(view[offset + 4 : offset + 8])
        end = offset + 12 + size
        if end > len(data):
            raise InvalidImage("truncated")
        if crc32(view[offset + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise InvalidImage(f"damaged: the checksum of the chunk at byte {offset:,} is wrong")
        yield _Chunk(kind, view[offset + 8 : end - 4])
        offset = end


def _least_size(header: _Chunk) -> int:
    """The bytes of all pixels, at least. Raises InvalidImage for a header that the specification forbids."""
    if header.kind == b"CgBI":
        return 0
    if header.kind != b"IHDR" or len(header.contents) != 13:
        raise InvalidImage("damaged: the header is missing")
    width, height = int.from_bytes(header.contents[:4]), int.from_bytes(header.contents[4:8])
    require_size(width, height)
    depth, colour, compression, filtering, interlace = header.contents[8:]
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise InvalidImage("damaged: the header names no pixel format of PNG")
    return width * height * depth * _CHANNELS[colour] // 8
