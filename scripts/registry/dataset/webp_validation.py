"""Whether a WebP is complete: its container by the specification, then the pixels by Pillow (libwebp).

https://developers.google.com/speed/webp/docs/riff_container. A lossy WebP has no checksum, and nearly every series of
bits is an image: damage inside is found in a part of the cases only, by any decoder.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

from PIL.WebPImagePlugin import WebPImageFile

from registry.dataset.image_formats import InvalidImage, require_size

_ANIMATED = 0x02  # a bit of VP8X's flags


class _Chunk(NamedTuple):
    kind: bytes
    contents: memoryview


class _Size(NamedTuple):
    width: int
    height: int


def require_sound(data: bytes) -> None:
    """Reads the container, then decodes every pixel. Raises InvalidImage, and what Pillow raises.

    An animation is refused, even of one frame: the decoder of still images, which many readers use, refuses it.
    """
    sizes: dict[bytes, _Size] = {}
    for chunk in _read_chunks(data):
        if chunk.kind in {b"ANIM", b"ANMF"} or (chunk.kind == b"VP8X" and chunk.contents[:1][0] & _ANIMATED):
            raise InvalidImage("animated WebP, but a dataset holds still images: convert it in the lake")
        if chunk.kind in _SIZES:
            sizes.setdefault(chunk.kind, _read_size(chunk))
    frame = sizes.get(b"VP8 ", sizes.get(b"VP8L"))
    if frame is None:
        raise InvalidImage("damaged: the container has no image")
    if (canvas := sizes.get(b"VP8X", frame)) != frame:
        said = f"{canvas.width:,} × {canvas.height:,}"
        raise InvalidImage(f"damaged: the header says {said} pixels, the image has {frame.width:,} × {frame.height:,}")
    WebPImageFile(BytesIO(data)).load()


def _read_chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks of the container. Raises InvalidImage where they end behind it, or it behind the file."""
    size = int.from_bytes(data[4:8], "little")
    if size + 8 > len(data):
        raise InvalidImage("truncated")
    view, offset = memoryview(data)[: size + 8], 12
    while offset + 8 <= len(view):
        length = int.from_bytes(view[offset + 4 : offset + 8], "little")
        if offset + 8 + length > len(view):
            raise InvalidImage("damaged: a chunk is longer than its container")
        yield _Chunk(bytes(view[offset : offset + 4]), view[offset + 8 : offset + 8 + length])
        offset += 8 + length + length % 2


def _read_size(chunk: _Chunk) -> _Size:
    """The size in pixels that a chunk's header says. Raises InvalidImage."""
    size = _SIZES[chunk.kind](bytes(chunk.contents[:10]))
    if size is None:
        raise InvalidImage(f"damaged: the header of the chunk {chunk.kind.decode().strip()} is wrong")
    require_size(*size)
    return size


def _size_of_canvas(head: bytes) -> _Size | None:
    if len(head) < 10:
        return None
    return _Size(1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little"))


def _size_of_lossy(head: bytes) -> _Size | None:
    """RFC 6386, 9.1: a key frame, its start code, and 14 bits for each side."""
    if len(head) < 10 or head[0] & 1 or head[3:6] != b"\x9d\x01\x2a":
        return None
    return _Size(int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF)


def _size_of_lossless(head: bytes) -> _Size | None:
    if len(head) < 5 or head[0] != 0x2F:
        return None
    bits = int.from_bytes(head[1:5], "little")
    return _Size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))


_SIZES = {b"VP8X": _size_of_canvas, b"VP8 ": _size_of_lossy, b"VP8L": _size_of_lossless}
