"""What `find_fault` says of sound, damaged and foreign files (`support.odd_images`), and of headers that lie."""

import io
import random
import warnings

import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from registry.dataset import exclusions, image_formats
from registry.dataset.image_validation import find_fault
from support.odd_images import ODD, SOUND, OddFile, changed, extraneous, photo

pytestmark = pytest.mark.filterwarnings("error")  # none may reach a user's terminal

# --- sound, damaged, foreign ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SOUND.values(), ids=SOUND)
def test_sound_images_have_no_fault(file: OddFile) -> None:
    assert find_fault(f"a.{file.ending}", file.data) is None


@pytest.mark.parametrize("file", ODD.values(), ids=ODD)
def test_an_odd_file_is_named_for_what_it_is(file: OddFile) -> None:
    fault = find_fault(f"a.{file.ending}", file.data)
    assert fault
    assert str(file.fault) in fault
    assert fault.isprintable()
    assert len(fault) <= 200  # the limit of a reason in `exclude:`
    assert exclusions.is_of_build(fault)


@pytest.mark.parametrize("file", SOUND.values(), ids=SOUND)
def test_an_image_that_was_cut_is_found_wherever_the_cut_is(file: OddFile) -> None:
    whole = file.data.rstrip(b"\0\n")
    end = whole.index(b"\xff\xd9\xff\xd8") + 2 if b"\xff\xd9\xff\xd8" in whole else len(whole)  # of the first image
    cuts = {*range(0, end, 37), *range(max(0, end - 12), end)}
    assert [cut for cut in cuts if find_fault(f"a.{file.ending}", whole[:cut]) is None] == []


@pytest.mark.parametrize("name", [name for name in SOUND if SOUND[name].ending != "webp" and "behind" not in name])
def test_an_image_whose_tail_became_zeros_is_found(name: str) -> None:
    whole, key = SOUND[name].data, f"a.{SOUND[name].ending}"
    end = whole.index(b"\xff\xd9\xff\xd8") + 2 if b"\xff\xd9\xff\xd8" in whole else len(whole)
    starts = range(0, end - 2, 37)
    assert [start for start in starts if find_fault(key, whole[:start] + bytes(len(whole) - start)) is None] == []


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 8}, {"subsampling": 0}], ids=str
)
def test_an_image_that_was_cut_and_ended_again_is_found_wherever_the_cut_is(options: dict[str, object]) -> None:
    """Recovered and scraped photographs: the lower half is grey in every viewer, and none complains."""
    whole = photo(size=(300, 200), **options)
    start = whole.index(b"\xff\xda")
    cuts = range(start + 20, len(whole) - 40, 41)
    assert [cut for cut in cuts if find_fault("a.jpg", whole[:cut] + b"\xff\xd9") is None] == []


ALPHA = bytes.fromhex("414c5048")  # the name of the chunk
WEBPS = {
    "lossy": (b"VP8 ", {}),
    "lossless": (b"VP8L", {"lossless": True}),
    "alpha": (b"VP8 ", {"mode": "RGBA"}),
    "alpha channel": (ALPHA, {"mode": "RGBA"}),
}


@pytest.mark.parametrize(("kind", "options"), WEBPS.values(), ids=WEBPS)
def test_a_webp_that_was_cut_and_whose_container_says_so_is_found(kind: bytes, options: dict[str, object]) -> None:
    """As a program writes it that repairs a broken download: all lengths are right."""
    whole = photo("WEBP", **{"mode": "RGB", "size": (300, 200), **options})
    if kind == ALPHA:  # not of one value, so that it has something to cut
        image = Image.open(io.BytesIO(photo("PNG", "RGBA", (300, 200))))
        image.putalpha(Image.open(io.BytesIO(photo("PNG", "L", (300, 200)))))
        image.save(out := io.BytesIO(), "WEBP", alpha_quality=100)
        whole = out.getvalue()
    at = whole.index(kind)
    size = int.from_bytes(whole[at + 4 : at + 8], "little")
    rest = whole[at + 8 + size + size % 2 :]
    for kept in range(size // 10, size - 40, size // 10):
        cut = whole[at + 8 : at + 8 + kept - kept % 2]
        body = whole[8:at] + kind + len(cut).to_bytes(4, "little") + cut + rest
        assert find_fault("a.webp", b"RIFF" + len(body).to_bytes(4, "little") + body), f"{kept} of {size} bytes"


def test_a_flat_webp_may_end_in_thousands_of_zeros() -> None:
    """Which is why zeros at its end, as an interrupted upload leaves them, are no proof of damage."""
    flat = Image.new("RGB", (1600, 1200), "white")
    flat.paste("blue", (10, 10, 40, 40))
    flat.save(out := io.BytesIO(), "WEBP", quality=100, method=0)
    assert out.getvalue().endswith(bytes(2000))
    assert find_fault("a.webp", out.getvalue()) is None


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_progressive_image_without_its_last_scans_is_found(mode: str) -> None:
    whole = photo(mode=mode, progressive=True)
    starts = [at for at in range(len(whole)) if whole.startswith(b"\xff\xda", at)]
    assert len(starts) > 4
    for start in starts[1:]:
        assert simplejpeg.decode_jpeg(whole[:start] + b"\xff\xd9", "GRAY").any()  # without a warning
        assert find_fault("a.jpg", whole[:start] + b"\xff\xd9") == "truncated: the last scans are missing"


def test_more_bytes_than_any_image_has_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_formats, "MAX_BYTES", 1000)
    assert find_fault("a.jpg", photo()) == f"file has {len(photo()):,} bytes, the limit is 1,000"


def test_the_limit_is_the_one_where_pillow_warns() -> None:
    assert Image.MAX_IMAGE_PIXELS == image_formats.MAX_PIXELS


def test_a_photograph_of_81_megapixels_is_sound() -> None:
    out = io.BytesIO()
    Image.effect_noise((9000, 9000), 20).save(out, "JPEG", quality=40)
    assert find_fault("a.jpg", out.getvalue()) is None


def test_another_extension_is_refused() -> None:
    assert find_fault("a.gif", b"GIF89a") == "the extension is not one of jpg, jpeg, png, webp"


# --- lenient ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [extraneous(photo()), ODD["bytes missing"].data], ids=["extraneous", "missing"])
def test_lenient_accepts_what_the_decoder_warns_of(data: bytes) -> None:
    assert find_fault("a.jpg", data)
    assert find_fault("a.jpg", data, lenient=True) is None


WARNED = {"half with an end marker", "bytes missing", "zeros inside", "last scans missing", "extraneous bytes"}
WARNED |= {"taller than it is", "flatter than it is"}


@pytest.mark.parametrize("name", sorted(ODD.keys() - WARNED))
def test_lenient_accepts_nothing_else(name: str) -> None:
    assert find_fault(f"a.{ODD[name].ending}", ODD[name].data, lenient=True)


# --- hostile bytes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SOUND.values(), ids=SOUND)
def test_damage_anywhere_is_a_finding_or_nothing_but_never_a_crash(file: OddFile) -> None:
    numbers, whole = random.Random(1), file.data
    for _ in range(120):
        damaged = bytearray(whole)
        for _ in range(numbers.choice([1, 3])):
            damaged[numbers.randrange(min(len(whole), numbers.choice([300, 10**6])))] = numbers.randrange(256)
        fault = find_fault(f"a.{file.ending}", bytes(damaged))
        assert fault is None or (fault.isprintable() and 0 < len(fault) <= 200)


HEADS = {name: SOUND[name] for name in ("baseline", "progressive", "png", "png palette", "webp", "webp lossless")}
HEADS |= {name: SOUND[name] for name in ("webp alpha", "cmyk", "webp with metadata")}


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(HEADS)),
    lies=st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=4))),
)
def test_every_header_lie_ends_in_a_finding_or_in_an_image(name: str, lies: list[tuple[int, bytes]]) -> None:
    """Whatever the header says, no exception escapes; and what is accepted, Pillow decodes."""
    data = HEADS[name].data
    for at, new in lies:
        data = changed(data, min(at, len(data) - len(new)), new)
    for lenient in (False, True):
        fault = find_fault(f"a.{HEADS[name].ending}", data, lenient=lenient)
        if fault is None:
            with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
                image.load()
        else:
            assert fault.isprintable()


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"", b"<", b"\0\0\0\x18ftyp"]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_a_finding(start: bytes, rest: bytes) -> None:
    for key in ("a.jpg", "a.png", "a.webp"):
        fault = find_fault(key, start + rest)
        assert fault
        assert fault.isprintable()
