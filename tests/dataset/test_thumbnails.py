from io import BytesIO

import polars as pl
import pytest
from PIL import Image

from registry.dataset import thumbnails
from registry.dataset.thumbnails import Wanted

QUARTERS = {"red": (0, 0), "lime": (1, 0), "blue": (0, 1), "white": (1, 1)}
ENCODED = {  # orientation → how a camera that writes it has stored the upright picture
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def quarters(size: tuple[int, int] = (400, 300)) -> Image.Image:
    """A picture that looks different whichever way it is turned or mirrored."""
    image = Image.new("RGB", size)
    for colour, (right, low) in QUARTERS.items():
        image.paste(colour, (right * size[0] // 2, low * size[1] // 2, size[0], size[1]))
    return image


def encode(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The four quarters' middles, each channel told as 0 or 1."""
    places = [(image.width * x // 4, image.height * y // 4) for y in (1, 3) for x in (1, 3)]
    return [tuple(int(value > 127) for value in image.getpixel(place)) for place in places]


UPRIGHT = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation: int) -> None:
    turn, exif = ENCODED[orientation], Image.Exif()
    exif[0x112] = orientation
    stored = quarters() if turn is None else quarters().transpose(turn)
    shown = thumbnails.decode(encode(stored, exif=exif), 168)
    assert shown.size == (168, 126)
    assert corners(shown) == UPRIGHT


@pytest.mark.parametrize(
    "data",
    [
        encode(quarters().convert("CMYK")),
        encode(quarters(), "PNG"),
        encode(quarters(), "WEBP"),
        encode(quarters().quantize(8), "PNG"),
        encode(quarters().convert("RGBA"), "PNG"),
        encode(quarters((28, 20)), "PNG"),
        encode(quarters(), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\xff\xff\xff\xff"),
    ],
    ids=["CMYK", "PNG", "WebP", "palette", "alpha", "tiny", "broken EXIF"],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_every_kind_of_picture_is_shown(data: bytes) -> None:
    shown = thumbnails.decode(data, 168)
    assert (shown.mode, corners(shown), max(shown.size)) == ("RGB", UPRIGHT, 168)


def test_sixteen_bits_and_grey_keep_their_light() -> None:
    grey = Image.linear_gradient("L")
    deep = grey.convert("I").point(lambda value: value * 257).convert("I;16")
    shown, wanted = (thumbnails.decode(encode(image, "PNG"), 128) for image in (deep, grey))
    assert max(abs(shown.getpixel((64, y))[0] - wanted.getpixel((64, y))[0]) for y in range(4, 124)) <= 4


def test_what_is_transparent_is_white() -> None:
    shown = thumbnails.decode(encode(Image.new("RGBA", (300, 300), (0, 0, 0, 0)), "PNG"), 168)
    assert shown.getpixel((84, 84)) == (255, 255, 255)


def test_a_thumbnail_is_small_and_the_same_every_time() -> None:
    data = {"a": encode(quarters((1600, 1200)))}
    shown = thumbnails.render("added-1", "image of train/cat", "a", data.get)
    assert shown == thumbnails.render("added-1", "image of train/cat", "a", data.get)
    assert (shown.name, shown.alt, shown.fault, shown.width, shown.height) == (
        "added-1", "image of train/cat", "", 320, 240,
    )  # fmt: skip
    with Image.open(BytesIO(shown.image)) as page:
        assert (page.format, page.size, corners(page.convert("RGB"))) == ("WEBP", (320, 240), UPRIGHT)


def test_a_pair_is_side_by_side_on_any_ground() -> None:
    data = {"wide": encode(quarters((800, 400))), "high": encode(quarters((100, 400)))}
    shown = thumbnails.render_pair("pair-1", "two images", ("wide", "high"), data.get)
    with Image.open(BytesIO(shown.image)) as page:
        assert page.size == (shown.width, shown.height) == (2 * 320 + 12, 320)
        assert corners(page.crop((0, 80, 320, 240)).convert("RGB")) == UPRIGHT
        assert corners(page.crop((332 + 120, 0, 332 + 200, 320)).convert("RGB")) == UPRIGHT
        assert page.getpixel((326, 160))[3] == page.getpixel((10, 10))[3] == 0


def test_a_picture_of_noise_is_small_too() -> None:
    noise = encode(Image.merge("RGB", [Image.effect_noise((500, 500), 200) for _ in range(3)]), "PNG")
    assert len(thumbnails.render("added-1", "", "noise", {"noise": noise}.get).image) <= thumbnails.MAX_BYTES
    pair = thumbnails.render_pair("pair-1", "", ("noise", "noise"), {"noise": noise}.get)
    assert len(pair.image) <= 2 * thumbnails.MAX_BYTES


BROKEN = {
    "truncated": encode(quarters())[:1500],
    "text": b"<html>no such image</html>",
    "empty": b"",
    "gone": None,
    "bomb": encode(Image.new("1", (9_500, 9_500)), "PNG"),
}


FAULTS = {
    "truncated": "no image: image file is truncated",
    "text": "no image: not an image",
    "empty": "no image: empty file",
    "gone": "no image: no intact copy",
    "bomb": "no image: too many pixels",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_a_crossed_square_and_says_why_in_words(name: str, recwarn: pytest.WarningsRecorder) -> None:
    (shown,) = thumbnails.render_all([Wanted("added-1", "", name)], BROKEN.get)
    assert shown == thumbnails.render("added-1", "", name, BROKEN.get)
    assert shown.fault.startswith(FAULTS[name])
    with Image.open(BytesIO(shown.image)) as page:
        places = [page.convert("RGB").getpixel(place) for place in ((160, 40), (160, 160))]
    grey, cross = (sum(one) // 3 for one in places)
    assert max(places[0]) - min(places[0]) <= 32
    assert cross > grey + 30
    pair = thumbnails.render_pair("pair-1", "", ("whole", name), {**BROKEN, "whole": encode(quarters())}.get)
    assert pair.fault.startswith(FAULTS[name].replace("no image", "no right image"))
    assert not recwarn.list


def test_the_choice_is_even_over_classes_and_always_the_same() -> None:
    rows = [(f"u{n:03}", f"{n * 7919 % 1000:032}", "cat" if n < 90 else "dog" if n < 97 else "emu") for n in range(99)]
    frame = pl.DataFrame(rows, ["uuid", "md5", "label"], orient="row")
    chosen = thumbnails.sample(frame)
    assert chosen["label"].to_list() == ["cat"] * 5 + ["dog"] * 5 + ["emu"] * 2
    assert thumbnails.sample(frame.reverse()).equals(chosen)
    assert thumbnails.sample(frame.head(3)).height == 3
