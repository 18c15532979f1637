"""Verifies the shards of releases: production has each that an index names, and no image of them was changed.

Shards are made again from the release, so nothing is lost with them: what is missing or corrupt is exported again.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from polars import DataFrame, col

from registry.core import item_paths
from registry.core.progress import Progress
from registry.core.values import Kind, Tag
from registry.core.wording import plural
from registry.dataset import shard_index
from registry.dataset.shard_index import ShardFile
from registry.errors import InvalidDocument
from registry.release import stored_shards
from registry.release.fsck_versions import Fault, FaultState, TaggedVersion
from registry.release.stored_shards import StoredShards
from registry.storage.base import Store
from registry.storage.parallel import parallel_map

READERS = 4  # shards that are read at once


@dataclass(frozen=True, slots=True)
class _Checked:
    fault: Fault | None
    moved: int


def inspect(
    versions: Sequence[TaggedVersion], objects: DataFrame, production: Store, *, deep: bool, progress: Progress
) -> Mapping[Tag, tuple[Fault, ...]]:
    """The faults of the shards of these versions; `objects` are the rows of `inventory.expand` that they reach.

    Sizes are compared, and with `deep` the SHA-256 of each shard. A shard with an image that was erased may be gone.
    Raises StorageFailed.
    """
    named = {one.tag: one for one in versions if one.tag.artifact.kind is Kind.DATASET and not one.fault}
    keys = {shard_index.key(tag): tag for tag in named}
    there = production.find_many([*keys])["key"].to_list() if keys else []
    found = dict[Tag, tuple[Fault, ...]]()
    for place in sorted(there):
        version = named[keys[place]]
        try:
            stored = stored_shards.read(production, version.tag)
            said = _find_other_release(stored, version)
        except InvalidDocument as error:
            said = error.message
        if said:
            found[version.tag] = (_fault(FaultState.CORRUPT, production, place, said),)
        else:
            gone = stored.index.find_all(_find_erased(version, objects))
            found[version.tag] = tuple(_inspect(stored, gone, production, deep=deep, progress=progress))
    return {tag: faults for tag, faults in found.items() if faults}


def _find_other_release(stored: StoredShards, version: TaggedVersion) -> str:
    index = stored.index
    if index.commit != version.commit:
        return f"is the index of shards of commit {index.commit[:10]}, expected {version.commit[:10]}"
    return "" if index.manifest == version.manifest else "names another release manifest than the tag"


def _find_erased(version: TaggedVersion, objects: DataFrame) -> Mapping[str, list[str]]:
    """The images of a version that were erased, by split."""
    roots = [out.md5 for out in version.content.outputs]
    rows = objects.filter("erased", col("root").is_in(roots))
    path = col("path").str.strip_prefix(f"{version.tag.artifact}/prepared/")
    parts = path.str.extract_groups(item_paths.ITEM_PATH).struct.field("split", "uuid")
    found: dict[str, list[str]] = {}
    for split, uuid in rows.select(parts).drop_nulls().iter_rows():
        found.setdefault(split, []).append(uuid)
    return found


def _inspect(
    stored: StoredShards, gone: frozenset[str], production: Store, *, deep: bool, progress: Progress
) -> Iterator[Fault]:
    tag, present = stored.index.tag, list[ShardFile]()
    for file in stored.index.files:
        key, size = shard_index.key(tag, file.name), stored.sizes.get(file.name)
        if size is None:
            if file.name not in gone:
                yield _fault(FaultState.MISSING, production, key, "is missing")
        elif size != file.size:
            yield _fault(FaultState.CORRUPT, production, key, f"has {plural(size, 'byte')}, expected {file.size:,}")
        else:
            present.append(file)
    if deep:
        work = partial(_read, production, tag)
        checked = parallel_map(work, present, concurrency=min(production.concurrency, READERS), progress=progress)
        yield from (one.fault for one in checked if one.fault)


def _read(production: Store, tag: Tag, file: ShardFile) -> _Checked:
    key, digest = shard_index.key(tag, file.name), hashlib.sha256()
    for chunk in production.read(key):
        digest.update(chunk)
    is_right = digest.hexdigest() == file.sha256
    other = None if is_right else _fault(FaultState.CORRUPT, production, key, "SHA-256 is not that of the index")
    return _Checked(other, file.size)


def _fault(state: FaultState, production: Store, key: str, said: str) -> Fault:
    return Fault(state, key, "", f"shard: {production.url}/{key}: {said}", key)
