"""What `images.judge` says of sound and of broken images, made with Pillow."""

import random
from io import BytesIO

import pytest
from PIL import Image

from registry.dataset import image_validation
from registry.dataset.image_validation import find_fault


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (97, 83), **options: object) -> bytes:
    """An image of noise that was scaled up, so that its file has much to decode."""
    numbers, out = random.Random(7), BytesIO()
    noise = Image.frombytes("RGB", (12, 12), numbers.randbytes(12 * 12 * 3)).resize(size, Image.Resampling.BICUBIC)
    noise.convert(mode).save(out, kind, **options)
    return out.getvalue()


def with_thumbnail(jpeg: bytes) -> bytes:
    """The JPEG with a whole small one in its EXIF block, as cameras write it."""
    block = b"Exif\0\0" + picture("JPEG", size=(30, 20))
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block + jpeg[2:]


SOUND = {
    "rgb.jpg": picture("JPEG"),
    "grey.jpg": picture("JPEG", "L"),
    "cmyk.jpeg": picture("JPEG", "CMYK"),
    "progressive.jpg": picture("JPEG", progressive=True),
    "restarts.jpg": picture("JPEG", restart_marker_blocks=4),
    "thumbnail.jpg": with_thumbnail(picture("JPEG")),
    "upper.JPG": picture("JPEG"),
    "rgb.png": picture("PNG"),
    "palette.png": picture("PNG", "P"),
    "alpha.png": picture("PNG", "LA"),
    "lossy.webp": picture("WEBP"),
    "lossless.webp": picture("WEBP", lossless=True),
}


@pytest.mark.parametrize("key", SOUND)
def test_sound_images_have_no_fault(key: str) -> None:
    assert find_fault(key, SOUND[key]) is None


def test_what_follows_the_end_of_an_image_is_no_fault() -> None:
    assert find_fault("a.jpg", SOUND["rgb.jpg"] + b"\0" * 512) is None


@pytest.mark.parametrize("key", SOUND)
def test_an_image_that_was_cut_is_found_wherever_the_cut_is(key: str) -> None:
    whole = SOUND[key]
    cuts = {*range(0, len(whole), 17), *range(len(whole) - 40, len(whole))}
    assert [cut for cut in cuts if find_fault(key, whole[:cut]) is None] == []


@pytest.mark.parametrize("key", [key for key in SOUND if not key.endswith("webp")])
def test_an_image_whose_tail_became_zeros_is_found(key: str) -> None:
    whole = SOUND[key]
    starts = range(0, len(whole) - 2, 17)
    assert [start for start in starts if find_fault(key, whole[:start] + bytes(len(whole) - start)) is None] == []


@pytest.mark.parametrize(
    ("key", "data", "fault"),
    [
        ("a.jpg", b"", "empty file"),
        ("a.jpg", SOUND["rgb.png"], "expected JPEG, found PNG"),
        ("a.png", SOUND["rgb.jpg"], "expected PNG, found JPEG"),
        ("a.jpg", SOUND["lossy.webp"], "expected JPEG, found WebP"),
        ("a.jpg", b"<html>not found</html>", "expected JPEG, found HTML or XML"),
        ("a.jpg", b"\0" * 5000, "expected JPEG, found no image"),
        ("a.gif", b"GIF89a", "the extension is not one of jpg, jpeg, png, webp"),
        ("a.jpg", SOUND["rgb.jpg"][:900], "truncated"),
        ("a.png", SOUND["rgb.png"][:-5], "truncated"),
    ],
)
def test_a_fault_is_said_in_words(key: str, data: bytes, fault: str) -> None:
    assert find_fault(key, data) == fault


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = bytearray(picture("PNG"))
    bomb[16:24] = (60_000).to_bytes(4) + (60_000).to_bytes(4)
    import zlib

    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4)
    assert find_fault("a.png", bytes(bomb)) == "image has 60,000 × 60,000 pixels, the limit is 89,478,485"
    assert Image.MAX_IMAGE_PIXELS == image_validation.MAX_PIXELS


def test_more_bytes_than_any_image_has_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_validation, "MAX_BYTES", 1000)
    assert find_fault("a.jpg", SOUND["rgb.jpg"]) == f"file has {len(SOUND['rgb.jpg']):,} bytes, the limit is 1,000"


@pytest.mark.parametrize("key", SOUND)
def test_damage_anywhere_is_a_word_or_nothing_but_never_a_crash(key: str) -> None:
    numbers, whole = random.Random(1), SOUND[key]
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(numbers.choice([1, 3])):
            damaged[numbers.randrange(min(len(whole), numbers.choice([300, 10**6])))] = numbers.randrange(256)
        fault = find_fault(key, bytes(damaged))
        assert fault is None or (fault.isprintable() and 0 < len(fault) < 200)
