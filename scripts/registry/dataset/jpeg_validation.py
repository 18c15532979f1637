"""Whether a JPEG is complete and undamaged, as libjpeg-turbo in its strict mode tells (ITU-T T.81).

Pillow and OpenCV swallow libjpeg's warnings: a photograph whose lower half is missing opens, and is grey below.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

import simplejpeg
from PIL.JpegImagePlugin import JpegImageFile

from registry.dataset.image_formats import InvalidImage, require_size

MAX_SCANS = 500  # a file of many scans takes minutes to decode; libjpeg-turbo's own limit for such input
TRUNCATED = "Premature end of JPEG file"  # libjpeg's warning where the end marker is missing

_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_RESTARTS = range(0xD0, 0xD8)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15; the others are tables, and a reserved one
_SEQUENTIAL = (0xC0, 0xC1)
# Patterns that start with one byte and a class of bytes are searched for at 3 GB/s, three times as fast as by `find`.
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_AFTER_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # the first marker that is not part of a scan's data
_SCAN = re.compile(rb"\xff[\xda]")
_END = re.compile(rb"\xff[\xd9]")
_UNUSUAL_SAMPLING = "Could not determine subsampling"


class _Frame(NamedTuple):  # a data class takes four times as long to make
    """What the frame header says: the coding process, the components' ids, and where the segments behind it start."""

    process: int
    components: tuple[int, ...]
    end: int


class _Scan(NamedTuple):
    """A scan's header: its components and coefficients, the lowest bit that it holds, where its data start."""

    components: tuple[int, ...]
    first: int
    last: int
    lowest_bit: int
    end: int


def require_sound(data: bytes, *, lenient: bool) -> None:
    """Decodes at an eighth of the size, which still reads every coefficient. Raises InvalidImage.

    `lenient` accepts what libjpeg warns of, as long as the end of the file is there. What follows the end is ignored:
    cameras append a second image (MPO) or a video.
    """
    frame = _read_frame(data)
    if len(_SCAN.findall(data)) > MAX_SCANS:
        raise InvalidImage(f"JPEG of more than {MAX_SCANS} scans, which takes minutes to decode")
    _decode(data, frame, lenient=lenient)
    _require_complete(data, frame, lenient=lenient)


def _read_frame(data: bytes) -> _Frame:
    """The frame header, found as libjpeg does. Raises InvalidImage for what readers do not decode."""
    offset = 2
    while found := _MARKER.search(data, offset):
        marker, offset = found[0][-1], found.end()
        if marker in {_EOI, _SOS, _SOI}:
            raise InvalidImage("cannot be decoded: JPEG without a frame header")
        if marker in _FRAMES:
            return _parse_frame(data, marker, offset)
        if marker not in _RESTARTS and marker != _TEM:
            offset += max(2, int.from_bytes(data[offset : offset + 2]))
    raise InvalidImage("truncated: the file ends before its image")


def _parse_frame(data: bytes, process: int, offset: int) -> _Frame:
    length, header = int.from_bytes(data[offset : offset + 2]), data[offset + 2 : offset + 8]
    if len(data) < offset + length or len(header) < 6:
        raise InvalidImage("truncated: the file ends in its header")
    precision, number = header[0], header[5]
    if name := _unsupported(process, precision):
        raise InvalidImage(f"{name}, which most readers cannot decode: convert it to a usual JPEG in the lake")
    height, width = int.from_bytes(header[1:3]), int.from_bytes(header[3:5])
    require_size(width, height)
    if number not in {1, 3, 4} or length != 8 + 3 * number:
        raise InvalidImage(f"cannot be decoded: JPEG with {number} components")
    # A block of 8 × 8 pixels takes a bit at least, so a header cannot ask for memory that its file does not warrant.
    if width * height > len(data) * 8 * 64:
        raise InvalidImage(f"truncated: {len(data):,} bytes are too few for {width:,} × {height:,} pixels")
    components = tuple(data[offset + 8 : offset + 8 + 3 * number : 3])
    return _Frame(process, components, offset + length)


def _unsupported(process: int, precision: int) -> str | None:
    if process in {0xC3, 0xC7, 0xCB, 0xCF}:
        return "lossless JPEG"
    if process in {0xC5, 0xC6, 0xCD, 0xCE}:
        return "hierarchical JPEG"
    if process in {0xC9, 0xCA}:
        return "JPEG with arithmetic coding"
    return None if precision == 8 else f"JPEG of {precision} bits per sample"


# --- decoding ---------------------------------------------------------------------------------------------------------


def _decode(data: bytes, frame: _Frame, *, lenient: bool) -> None:
    """Raises InvalidImage, and what Pillow raises."""
    if lenient:
        _decode_by_pillow(data, frame)
        return
    try:
        simplejpeg.decode_jpeg(data, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        text = str(error)
        if _UNUSUAL_SAMPLING not in text:
            raise _describe(text) from error
        _decode_by_pillow(data, frame)


def _describe(text: str) -> InvalidImage:
    """Libjpeg's message in ours."""
    quoted = f"(libjpeg: {text[:1].lower()}{text[1:]})"
    if text == TRUNCATED:
        return InvalidImage(f"truncated {quoted}")
    return InvalidImage(f"damaged {quoted}" if text.startswith("Corrupt") else f"cannot be decoded {quoted}")


def _decode_by_pillow(data: bytes, frame: _Frame) -> None:
    """Calls libjpeg and ignores its warnings; also knows the sampling factors that TurboJPEG's interface does not."""
    if not any(_read_scans(data, frame)):
        raise InvalidImage("truncated: the file ends before its image")
    # Of the same length, and no EXIF: Pillow reads it here, and warns of what is broken there.
    image = JpegImageFile(BytesIO(data.replace(b"Exif\0\0", b"none\0\0")))
    image.draft("L", (1, 1))
    image.load()


# --- scans ------------------------------------------------------------------------------------------------------------


def _read_scans(data: bytes, frame: _Frame) -> Iterator[_Scan]:
    """The scans' headers, in order, up to the end marker or the end of the file."""
    offset = frame.end
    while found := _AFTER_SCAN.search(data, offset):
        marker, offset = found[0][-1], found.end()
        if marker == _EOI:
            return
        length = int.from_bytes(data[offset : offset + 2])
        if marker == _SOS and offset + length <= len(data) and length >= 6:
            first, last, bits = data[offset + length - 3 : offset + length]
            covers = (0, 63, 0) if frame.process in _SEQUENTIAL else (first, last, bits & 15)
            yield _Scan(tuple(data[offset + 3 : offset + length - 3 : 2]), *covers, offset + length)
        if marker != _TEM:
            offset += max(2, length)


def _require_complete(data: bytes, frame: _Frame, *, lenient: bool) -> None:
    """Raises InvalidImage where scans or the end marker are missing.

    libjpeg takes a file that ends between two scans for complete, and shows it blurred or without its colours.
    """
    missing = dict.fromkeys(frame.components, (1 << 64) - 1)  # a bit for each coefficient that is not there in full
    end = frame.end
    for scan in _read_scans(data, frame):
        end = scan.end
        if scan.lowest_bit == 0:
            covered = ((1 << (scan.last + 1)) - 1) & ~((1 << scan.first) - 1)
            missing |= {id_: missing[id_] & ~covered for id_ in scan.components if id_ in missing}
        if not any(missing.values()):
            break
    if any(missing.values()) and not lenient:
        raise InvalidImage("truncated: the last scans are missing")
    if not data.endswith(b"\xff\xd9", end) and not _END.search(data, end):  # a search takes 3 % of the validation
        raise InvalidImage("truncated: the end marker is missing")
