"""Images as a model file wants them: upright, in RGB, cropped and scaled as declared."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest
from PIL import Image, ImageOps

from registry.dataset import decoding
from registry.integrations import hardware
from registry.model import input_images
from registry.model.input_images import Encoded, UndecodableImage
from registry.model.model_file import Crop, Filter, ImageInput
from support.model_template import encode, photograph, put


def decode(path: Path, size: int = 16) -> numpy.ndarray:
    return input_images.decode(path, ImageInput(size))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_turned_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (32, 32), "white")
    upright.paste("red", (0, 0, 16, 16))
    upright.paste("blue", (16, 0, 32, 16))
    turn = decoding.TO_UPRIGHT.get(orientation)
    undo = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    stored = upright if turn is None else upright.transpose(undo.get(turn, turn))
    pixels = decode(put(tmp_path, "x", "1", encode(stored, kind, orientation)), 16)
    red, blue, white = (pixels[place].tolist() for place in ((3, 3), (3, 12), (12, 7)))
    assert red == pytest.approx([255, 0, 0], abs=12)
    assert blue == pytest.approx([0, 0, 255], abs=12)
    assert white == pytest.approx([255, 255, 255], abs=12)


def test_broken_exif_does_not_make_an_image_unreadable(tmp_path: Path) -> None:
    """A number where a text belongs, as one vendor or another writes it; Pillow 13's `exif_transpose` fails."""
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (0, 0, 32, 8))
    odd = encode(image, "JPEG", orientation=6, more={0x011A: 72.0}).replace(b"\x01\x1a\x00\x05", b"\x01\x0f\x00\x05")
    path = put(tmp_path, "x", "1", odd)
    with Image.open(path) as opened, pytest.raises(AttributeError):
        ImageOps.exif_transpose(opened)
    assert decode(path, 16)[8, 14].tolist() == pytest.approx([0, 0, 255], abs=12)


GREY = Image.new("L", (20, 30), 100)
SIXTEEN_BITS = Image.fromarray(numpy.full((30, 20), 100 * 256 + 99, dtype=numpy.uint16))
CLEAR = Image.new("RGBA", (20, 30), (1, 2, 3, 0))


@pytest.mark.parametrize(
    ("image", "kind", "colour"),
    [
        (GREY, "JPEG", (100, 100, 100)),
        (SIXTEEN_BITS, "PNG", (100, 100, 100)),
        (GREY.convert("1"), "PNG", None),
        (GREY.convert("LA"), "PNG", (100, 100, 100)),
        (CLEAR, "PNG", (255, 255, 255)),
        (CLEAR.convert("P"), "PNG", None),
        (Image.new("CMYK", (20, 30), (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (Image.new("RGB", (2000, 40), (9, 99, 199)), "JPEG", (9, 99, 199)),
        (Image.new("RGB", (1, 1), (9, 99, 199)), "PNG", (9, 99, 199)),
    ],
    ids=["grey", "16 bits", "1 bit", "grey and alpha", "transparent", "palette", "CMYK", "panorama", "one pixel"],
)
def test_every_mode_becomes_rgb(tmp_path: Path, image: Image.Image, kind: str, colour: tuple) -> None:
    pixels = decode(put(tmp_path, "x", "1", encode(image, kind)), 16)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), numpy.uint8)
    assert colour is None or (abs(pixels.astype(int) - colour) <= 3).all()


def test_the_middle_square_is_what_is_seen(tmp_path: Path) -> None:
    image = Image.new("RGB", (96, 32), "white")
    image.paste("black", (32, 0, 64, 32))
    assert decode(put(tmp_path, "x", "1", encode(image)), 16).max() < 32  # the filter sees a little beyond


@pytest.mark.parametrize("image", [b"", b"<html>", encode(GREY)[:-40], photograph("cat", 0)[:-200]])
def test_an_undecodable_image_is_an_error(tmp_path: Path, image: bytes) -> None:
    with pytest.raises(UndecodableImage):
        decode(put(tmp_path, "dog", "broken", image))


def bars(width: int = 96, height: int = 32) -> Image.Image:
    """White with a black middle third."""
    image = Image.new("RGB", (width, height), "white")
    image.paste("black", (width // 3, 0, 2 * width // 3, height))
    return image


def test_each_crop_sees_another_part(tmp_path: Path) -> None:
    path = put(tmp_path, "x", "1", encode(bars()))
    seen = {crop: input_images.decode(path, ImageInput(12, crop, filter=Filter.BOX))[:, :, 0] for crop in Crop}
    assert seen[Crop.CENTER].max() == 0
    assert seen[Crop.STRETCH].tolist() == [[255] * 4 + [0] * 4 + [255] * 4] * 12
    padded = seen[Crop.PAD]
    assert (padded[:4].max(), padded[-4:].max(), padded[5].tolist()) == (0, 0, [255] * 4 + [0] * 4 + [255] * 4)


def test_a_fraction_is_of_the_shorter_side(tmp_path: Path) -> None:
    """As `Resize(256)` and `CenterCrop(224)` of torchvision: the middle 7 eighths."""
    image = Image.new("RGB", (64, 80), "white")
    image.paste("black", (4, 12, 60, 68))
    path = put(tmp_path, "x", "1", encode(image))
    assert input_images.decode(path, ImageInput(56, fraction=0.875)).max() == 0
    assert input_images.decode(path, ImageInput(56, fraction=0.9)).max() > 0


def test_a_fraction_of_a_jpeg_keeps_its_detail(tmp_path: Path) -> None:
    """A JPEG is decoded at a part of its size only as far as the model's input allows."""
    noise = numpy.random.default_rng(1).integers(0, 256, (640, 640, 3), dtype=numpy.uint8)
    path = put(tmp_path, "x", "1", encode(Image.fromarray(noise), "JPEG"))
    whole = Image.open(path).convert("RGB").crop((280, 280, 360, 360))
    found = input_images.decode(path, ImageInput(80, fraction=0.125, filter=Filter.NEAREST))
    assert (found == numpy.asarray(whole)).all()


def test_each_filter_is_pillow_s(tmp_path: Path) -> None:
    image = Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=numpy.uint8))
    path = put(tmp_path, "x", "1", encode(image))
    for one in Filter:
        expected = numpy.asarray(image.resize((16, 16), Image.Resampling[one.name]))
        assert (input_images.decode(path, ImageInput(16, Crop.STRETCH, filter=one)) == expected).all()


# --- many -------------------------------------------------------------------------------------------------------------


def parts(paths: Sequence[Path]) -> list[list[Encoded]]:
    """The images in two parts, of which the first has their bytes."""
    half = len(paths) // 2
    return [[Encoded(path, path.read_bytes()) for path in paths[:half]], [Encoded(path) for path in paths[half:]]]


def test_processes_and_threads_decode_the_same_in_the_same_order(tmp_path: Path) -> None:
    paths = [put(tmp_path, "cat", str(number), photograph("cat", number)) for number in range(70)]
    threads, processes = (list(input_images.decode_all(parts(paths), ImageInput(16), workers)) for workers in (0, 2))
    assert len(threads) == len(processes) == 70
    assert all(map(numpy.array_equal, threads, processes))
    assert numpy.array_equal(threads[33], decode(paths[33]))


@pytest.mark.parametrize("workers", [0, 2])
def test_one_of_many_that_cannot_be_decoded_is_named(tmp_path: Path, workers: int) -> None:
    paths = [put(tmp_path, "cat", "sound", photograph("cat", 0)), put(tmp_path, "cat", "broken", b"<html>")]
    with pytest.raises(UndecodableImage, match=r"cat/broken\.jpg: cannot be decoded \(.+\)$"):
        list(input_images.decode_all(parts(paths), ImageInput(16), workers))


def test_a_killed_worker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_images, "decode", lambda *_: os._exit(9))  # which forked processes inherit
    with pytest.raises(MemoryError, match="a process that decodes images was killed"):
        list(input_images.decode_all(parts([tmp_path]), ImageInput(16), 2))


def test_processes_are_started_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 16)
    assert [input_images.useful_workers(images) for images in (10, 1_000, 100_000)] == [0, 3, 16]
    assert input_images.useful_workers(100_000, sharing=8) == 2
