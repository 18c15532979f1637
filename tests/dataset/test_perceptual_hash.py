import random
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from registry.dataset import perceptual_hash
from registry.dataset.changes import Symmetry

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
    found = perceptual_hash.find_pairs(new, old).found
    assert set(found.select("first", "second").rows()) == {(f"copy of {seed}", seed) for seed in photos}


def test_what_shows_nothing_or_cannot_be_decoded_is_like_nothing() -> None:
    white = encode(Image.new("RGB", (300, 300), "white"))
    assert [perceptual_hash.fingerprint(data) for data in (white, b"", b"<html>", encode(photo(1))[:900])] == [None] * 4
    blank = perceptual_hash.to_frame({"a": None, "b": None})
    assert perceptual_hash.find_pairs(blank, blank.clear()).found.is_empty()


def alike(number: int) -> perceptual_hash.Fingerprint:
    """A fingerprint whose other symmetries show too little to be compared."""
    return perceptual_hash.Fingerprint((number, *[0] * 7), GREY)


shown = st.integers(0, 2**32 - 1).map(lambda low: low << 32 | (low ^ 0xFFFFFFFF))  # half of the bits are set
hashes = st.lists(shown, min_size=1, max_size=8)
flips = st.lists(st.tuples(st.integers(0, 7), st.sets(st.integers(0, 63), max_size=6)), max_size=8)


@given(hashes, flips, st.integers(0, 8))
def test_the_bands_find_what_comparing_all_with_all_finds(seeds: list[int], near: list, cut: int) -> None:
    values = seeds + [
        seeds[place % len(seeds)] ^ sum(1 << bit for bit in bits) for place, bits in near
    ]  # unrelated hashes, and near ones of them
    every = perceptual_hash.to_frame({f"{number:02}": alike(value) for number, value in enumerate(values)})
    some, others = every.head(cut), every.slice(cut)
    expected = {
        (f"{one:02}", f"{two:02}", (values[one] ^ values[two]).bit_count())
        for one in range(min(cut, len(values)))
        for two in range(one + 1, len(values))
        if (values[one] ^ values[two]).bit_count() <= perceptual_hash.MAX_DISTANCE
    }
    assert set(perceptual_hash.find_pairs(some, others).found.drop("symmetry").rows()) == expected


def test_a_near_pair_that_does_not_agree_in_grey_is_none() -> None:
    some = perceptual_hash.to_frame({"a": alike(0xFFFF)})
    others = perceptual_hash.to_frame({"b": alike(0xFFFF)._replace(grey=GREY[::-1])})
    assert perceptual_hash.find_pairs(some, others).found.is_empty()
    assert perceptual_hash.find_pairs(some, some.with_columns(md5=pl.lit("b"))).found.height == 1


def test_fingerprints_are_cached(tmp_path: Path) -> None:
    path = tmp_path / "notes/fingerprints.parquet"
    first = perceptual_hash.to_frame({"a": alike(1), "b": None})
    perceptual_hash.record(path, first)
    perceptual_hash.record(path, perceptual_hash.to_frame({"c": alike(2**64 - 1)}))
    assert perceptual_hash.lookup(path, pl.Series(["a", "b", "d"])).sort("md5").equals(first)
    assert perceptual_hash.lookup(path, pl.Series(["c"])).row(0) == ("c", [2**64 - 1, *[0] * 7], GREY)


TURNS = {
    Symmetry.MIRRORED: [Image.Transpose.FLIP_LEFT_RIGHT],
    Symmetry.FLIPPED: [Image.Transpose.FLIP_TOP_BOTTOM],
    Symmetry.ROTATED_90: [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270],
    Symmetry.ROTATED_180: [Image.Transpose.ROTATE_180],
    Symmetry.MIRRORED_ROTATED: [Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE],
}


@pytest.mark.parametrize("size", [(450, 340), (300, 500), (400, 400)])
@pytest.mark.parametrize("name", COPIES)
def test_a_mirrored_or_rotated_copy_is_found_in_its_symmetry_and_no_other_image(
    name: str, size: tuple[int, int]
) -> None:
    photos = {str(seed): photo(seed, size) for seed in range(4)}
    old = looks({seed: encode(image, quality=95) for seed, image in photos.items()})
    for symmetry, transposes in TURNS.items():
        for transpose in transposes:
            turned = {f"copy of {seed}": COPIES[name](image.transpose(transpose)) for seed, image in photos.items()}
            found = perceptual_hash.find_pairs(looks(turned), old).found
            expected = {(f"copy of {seed}", seed, symmetry.value) for seed in photos}
            assert set(found.select("first", "second", "symmetry").rows()) == expected


def test_two_new_images_in_another_symmetry_are_one_pair() -> None:
    image = photo(3)
    new = looks({"a": encode(image), "b": encode(image.transpose(Image.Transpose.ROTATE_270))})
    pairs = perceptual_hash.find_pairs(new, new.clear())
    assert pairs.found.select("first", "second", "symmetry").rows() == [("a", "b", "rotated by 90°")]


def test_a_symmetric_image_and_its_copy_are_one_pair() -> None:
    half = photo(4, (300, 400))
    whole = Image.new("RGB", (600, 400))
    whole.paste(half, (0, 0))
    whole.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (300, 0))
    pairs = perceptual_hash.find_pairs(looks({"copy": encode(whole, quality=50)}), looks({"image": encode(whole)}))
    assert pairs.found.select("first", "second", "symmetry").rows() == [("copy", "image", "")]


def test_candidates_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual_hash, "MAX_CANDIDATES", 2)
    new = perceptual_hash.to_frame({name: alike(0xFFFF) for name in "abc"})
    found, omitted = perceptual_hash.find_pairs(new, new.clear())
    assert (found.height, omitted) == (2, 4)  # of six: each image beside each other one


def test_a_search_that_finds_far_too_many_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bursts of one scene: 5,000 of them took 14 GB before the search had an end."""
    monkeypatch.setattr(perceptual_hash, "MAX_CANDIDATES", 10)
    monkeypatch.setattr(perceptual_hash, "ENOUGH", 100)
    monkeypatch.setattr(perceptual_hash, "_JOINED", 400)  # rows of a part: 8 symmetries, and 5 images beside 80
    new = perceptual_hash.to_frame({f"{number:02}": alike(0xFFFF) for number in range(80)})
    found, omitted = perceptual_hash.find_pairs(new, new.clear())
    assert found.height == 10
    assert 90 <= omitted < 80 * 79 - 10


def test_a_candidate_that_shares_all_bands_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual_hash, "MAX_CANDIDATES", 1)
    new = perceptual_hash.to_frame({name: alike(0xFFFF) for name in "ab"})
    assert perceptual_hash.find_pairs(new, new.clear()).omitted == 1  # (a, b) and (b, a)
