"""The shards that a store has: those of releases with what is missing of them, and those that hold an image."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from registry.core.values import Kind, Tag
from registry.dataset import shard_index
from registry.dataset.shard_index import ShardIndex
from registry.errors import InvalidDocument, NotFound
from registry.storage.base import Store


@dataclass(frozen=True, slots=True)
class StoredShards:
    """The shards of a release where its index is; `sizes` are the files beside it by name, in bytes."""

    index: ShardIndex
    sizes: Mapping[str, int]

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of shards that are not there: they were lost, or erased with an image."""
        return tuple(file.name for file in self.index.files if file.name not in self.sizes)


@dataclass(frozen=True, slots=True)
class ReleasedShards:
    """What is told of the shards of a release: where they are, how many each split has, and their size in bytes.

    `missing` names those that are not there.
    """

    place: str
    splits: Mapping[str, int]
    size: int
    missing: tuple[str, ...] = ()


def describe(stored: Mapping[Tag, StoredShards], url: str) -> dict[Tag, ReleasedShards]:
    """The same of releases, for readers; `url` is where they reach production."""
    return {
        tag: ReleasedShards(
            f"{url}/{shard_index.folder(tag)}",
            {split: len(files) for split, files in one.index.splits.items()},
            one.index.size,
            one.missing,
        )
        for tag, one in stored.items()
    }


def find(store: Store, tags: Iterable[Tag]) -> dict[Tag, StoredShards]:
    """The shards of those releases that have some. Raises StorageFailed, InvalidDocument."""
    keys = {shard_index.key(tag): tag for tag in tags if tag.artifact.kind is Kind.DATASET}
    there = store.find_many([*keys])["key"].to_list() if keys else []
    return {keys[key]: read(store, keys[key]) for key in sorted(there)}


def read(store: Store, tag: Tag) -> StoredShards:
    """The shards of a release. Raises NotFound where there is no index, StorageFailed, InvalidDocument."""
    index = shard_index.parse(store.get(shard_index.key(tag)), shard_index.key(tag), tag)
    return StoredShards(index, _sizes(store, tag))


def _sizes(store: Store, tag: Tag) -> dict[str, int]:
    """The files beside the index by their names, in bytes."""
    start = f"{shard_index.folder(tag)}/"
    return {one.key.removeprefix(start): one.size for part in store.scan(start.rstrip("/")) for one in part}


def find_holding(store: Store, tag: Tag, images: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The keys of the shards that have, or had, one of these images (UUIDs by split). Raises StorageFailed.

    An export that was interrupted left no index: then every shard of these splits may have one.
    """
    try:
        index = read(store, tag).index
    except (NotFound, InvalidDocument):
        begin = tuple(f"{split}-" for split in images)
        return frozenset(shard_index.key(tag, name) for name in _sizes(store, tag) if name.startswith(begin))
    return frozenset(shard_index.key(tag, name) for name in index.find_all(images))
