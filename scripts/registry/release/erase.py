"""Erasing images because the law demands it: what holds them, the tombstone, and what is deleted once that is merged.

In two steps, so that no state exists in which an erased image looks lost: first a pull request with the tombstone, and
versions without the image; then, with the tombstone on the default branch, the bytes. What is to be deleted follows
from the tombstone and the lists of files, which stay: a second run after any interruption deletes what is left.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO

import polars as pl
from polars import DataFrame, col

from registry.core import erasures, item_paths, tombstones
from registry.core.digests import object_key
from registry.core.tombstones import Reason, Tombstone
from registry.core.values import ArtifactId, Tag
from registry.core.wording import abbreviate, plural
from registry.errors import InvalidData, NotFound, Refused, RegistryError, StorageFailed
from registry.release.where import Found
from registry.storage.base import Store
from registry.sync import dir_listing

# What no command reaches, for the person who is responsible; printed with every plan.
NOT_REACHED = (
    "models that were trained on them, and features of them: decide whether these may be kept, and train again",
    "lists of files, and Git's history: they name an image by its UUID and its MD5, which lead nowhere afterwards",
    "pictures in reports (the branch `reports` of this repository) and in catalogs that were published",
    "clones, caches and copies of others: tell them; their commands know the tombstone once they pull",
    "what was fetched or exported into folders outside of the registry",
    "backups and replicas of the buckets; what soft delete keeps in Google Cloud or Azure is named, and ends by itself",
)
_PARQUET = b"PAR1"
_UUID = rf"(?:^|/)({item_paths.UUID})\.[a-z]+$"  # at the end of a path in a list of files


@dataclass(frozen=True, slots=True)
class Held:
    """What holds the images, by MD5: `images` are their bytes, `tables` have rows of them, in any commit.

    `known` is every object that a commit refers to. `unread` are lists of files that no store has.
    """

    images: frozenset[str]
    tables: frozenset[str]
    known: frozenset[str]
    unread: tuple[str, ...] = ()


def find(uuids: Collection[str], referenced: Iterable[str], stores: Sequence[Store]) -> Held:
    """What holds these images among the objects that commits refer to.

    Raises Refused where an image's bytes are another item's too, which would lose them.
    """
    names = sorted(set(referenced))
    frames, unread = list[DataFrame](), list[str]()
    for md5 in (name for name in names if name.endswith(".dir")):
        data = _read(md5, stores)
        if data is None:
            unread.append(md5)
        else:
            frames.append(dir_listing.read_foreign(data, md5).select("md5", "relpath"))
    rows = pl.concat([DataFrame(schema={"md5": pl.String, "relpath": pl.String}), *frames]).unique()
    named = rows.with_columns(uuid=col("relpath").str.extract(_UUID))
    images = frozenset(named.filter(col("uuid").is_in(list(uuids)))["md5"])
    _require_alone(named.filter(col("md5").is_in(list(images))), uuids)
    files = {name for name in names if not name.endswith(".dir")}
    candidates = {*rows.filter(col("relpath").str.ends_with(".parquet"))["md5"], *files} - images
    tables = frozenset(md5 for md5 in sorted(candidates) if _has_rows(md5, stores, uuids))
    return Held(images, tables, frozenset({*files, *rows["md5"]}), tuple(unread))


def _require_alone(rows: DataFrame, uuids: Collection[str]) -> None:
    """Raise Refused where the bytes of an image are those of a file that is not to be erased."""
    others = rows.filter(~col("uuid").is_in(list(uuids)).fill_null(value=False))
    if others.height:
        shared = sorted({uuid or path for uuid, path in others.select("uuid", "relpath").iter_rows()})
        fault = f"the same bytes are also {abbreviate(shared)}, which would be lost"
        raise Refused(fault, fix="name these UUIDs too, if they are to be erased")


def _read(md5: str, stores: Sequence[Store]) -> bytes | None:
    for store in stores:
        try:
            data = store.get(object_key(md5))
        except NotFound:
            continue
        if dir_listing.md5_of(data) == md5:
            return data
    return None


def _has_rows(md5: str, stores: Sequence[Store], uuids: Collection[str]) -> bool:
    """Whether an object is a Parquet file that names one of the images in a column of texts."""
    for store in stores:
        try:
            chunks = store.read(object_key(md5))
            first = next(chunks, b"")
            if not first.startswith(_PARQUET):
                return False
            frame = pl.read_parquet(BytesIO(b"".join((first, *chunks))))
        except NotFound:
            continue
        except pl.exceptions.PolarsError:
            return False
        texts = frame.select(pl.selectors.string())
        return any(texts[name].str.contains_any(sorted(uuids)).any() for name in texts.columns)
    return False


# --- first: the tombstone ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """An erasure that is to be proposed: the tombstone, and what changes with it.

    `datasets` have the images in their selection or their current version; `withdrawn` are the releases that lose
    something, `found` says who saw the images.
    """

    uuids: tuple[str, ...]
    tombstone: Tombstone
    held: Held
    datasets: tuple[ArtifactId, ...]
    withdrawn: tuple[Tag, ...]
    found: Found

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The plan, without a UUID: it becomes the body of a pull request."""
        images, tables = plural(len(self.held.images), "image"), plural(len(self.held.tables), "table")
        yield f"case {self.tombstone.case}: {plural(len(self.uuids), 'UUID')}"
        yield f"erase {images}, and {tables} with rows of them"
        yield f"write {self.tombstone.path}"
        yield from (f"{dataset}: build the next version without them" for dataset in self.datasets)
        yield from (f"{tag}: withdraw; what is left of it stays" for tag in self.withdrawn)
        yield from (f"{use.release.tag}: {use.sight}; train again" for use in self.found.uses)
        if self.held.unread:
            yield f"{plural(len(self.held.unread), 'list')} of files in no store: not searched"
        yield from (f"not reached: {what}" for what in NOT_REACHED)

    @property
    def title(self) -> str:
        """The title of its commit and pull request."""
        return f"Erase {plural(len(self.uuids), 'image')} of case {self.tombstone.case}"


def make_tombstone(
    case: str, reason: Reason, approved_by: str, uuids: Iterable[str], held: Held, before: Tombstone | None
) -> Tombstone:
    """The tombstone of a case, with what an earlier run of the same case has in it."""
    items = frozenset(map(erasures.digest_of_item, uuids))
    objects = frozenset(map(erasures.digest_of_object, held.images | held.tables))
    if before is None:
        return Tombstone(case, reason, date.today().isoformat(), approved_by, items, objects)
    if before.items != items:
        raise Refused(f"case {case} is about other images", fix="name all of its UUIDs, or take another case")
    return Tombstone(case, before.reason, before.date, before.approved_by, items, objects | before.objects)


def why(case: str) -> str:
    """The reason in the manifest of a version that lost something."""
    return f"an image was erased (case {case})"


# --- then: the bytes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is deleted where: keys by the name of a place."""

    case: str
    places: Mapping[str, Store]
    keys: Mapping[str, tuple[str, ...]]
    present: Mapping[str, int]

    @property
    def count(self) -> int:
        """The objects that are there now."""
        return sum(self.present.values())

    def __str__(self) -> str:
        lines = [
            f"  {name} ({self.places[name].url}): {plural(count, 'object')}" for name, count in self.present.items()
        ]
        return "\n".join([f"case {self.case}: delete for good, with all versions", *lines])


def require_merged(case: str, uuids: Iterable[str], merged: Mapping[str, Tombstone]) -> Tombstone:
    """The tombstone of a case on the default branch. Raises Refused where it is not there, or about other images."""
    if case not in merged:
        fault = f"{tombstones.FOLDER}/{case}.yaml is not on the default branch: what is deleted now would look lost"
        raise Refused(fault, fix="merge its pull request, and git fetch")
    if merged[case].items != frozenset(map(erasures.digest_of_item, uuids)):
        raise Refused(f"case {case} is about other images", fix="name all of its UUIDs")
    return merged[case]


def plan_deletion(
    tombstone: Tombstone,
    held: Held,
    lake: Iterable[str],
    places: Mapping[str, Store],
    lakes: Collection[str],
    shards: Mapping[str, Sequence[str]],
) -> Deletion:
    """What of a tombstone there is to delete. `lake` are keys in the places named in `lakes`.

    `shards` are the keys of shards that hold the images, by the name of a place (`stored_shards.find_holding`).
    Raises Refused where more holds the images by now than the tombstone says.
    """
    new = [md5 for md5 in held.images | held.tables if erasures.digest_of_object(md5) not in tombstone.objects]
    if new:
        fault = f"{plural(len(new), 'more object holds', 'more objects hold')} them than {tombstone.path} says"
        raise Refused(fault, fix="run the command without --delete, which adds them, and merge that first")
    objects = tuple(
        object_key(md5) for md5 in sorted(held.known) if erasures.digest_of_object(md5) in tombstone.objects
    )
    keys = {name: tuple(lake) if name in lakes else (*objects, *shards.get(name, ())) for name in places}
    return Deletion(tombstone.case, places, keys, {name: len(_present(places[name], keys[name])) for name in places})


def _present(store: Store, keys: Sequence[str]) -> list[str]:
    try:
        return store.find_many(keys)["key"].to_list() if keys else []
    except NotFound:
        return []


def delete(deletion: Deletion) -> None:
    """Delete in every place; a place that fails does not stop the others. Raises InvalidData with those that failed."""
    failed = list[str]()
    for name, store in deletion.places.items():
        try:
            store.erase(deletion.keys[name])
            if left := _present(store, deletion.keys[name]):
                raise StorageFailed(f"{store.url}: {plural(len(left), 'object is', 'objects are')} still there")
        except RegistryError as error:
            failed.append(f"{name}: {error.message}")
    if failed:
        fix = "log in with the role that may erase, and run the same command again: it deletes what is left"
        raise InvalidData(f"case {deletion.case} is not finished", failed, fix=fix)
