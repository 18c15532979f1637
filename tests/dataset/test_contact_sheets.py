from io import BytesIO

import polars as pl
import pytest
from PIL import Image, ImageOps

from registry.dataset import contact_sheets
from registry.dataset.contact_sheets import CaptionedImage

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
    shown = contact_sheets.thumbnail(encode(stored, exif=exif), 168)
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
    shown = contact_sheets.thumbnail(data, 168)
    assert (shown.mode, corners(shown), max(shown.size)) == ("RGB", UPRIGHT, 168)


def test_sixteen_bits_and_grey_keep_their_light() -> None:
    grey = Image.linear_gradient("L")
    deep = grey.convert("I").point(lambda value: value * 257).convert("I;16")
    shown, wanted = (contact_sheets.thumbnail(encode(image, "PNG"), 128) for image in (deep, grey))
    assert max(abs(shown.getpixel((64, y))[0] - wanted.getpixel((64, y))[0]) for y in range(4, 124)) <= 4


def test_what_is_transparent_is_white() -> None:
    shown = contact_sheets.thumbnail(encode(Image.new("RGBA", (300, 300), (0, 0, 0, 0)), "PNG"), 168)
    assert shown.getpixel((84, 84)) == (255, 255, 255)


def test_a_sheet_is_small_the_same_every_time_and_says_what_it_shows() -> None:
    data = {str(number): encode(quarters(), quality=50 + number) for number in range(7)}
    pictures = [CaptionedImage(md5, ("cat", "dog") if int(md5) % 2 else ("dog", "cat"), md5) for md5 in data]
    sheet = contact_sheets.render("relabelled", "Relabelled", pictures, 214, data.get)
    assert sheet == contact_sheets.render("relabelled", "Relabelled", pictures, 214, data.get)
    assert sheet.alt == "Relabelled: 7 of 214 images (3 cat to dog, 4 dog to cat)"
    assert (sheet.total, sheet.shown) == (214, 7)
    with Image.open(BytesIO(sheet.image)) as page:
        assert (page.format, page.size) == ("WEBP", (sheet.width, sheet.height))
        first = page.crop((contact_sheets.GAP, contact_sheets.GAP, contact_sheets.GAP + 168, contact_sheets.GAP + 168))
    assert corners(first) == UPRIGHT


def test_twenty_pictures_of_noise_fit_too() -> None:
    noise = encode(Image.merge("RGB", [Image.effect_noise((200, 200), 200) for _ in range(3)]), "PNG")
    pictures = [CaptionedImage("noise", ("cat",)) for _ in range(contact_sheets.SHOWN)]
    assert len(contact_sheets.render("added", "Added", pictures, 20, lambda _: noise).image) <= contact_sheets.MAX_BYTES


BROKEN = {
    "truncated": encode(quarters())[:1500],
    "text": b"<html>no such image</html>",
    "empty": b"",
    "gone": None,
    "bomb": encode(Image.new("1", (9_500, 9_500)), "PNG"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_a_grey_tile_that_says_why(name: str, recwarn: pytest.WarningsRecorder) -> None:
    sheet = contact_sheets.render("added", "Added", [CaptionedImage(name, ("cat",))], 1, BROKEN.get)
    assert sheet == contact_sheets.render("added", "Added", [CaptionedImage(name, ("cat",))], 1, BROKEN.get)
    with Image.open(BytesIO(sheet.image)) as page:
        square = page.convert("RGB").crop((12, 12, 180, 180))
    grey = ImageOps.posterize(square, 3).getpixel((10, 10))
    bright = sum(value > 200 for value in square.convert("L").tobytes())
    assert max(grey) - min(grey) <= 32
    assert 50 < bright < 5000  # letters
    assert not recwarn.list


def test_the_choice_is_even_over_classes_and_always_the_same() -> None:
    rows = [(f"u{n:03}", f"{n * 7919 % 1000:032}", "cat" if n < 90 else "dog" if n < 97 else "emu") for n in range(99)]
    frame = pl.DataFrame(rows, ["uuid", "md5", "label"], orient="row")
    chosen = contact_sheets.sample(frame)
    assert chosen["label"].to_list() == ["cat"] * 11 + ["dog"] * 7 + ["emu"] * 2
    assert contact_sheets.sample(frame.reverse()).equals(chosen)
    assert contact_sheets.sample(frame.head(3)).height == 3


def test_a_long_label_is_cut_and_a_strange_letter_replaced() -> None:
    assert contact_sheets.plain("Zoë·猫\n") == "Zoe·??"
    image = {"a": encode(quarters())}
    wide = contact_sheets.render(
        "added", "Added", [CaptionedImage("a", ("Great Dane " * 9, "cat"), "0a8c7f6e " * 9)], 1, image.get
    )
    with Image.open(BytesIO(wide.image)) as page:
        margin = page.convert("L").crop((wide.width - contact_sheets.GAP + 2, 0, wide.width, wide.height))
    assert min(margin.tobytes()) > 225  # nothing is written past the picture's edge
