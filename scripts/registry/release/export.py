"""Writes the images of a dataset's release as shards: made from its tag, proven byte for byte, never overwritten.

An export that was interrupted is completed by the next one: what is there is proven, what is missing is written, and
the index comes last.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.core import digests, item_paths, layout
from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.core.layout import SPLITS
from registry.core.progress import Progress
from registry.core.values import DatasetManifest, Kind
from registry.core.wording import abbreviate, plural
from registry.dataset import items, parquet_files, shard_index, shards, version_files
from registry.dataset.shard_index import ShardFile, ShardIndex
from registry.dataset.shards import Sample, Shard
from registry.errors import NotFound, Refused, StorageFailed
from registry.release.history import Release
from registry.storage.base import CHUNK, Store
from registry.storage.parallel import parallel_map
from registry.storage.reader import require_object
from registry.sync import inventory

_IS_IMAGE = ~col("relpath").str.ends_with("/metadata.parquet")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The shards of a release; `empty` is its index without their hashes, which are known when they are written."""

    empty: ShardIndex
    shards: tuple[Shard, ...]

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(shard.rows.height for shard in self.shards)

    @property
    def size(self) -> int:
        """The bytes of the images."""
        return sum(shard.size for shard in self.shards)


@dataclass(frozen=True, slots=True)
class Done:
    """The index that is there now, and how many of its shards this export wrote."""

    index: ShardIndex
    written: int


class _Read(NamedTuple):
    data: bytes
    moved: int


# --- plan -------------------------------------------------------------------------------------------------------------


def plan(
    release: Release, manifest: str | None, read: Reader, stores: Sequence[Store], erased: Erased, *, good: str
) -> Plan:
    """The shards of a release; `manifest` is the SHA-256 of its release manifest.

    `read` has objects by MD5, `stores` are asked for the sizes of the images, `good` is the release to take instead.
    Raises Refused for what is no readable release of a dataset or has lost images to an erasure; NotFound.
    """
    version = release.version
    said = version.content.manifest if version else None
    if release.tag.artifact.kind is not Kind.DATASET:
        raise Refused(f"{release.tag} is a model: it has no images", fix="name a release of a dataset")
    if version is None or not isinstance(said, DatasetManifest) or not version.products:
        raise Refused(f"{release.tag}: its files do not match the current schemas", fix="export a later version")
    if release.fault:
        raise Refused(f"{release.tag} is no release: {release.fault}", fix="export a later version")
    files = version_files.read(version.parts, read, layout.product_path(release.tag.artifact))
    found = items.parse(files)
    gone = erased.find_items(found.frame["uuid"])
    if gone or erased.find_objects(files["md5"]):
        lost = plural(len(gone), "image")
        fault = f"{release.tag} lost {lost} to an erasure: shards of what is left would look whole"
        raise Refused(fault, fix=f"registry export {good} --shards" if good else "publish a version without them")
    images = _with_sizes(files, stores)
    tables = read_tables(files, read)
    columns = next((table.schema for table in tables.values()), pl.Schema())
    features = shards.features(said.classes, _endings(images), columns)
    empty = ShardIndex(release.tag, release.commit, manifest, said.classes, features, {})
    return Plan(empty, lay_out(images, tables))


def read_tables(files: DataFrame, read: Reader) -> dict[str, DataFrame]:
    """The `metadata.parquet` of each split of a version's files (columns md5 and relpath). Raises NotFound, Refused."""
    found: dict[str, list[DataFrame]] = {}
    for folder, md5 in items.parse(files).tables.items():
        found.setdefault(folder.partition("/")[0], []).append(_table(read, md5, folder))
    return {split: pl.concat(tables) for split, tables in found.items()}


def lay_out(files: DataFrame, tables: Mapping[str, DataFrame]) -> tuple[Shard, ...]:
    """The shards of a list of files (columns md5, relpath and size) with the tables of its splits. Raises Refused."""
    without_prefix = col("relpath").str.replace(item_paths.ITEM_PATH, "${split}/${label}/${uuid}.${extension}")
    images = files.filter(_IS_IMAGE).with_columns(path=without_prefix).drop("relpath")  # a table names its own folder's
    found = list[Shard]()
    for split in SPLITS:
        own = images.filter(col("path").str.starts_with(f"{split}/"))
        if own.height and split not in tables:
            raise Refused(f"the release has no {split}/metadata.parquet", fix="export a later version")
        found += shards.plan(split, own, tables[split]) if split in tables else ()
    return tuple(found)


def _endings(files: DataFrame) -> list[str]:
    """The endings of the images, sorted."""
    return sorted(files.filter(_IS_IMAGE)["relpath"].str.extract(r"\.([a-z]+)$").unique())


def _with_sizes(files: DataFrame, stores: Sequence[Store]) -> DataFrame:
    """The files (columns md5 and relpath) with the sizes of their objects in bytes. Raises NotFound."""
    known = [DataFrame(schema={"md5": pl.String, "size": pl.Int64})]
    left = files["md5"].unique()
    for store in stores:
        known.append(inventory.find_stored_surely(store, left).select("md5", "size"))
        left = left.filter(~left.is_in(known[-1]["md5"].implode()))
    if left.len():
        lost = files.filter(col("md5").is_in(left.implode()))["relpath"].to_list()
        fault = f"{plural(len(lost), 'file')} of the release, such as {min(lost)}: in no storage that can be read"
        raise NotFound(fault, fix="registry fsck --all-tags, which names what is missing")
    return files.join(pl.concat(known), on="md5")


def _table(read: Reader, md5: str, folder: str) -> DataFrame:
    name = f"{folder}/{item_paths.METADATA}"
    try:
        return parquet_files.read_table(require_object(read, md5, name), name, fix="registry build")
    except pl.exceptions.PolarsError as error:
        raise Refused(f"{name} is not a valid Parquet file", fix="registry build") from error


# --- apply ------------------------------------------------------------------------------------------------------------


def apply(plan: Plan, read: Reader, place: Store, prefix: str, progress: Progress) -> Done:
    """Write the shards that `place` does not have below the folder `prefix`, prove each of them, and write the index.

    One shard at a time is in memory. Raises NotFound, StorageFailed; Refused where other files are in the folder.
    """
    names = [*(shard.name for shard in plan.shards), shard_index.NAME]
    _require_no_others(place, prefix, names)
    written, made = 0, {split: list[ShardFile]() for split in SPLITS}
    for shard in plan.shards:
        key, samples = f"{prefix}{shard.name}", shard.samples()
        is_there = place.has(key)
        if not is_there:
            _write(place, key, samples, read, progress)
            written += 1
        made[shard.split].append(_prove(place, key, shard, samples))
        if is_there:
            progress(len(samples), shard.size)
    index = replace(plan.empty, splits={split: tuple(files) for split, files in made.items()})
    key, data = f"{prefix}{shard_index.NAME}", shard_index.write(index)
    place.put(key, data)
    if place.get(key) != data:
        raise _other_content(place, key, "is not the index of these shards")
    return Done(index, written)


def _require_no_others(place: Store, prefix: str, names: Iterable[str]) -> None:
    there = [found.key.removeprefix(prefix) for part in place.scan(prefix.rstrip("/")) for found in part]
    if others := sorted({*there} - {*names}):
        fault = f"{place.url}/{prefix}".rstrip("/") + f" has other files: {abbreviate(others)}"
        raise Refused(fault, fix="name an empty or new folder: --out FOLDER")


def _write(place: Store, key: str, samples: Sequence[Sample], read: Reader, progress: Progress) -> None:
    images = parallel_map(partial(_read, read), samples, concurrency=max(place.concurrency, 8), progress=progress)
    place.write(key, lambda: _join(shards.write(samples, [image.data for image in images])))


def _read(read: Reader, sample: Sample) -> _Read:
    """An image. Raises NotFound, and StorageFailed where a store said another size of it."""
    data = require_object(read, sample.md5, f"{sample.uuid}.{sample.extension}")
    if len(data) != sample.size:
        fault = f"{sample.uuid}.{sample.extension} ({sample.md5}) has {plural(len(data), 'byte')}"
        raise StorageFailed(f"{fault}, the storage says {sample.size:,}: its copy there is damaged",
                            fix="registry fsck --deep")  # fmt: skip
    return _Read(data, len(data))


def _join(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The same bytes in chunks of at least CHUNK, but for the last."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _prove(place: Store, key: str, shard: Shard, samples: Sequence[Sample]) -> ShardFile:
    """The shard as it is there now. Raises StorageFailed where its bytes are not those of these samples."""
    data = place.get(key)
    if fault := shards.find_fault(samples, data):
        raise _other_content(place, key, fault)
    sha256 = hashlib.sha256(data).hexdigest()
    return ShardFile(shard.name, len(samples), len(data), digests.md5(data), sha256, shard.last)


def _other_content(place: Store, key: str, fault: str) -> StorageFailed:
    fix = f"delete that file ({place.removal(key)}), then run the same command again"
    return StorageFailed(f"{place.url}/{key}: {fault}", fix=fix)
