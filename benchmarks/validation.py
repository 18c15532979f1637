"""Validating images: the strict way (`find_fault`) against Pillow's, which hides what libjpeg warns of; alternating.

Run it with `python benchmarks/validation.py [FOLDER]`: on the images below a folder, or on ones that are made here.
"""

import random
import sys
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

from PIL import Image

from registry.dataset.image_formats import BY_EXTENSION
from registry.dataset.image_validation import find_fault

ROUNDS = 5
IMAGES = 60  # of each kind
KINDS: Mapping[str, tuple[str, tuple[int, int], Mapping[str, object]]] = {
    "photograph.jpg": ("JPEG", (500, 375), {"quality": 85}),
    "progressive.jpg": ("JPEG", (500, 375), {"quality": 85, "progressive": True}),
    "digit.jpg": ("JPEG", (28, 28), {}),
    "camera.jpg": ("JPEG", (2000, 1500), {"quality": 85}),
    "photograph.png": ("PNG", (300, 225), {}),
    "photograph.webp": ("WEBP", (500, 375), {}),
}


def main() -> None:
    samples = read(Path(sys.argv[1])) if len(sys.argv) > 1 else {name: make(name) for name in KINDS}
    print(f"| images | size | Pillow | strict | ratio |\n|{'---|' * 5}")
    for name, images in samples.items():
        best = {with_pillow: 1e9, strictly: 1e9}
        for _ in range(ROUNDS):
            for way in best:
                best[way] = min(best[way], seconds(way, name, images) / len(images))
        size = sum(map(len, images)) / len(images) / 1000
        pillow, strict = best[with_pillow] * 1000, best[strictly] * 1000
        print(f"| {name} | {size:.0f} kB | {pillow:.3f} ms | {strict:.3f} ms | {strict / pillow:.2f} |")


def seconds(way: Callable[[str, bytes], None], name: str, images: list[bytes]) -> float:
    """Processor seconds."""
    started = time.process_time()
    for data in images:
        way(name, data)
    return time.process_time() - started


def with_pillow(_name: str, data: bytes) -> None:
    with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
        image.draft("L", (1, 1))
        image.load()


def strictly(name: str, data: bytes) -> None:
    find_fault(name, data)


def read(folder: Path) -> dict[str, list[bytes]]:
    """The images below a folder, by their ending."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if (ending := path.suffix.lower().removeprefix(".")) in BY_EXTENSION:
            found.setdefault(f"{folder.name}.{ending}", []).append(path.read_bytes())
    return found


def make(name: str) -> list[bytes]:
    """Blurred noise, which compresses about as photographs do."""
    kind, size, options = KINDS[name]
    images = []
    for number in range(IMAGES if size[0] < 1000 else IMAGES // 10):
        numbers, out = random.Random(number), BytesIO()
        noise = Image.frombytes("RGB", (60, 45), numbers.randbytes(60 * 45 * 3)).resize(size, Image.Resampling.BICUBIC)
        noise.save(out, kind, **options)
        images.append(out.getvalue())
    return images


if __name__ == "__main__":
    main()
