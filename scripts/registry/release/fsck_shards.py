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
from registry.dataset import shard_index, shards
from registry.dataset.shard_index import ShardFile
from registry.dataset.shards import Shard
from registry.errors import InvalidDocument, NotFound, Refused
from registry.release import shard_proof, stored_shards
from registry.release.fsck_versions import Fault, FaultState, TaggedVersion
from registry.release.stored_shards import StoredShards
from registry.storage.base import Store
from registry.storage.parallel import parallel_map
from registry.storage.reader import ObjectReader
from registry.sync import inventory

READERS = 4  # shards that are read at once


@dataclass(frozen=True, slots=True)
class _Checked:
    fault: Fault | None
    moved: int


def inspect(
    versions: Sequence[TaggedVersion], objects: DataFrame, production: Store, *, deep: bool, progress: Progress
) -> Mapping[Tag, tuple[Fault, ...]]:
    """The faults of the shards of these versions; `objects` are the rows of `inventory.expand` that they reach.

    Sizes are compared, and with `deep` every byte with what the release makes; of a release that lacks an object, which
    may be erased, the SHA-256 of each shard with the index. A shard with an image that was erased may be gone. Raises
    StorageFailed.
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
            made = _lay_out(version, objects, production) if deep else {}
            gone = stored.index.find_all(_find_erased(version, objects))
            shallow = {file.name: fault for file in stored.index.files if (fault := _compare(stored, file, production))}
            faults = [fault for name, fault in shallow.items() if name not in gone or name in stored.sizes]
            if made.keys() - {file.name for file in stored.index.files}:
                faults.append(_fault(FaultState.CORRUPT, production, place, "does not name all shards of the release"))
            if deep:
                left = [file for file in stored.index.files if file.name not in shallow]
                faults += _read_all(version.tag, left, made, production, progress)
            found[version.tag] = tuple(faults)
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


def _compare(stored: StoredShards, file: ShardFile, production: Store) -> Fault | None:
    """What a listing shows of a shard."""
    key, size = shard_index.key(stored.index.tag, file.name), stored.sizes.get(file.name)
    if size is None:
        return _fault(FaultState.MISSING, production, key, "is missing")
    said = f"has {plural(size, 'byte')}, expected {file.size:,}"
    return None if size == file.size else _fault(FaultState.CORRUPT, production, key, said)


def _lay_out(version: TaggedVersion, objects: DataFrame, production: Store) -> Mapping[str, Shard]:
    """The shards that the release makes; none where production lacks an object of it."""
    rows = objects.filter(~col("is_dir"), col("root").is_in([out.md5 for out in version.content.outputs]))
    listed = rows.select("md5", "path").join(inventory.find_stored(production, rows["md5"]), on="md5")
    if listed.height != rows.height:
        return {}
    try:
        return shard_proof.lay_out(version.tag, listed, ObjectReader((production,)))
    except (NotFound, Refused):
        return {}


def _read_all(
    tag: Tag, files: Sequence[ShardFile], made: Mapping[str, Shard], production: Store, progress: Progress
) -> Iterator[Fault]:
    work = partial(_read, production, tag, made)
    checked = parallel_map(work, files, concurrency=min(production.concurrency, READERS), progress=progress)
    return (one.fault for one in checked if one.fault)


def _read(production: Store, tag: Tag, made: Mapping[str, Shard], file: ShardFile) -> _Checked:
    key, said = shard_index.key(tag, file.name), ""
    data = production.get(key)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        said = "SHA-256 is not that of the index"
    elif shard := made.get(file.name):
        said = shards.find_fault(shard.samples(), data)
    elif made:
        said = "the release has no such shard"
    return _Checked(_fault(FaultState.CORRUPT, production, key, said) if said else None, file.size)


def _fault(state: FaultState, production: Store, key: str, said: str) -> Fault:
    return Fault(state, key, "", f"shard: {production.url}/{key}: {said}", key)
