import random
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from registry.dataset import perceptual_hash

GREY = bytes(range(256))


def photo(seed: int, size: tuple[int, int] = (600, 450)) -> Image.Image:
    """Soft blobs of light on a gradient, as different from one another as photographs are."""
    dice = random.Random(seed)
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    pen = ImageDraw.Draw(image)
    for _ in range(25):
        x, y, reach = dice.randrange(size[0]), dice.randrange(size[1]), dice.randrange(20, 150)
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), tuple(dice.randrange(256) for _ in range(3)))
    return image.filter(ImageFilter.GaussianBlur(3))


def encode(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def upside_down(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x112] = 3
    return encode(image.rotate(180), exif=exif)


COPIES = {
    "saved again": lambda image: encode(image, quality=40),
    "smaller": lambda image: encode(image.resize((300, 225))),
    "WebP": lambda image: encode(image, "WEBP", quality=60),
    "PNG": lambda image: encode(image, "PNG"),
    "brighter": lambda image: encode(image.point(lambda value: min(255, int(value * 1.1)))),
    "turned by EXIF": upside_down,
}


def looks(images: dict[str, bytes]) -> pl.DataFrame:
    return perceptual_hash.to_frame({name: perceptual_hash.fingerprint(data) for name, data in images.items()})


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_found_and_no_other_image(name: str) -> None:
    photos = {str(seed): photo(seed) for seed in range(12)}
    old = looks({seed: encode(image, quality=95) for seed, image in photos.items()})
    new = looks({f"copy of {seed}": COPIES[name](image) for seed, image in photos.items()})
    found = perceptual_hash.find_pairs(new, old)
    assert {(first, second) for first, second, _ in found.rows()} == {(f"copy of {seed}", seed) for seed in photos}


def test_what_shows_nothing_or_cannot_be_decoded_is_like_nothing() -> None:
    white = encode(Image.new("RGB", (300, 300), "white"))
    assert [perceptual_hash.fingerprint(data) for data in (white, b"", b"<html>", encode(photo(1))[:900])] == [None] * 4
    blank = perceptual_hash.to_frame({"a": None, "b": None})
    assert perceptual_hash.find_pairs(blank, blank.clear()).is_empty()


hashes = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8)
flips = st.lists(st.tuples(st.integers(0, 7), st.sets(st.integers(0, 63), max_size=6)), max_size=8)


@given(hashes, flips, st.integers(0, 8))
def test_the_bands_find_what_comparing_all_with_all_finds(seeds: list[int], near: list, cut: int) -> None:
    values = seeds + [
        seeds[place % len(seeds)] ^ sum(1 << bit for bit in bits) for place, bits in near
    ]  # unrelated hashes, and near ones of them
    every = perceptual_hash.to_frame({f"{number:02}": (value, GREY) for number, value in enumerate(values)})
    some, others = every.head(cut), every.slice(cut)
    expected = {
        (f"{one:02}", f"{two:02}", (values[one] ^ values[two]).bit_count())
        for one in range(min(cut, len(values)))
        for two in range(one + 1, len(values))
        if (values[one] ^ values[two]).bit_count() <= perceptual_hash.MAX_DISTANCE
    }
    assert set(perceptual_hash.find_pairs(some, others).rows()) == expected


def test_a_near_pair_that_does_not_agree_in_grey_is_none() -> None:
    some, others = perceptual_hash.to_frame({"a": (5, GREY)}), perceptual_hash.to_frame({"b": (5, GREY[::-1])})
    assert perceptual_hash.find_pairs(some, others).is_empty()


def test_looks_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "notes/fingerprints.parquet"
    first = perceptual_hash.to_frame({"a": (1, GREY), "b": None})
    perceptual_hash.record(path, first)
    perceptual_hash.record(path, perceptual_hash.to_frame({"c": (2**64 - 1, GREY)}))
    assert perceptual_hash.lookup(path, pl.Series(["a", "b", "d"])).sort("md5").equals(first)
    assert perceptual_hash.lookup(path, pl.Series(["c"])).row(0) == ("c", 2**64 - 1, GREY)


@pytest.mark.parametrize("broken", [b"", b"PAR1 and nothing else"])
def test_a_broken_memory_is_an_empty_one(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "fingerprints.parquet"
    path.write_bytes(broken)
    assert perceptual_hash.lookup(path, pl.Series(["a"])).is_empty()
    perceptual_hash.record(path, perceptual_hash.to_frame({"a": (1, GREY)}))
    assert perceptual_hash.lookup(path, pl.Series(["a"])).height == 1
