"""The index of a release's shards: which files they are, with their hashes, and which images are in which.

It lies beside them, `releases/ID/VERSION/shards/index.json`, and is written when all of them are there and proven. No
tag names it: shards are made from a release that its tag proves, and anybody can make them again, byte for byte.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.core import canonical_json, documents, names, schema
from registry.core.documents import Document
from registry.core.layout import SPLITS
from registry.core.values import Tag
from registry.dataset import shards
from registry.errors import InvalidDocument

FORMAT = 1
NAME = "index.json"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard as the index has it: `size` in bytes, `last` the place of its last image (`shards.order`)."""

    name: str
    images: int
    size: int
    md5: str
    sha256: str
    last: str


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """The shards of a release by split, in their order. `manifest` is the SHA-256 of its manifest; None: it has none.

    `features` describe a sample to Hugging Face (`shards.features`), `classes` are the names of the labels.
    """

    tag: Tag
    commit: str
    manifest: str | None
    classes: tuple[str, ...]
    features: Mapping[str, Any]
    splits: Mapping[str, tuple[ShardFile, ...]]

    @property
    def files(self) -> tuple[ShardFile, ...]:
        """All shards."""
        return tuple(file for files in self.splits.values() for file in files)

    @property
    def images(self) -> int:
        """The number of images in all shards."""
        return sum(file.images for file in self.files)

    @property
    def size(self) -> int:
        """The bytes of all shards."""
        return sum(file.size for file in self.files)

    def find(self, split: str, uuid: str) -> ShardFile | None:
        """The shard that has an image of a split, if the split has that image."""
        files = self.splits.get(split, ())
        place = bisect_left([file.last for file in files], shards.order(uuid))
        return files[place] if place < len(files) else None

    def find_all(self, images: Mapping[str, Iterable[str]]) -> frozenset[str]:
        """The names of the shards of these images (UUIDs by split)."""
        found = (self.find(split, uuid) for split, uuids in images.items() for uuid in uuids)
        return frozenset(file.name for file in found if file)


def folder(tag: Tag) -> str:
    """Where production has the shards of a release: `releases/datasets/pets/1.0.0/shards`."""
    return f"releases/{tag.artifact}/{tag.version}/shards"


def key(tag: Tag, name: str = NAME) -> str:
    """Where production has a shard, or the index."""
    return f"{folder(tag)}/{name}"


def is_key(place: str) -> bool:
    """Whether an object of production is a shard or an index."""
    return place.startswith("releases/") and "/shards/" in place


def write(index: ShardIndex) -> bytes:
    """The bytes of the index: JSON in one form."""
    found = {
        "format": FORMAT,
        "tag": str(index.tag),
        "commit": index.commit,
        "manifest": index.manifest,
        "classes": list(index.classes),
        "features": index.features,
        "splits": {split: [_to_json(file) for file in index.splits.get(split, ())] for split in SPLITS},
    }
    return f"{canonical_json.write(found)}\n".encode()


def _to_json(file: ShardFile) -> dict[str, object]:
    return {name: getattr(file, name) for name in ShardFile.__slots__}


def parse(data: bytes, place: str, tag: Tag) -> ShardIndex:
    """The index of the shards of this release. Raises InvalidDocument, also for that of another one."""
    found: Any = documents.read_json(data, place)
    schema.require(Document(place, found, {}), "shards")
    splits = {split: tuple(ShardFile(**file) for file in files) for split, files in found["splits"].items()}
    said = names.parse_tag(found["tag"])
    index = ShardIndex(said, found["commit"], found["manifest"], tuple(found["classes"]), found["features"], splits)
    if write(index) != data:
        raise InvalidDocument(place, "not in the canonical form of an index of shards")
    if said != tag:
        raise InvalidDocument(place, f"is the index of the shards of {said}, expected {tag}")
    for split, files in splits.items():
        expected = [f"{split}-{number:06}.tar" for number in range(len(files))]
        if [file.name for file in files] != expected:
            raise InvalidDocument(place, f"the shards of {split} are not numbered from {split}-000000.tar on")
        if sorted({file.last for file in files}) != [file.last for file in files]:
            raise InvalidDocument(place, f"the shards of {split} are not in the order of their images")
    return index
