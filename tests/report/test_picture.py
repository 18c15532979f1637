"""The picture of a report that README shows; `pytest tests/report/test_picture.py --update-goldens` takes it again."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageDraw, ImageFont

from registry.core import digests
from registry.core.model_values import Gate
from registry.core.values import ArtifactId, Kind
from registry.dataset import thumbnails
from registry.dataset.changes import Example
from registry.model.changes import Flip, ModelChange
from registry.model.classification import TITLES
from registry.report import html
from registry.report.assemble import assemble
from support import report_parts
from support.browser import started
from support.model_frames import uuid

PICTURE = Path(__file__).parents[2] / "docs/images/report.png"
WIDTH, HEIGHT, MAX_BYTES = 900, 1188, 200_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The label, and the predictions of the base and of the new model.
BROKEN = ((4, 4, 9), (8, 8, 3), (5, 5, 6), (7, 7, 1))
FIXED = (
    (7, 1, 7),
    (3, 8, 3),
    (9, 4, 9),
    (2, 7, 2),
    (6, 5, 6),
    (0, 6, 0),
    (5, 3, 5),
    (9, 7, 9),
    (8, 9, 8),
    (1, 7, 1),
    (4, 9, 4),
)


def handwriting(digit: int, seed: int) -> bytes:
    """A tilted digit of 28 × 28 pixels."""
    image, data = Image.new("L", (112, 112), "black"), BytesIO()
    ImageDraw.Draw(image).text((56, 56), str(digit), "white", ImageFont.load_default(size=92), anchor="mm")
    tilted = image.rotate(Random(seed).uniform(-28, 28), Image.Resampling.BICUBIC)
    tilted.resize((28, 28), Image.Resampling.LANCZOS).save(data, "PNG")
    return data.getvalue()


def flips(kind: Flip, rows: tuple[tuple[int, int, int], ...]) -> Iterator[Example]:
    random = Random(kind)
    for place, (label, base, new) in enumerate(rows):
        data = handwriting(label, place)
        first, second = (f"{DIGITS[digit]} {random.uniform(0.5, 0.97):.2f}" for digit in (base, new))
        caption = f"label {DIGITS[label]}; predicted {first} → {second}"
        picture = thumbnails.render(f"{kind}-{place}", DIGITS[label], digests.md5(data), {digests.md5(data): data}.get)
        yield Example(TITLES[kind], len(rows), uuid(place), caption, picture)


def model() -> ModelChange:
    change = report_parts.model_change(examples=(*flips(Flip.BROKEN, BROKEN), *flips(Flip.FIXED, FIXED)))
    last = replace(
        change.gates[2],
        gate=Gate("f1", min=0.8, label="seven"),
        message="per_class.seven.f1 is 0.929, expected at least 0.8",
    )
    return replace(change, id=ArtifactId(Kind.MODEL, "digits"), gates=(*change.gates[:2], last))


def test_the_picture_of_a_report(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if request.config.getoption("--update-goldens"):
        report = assemble(report_parts.PASSED, [], [model()], report_parts.RUN_INFO)
        (tmp_path / "report.html").write_text(html.render(report))
        with started() as browser:
            page = browser.open((tmp_path / "report.html").as_uri(), WIDTH, "light")
            page.screenshot(tmp_path / "page.png")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        top = Image.open(tmp_path / "page.png").convert("RGB").crop((0, 0, WIDTH, HEIGHT))
        top.quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    assert Image.open(PICTURE).size == (WIDTH, HEIGHT)
    assert PICTURE.stat().st_size < MAX_BYTES
