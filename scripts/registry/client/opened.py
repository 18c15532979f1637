"""A release in a program: `registry.open` fetches it, and gives its files, table, images, datasets and session.

Libraries are imported where they are used: a program that reads files needs none of them. Each comes with an extra.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.client import fetch, sources
from registry.core import extras, item_paths, progress, references
from registry.core.layout import SPLITS
from registry.core.references import Reference
from registry.core.values import Kind, Tag
from registry.errors import NotFound, Refused

if TYPE_CHECKING:
    import onnxruntime
    import PIL.Image
    import polars


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a dataset: its file, its class, its split and its UUID."""

    path: Path
    label: str
    split: str
    uuid: str

    def load(self) -> "PIL.Image.Image":
        """The pixels in RGB, turned as EXIF says. Needs the extra `images`."""
        with extras.consumers():
            import PIL.Image
            import PIL.ImageOps
        with PIL.Image.open(self.path) as image:
            return PIL.ImageOps.exif_transpose(image).convert("RGB")


class TorchImages:
    """A map-style dataset, as `torch.utils.data.DataLoader` takes one: pairs of an image and the number of its class.

    `numbers` are those of the dataset's manifest, which are also the places of a model's scores.
    """

    def __init__(
        self,
        images: Sequence[Image],
        numbers: Mapping[str, int],
        transform: "Callable[[PIL.Image.Image], Any] | None" = None,
    ) -> None:
        self.images = tuple(images)
        self.numbers = numbers
        self._transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.images[index]
        pixels = image.load()
        return (self._transform(pixels) if self._transform else pixels), self.numbers[image.label]


@dataclass(frozen=True)
class Opened:
    """A release on this machine: every file was compared with what was released.

    `path` is a dataset's folder or a model's file; `withdrawn` the reason why the version is withdrawn, or empty.
    """

    tag: Tag
    path: Path
    withdrawn: str = ""

    @cached_property
    def table(self) -> "polars.DataFrame":
        """A row for each image: split, file_name, label (number), label_name and the manifest's columns.

        `file_name` is relative to `path`. Needs the extra `table`.
        """
        self._require(Kind.DATASET, "table")
        with extras.consumers():
            import polars as pl
        frames = [
            pl.read_parquet(self.path / file).with_columns(
                pl.lit(split).alias("split"), pl.concat_str(pl.lit(f"{folder}/"), "file_name").alias("file_name")
            )
            for split, folder, file in self._tables()
        ]
        found = pl.concat(frames)
        return found.select("split", *(name for name in found.columns if name != "split"))

    def _tables(self) -> "Iterator[tuple[str, str, str]]":
        """The split of each table, its folder and its path, from `path`."""
        for split in SPLITS:
            for file in sorted((self.path / split).glob(f"**/{item_paths.METADATA}")):
                folder = file.parent.relative_to(self.path).as_posix()
                yield split, folder, f"{folder}/{item_paths.METADATA}"

    def images(self, split: str = "") -> Iterator[Image]:
        """The images of a split, or of all, sorted by path."""
        self._require(Kind.DATASET, "images")
        for name in [split] if split else SPLITS:
            files = (file for file in self.path.glob(f"{name}/**/*") if file.is_file())
            for file in sorted(file for file in files if file.name != item_paths.METADATA):
                parts = item_paths.parse(file.relative_to(self.path).as_posix())
                yield Image(file, parts.label, parts.split, parts.uuid)

    def torch(self, split: str, transform: "Callable[[PIL.Image.Image], Any] | None" = None) -> TorchImages:
        """The images of a split for PyTorch; `transform` makes tensors of them. Needs `table` and `images`."""
        numbers = dict(self.table.select("label_name", "label").unique().sort("label").iter_rows())
        return TorchImages(list(self.images(split)), numbers, transform)

    def hf(self, **options: Any) -> Any:
        """The dataset of `datasets.load_dataset`, with a split for each that is here. Needs the extra `hf`."""
        self._require(Kind.DATASET, "hf")
        with extras.consumers():
            load = import_module("datasets").load_dataset  # a folder of that name is in each registry
        splits = {split: f"{split}/**" for split in SPLITS if (self.path / split).is_dir()}
        return load("imagefolder", data_dir=str(self.path), data_files=splits, **options)

    def session(self, **options: Any) -> "onnxruntime.InferenceSession":
        """The model, ready to run. Needs the extra `onnx`."""
        self._require(Kind.MODEL, "session")
        with extras.consumers():
            import onnxruntime
        return onnxruntime.InferenceSession(str(self.path), **options)

    def _require(self, kind: Kind, what: str) -> None:
        if self.tag.artifact.kind is not kind:
            raise Refused(f"{self.tag} is a {self.tag.artifact.kind}, and {what} is of a {kind}", fix="use `path`")


def open(  # noqa: A001 - it is called registry.open
    artifact: str, version: str = references.LATEST, *, repo: str, folder: str | Path | None = None, split: str = ""
) -> Opened:
    """Fetch a release, and give it. What is there already is compared with the release, and not fetched again.

    `artifact` is an id such as `datasets/pets`; `version` is `v1.0.0`, `latest` or `#STAGE`. `repo` is the URL of the
    registry's Git repository, a clone on this machine, or the address of its `registry.json`. `folder` is where the
    files will lie; by default, a folder of this version in the user's cache, or in $REGISTRY_CACHE. With `split`, one
    split alone.

    Warns of a version that is withdrawn. Raises RegistryError: NotFound, which lists what there is, Refused for a
    folder with other files and for a version of which files were erased, InvalidData for objects that are damaged or
    missing, StorageFailed.
    """
    wanted = references.of(artifact, version)
    if split and (split not in SPLITS or wanted.artifact.kind is not Kind.DATASET):
        raise NotFound(f"{wanted} has no split {split!r}", fix=f"choose one of {', '.join(SPLITS)} of a dataset")

    said = list[str]()
    try:
        with extras.consumers():  # of the login of Google Cloud Storage
            return _open(repo, wanted, folder, split, said.append)
    finally:
        for message in said:
            warnings.warn(message, stacklevel=2)


def _open(repo: str, wanted: Reference, folder: str | Path | None, split: str, warn: Callable[[str], None]) -> Opened:
    product = sources.find(repo, wanted, warn)
    target = Path(folder) if folder is not None else _cache() / _named(repo) / str(product.tag)
    plan = fetch.plan(product, target, split, warn)
    with progress.bar(f"fetching {product.tag}", len(plan.missing), plan.size) as advance:
        fetch.apply(plan, advance, warn)
    is_model = product.tag.artifact.kind is Kind.MODEL
    path = target / product.outputs[0].path.rpartition("/")[2] if is_model else target
    return Opened(product.tag, path, product.withdrawn)


def _cache() -> Path:
    """The user's folder for what can be fetched again."""
    if found := os.environ.get("REGISTRY_CACHE"):
        return Path(found)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local", extras.DISTRIBUTION)
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches" / extras.DISTRIBUTION
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", extras.DISTRIBUTION)


def _named(place: str) -> str:
    """A folder's name for a registry, without what its URL may have of a login."""
    return hashlib.sha256(place.encode()).hexdigest()[:16]
