"""Verifies release manifests: production has what each tag names, and it says what the tag's commit and objects say.

A manifest that is lost is copied from another store, or made again: its tag has its SHA-256, which decides whether what
was made is what was published.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import polars as pl
from polars import DataFrame, col

from registry.core import canonical_json, documents
from registry.core.digests import object_key
from registry.core.values import Tag
from registry.core.wording import plural
from registry.errors import InvalidData, InvalidDocument, NotFound, RegistryError
from registry.integrations import git_trees
from registry.release import manifest_facts, manifest_files, release_manifests
from registry.release.fsck_versions import Fault, FaultState, TaggedVersion
from registry.release.manifest_files import Written
from registry.release.release_manifests import ReleaseManifest
from registry.scaffold import tooling
from registry.storage.base import Store
from registry.storage.parallel import parallel_map
from registry.storage.sha256 import hash_objects

_FROM_GIT = ("title", "license", "owners", "selection", "counts", "metrics")


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What production has: `found` are rows of `inventory.expand`, `held` the intact objects (md5, and size in bytes).

    The size is null where the object was erased. `hashed` has the SHA-256 of objects that were read, by md5. `root` is
    the repository, `sources` are stores that what is lost is restored from.
    """

    root: Path
    production: Store
    sources: Sequence[Store]
    found: DataFrame
    held: DataFrame
    hashed: DataFrame


@dataclass(frozen=True, slots=True)
class _Judged:
    tag: Tag
    faults: tuple[Fault, ...]
    moved: int = 0


def inspect(versions: Sequence[TaggedVersion], objects: Objects) -> Mapping[Tag, tuple[Fault, ...]]:
    """The faults of the manifests that these tags name. Raises StorageFailed."""
    named = [version for version in versions if version.manifest and not version.fault]
    judged = parallel_map(partial(_judge, objects), named, concurrency=min(objects.production.concurrency, 8))
    return {one.tag: one.faults for one in judged}


def _judge(objects: Objects, version: TaggedVersion) -> _Judged:
    try:
        faults = tuple(_find_faults(objects, version))
    except _Lost as error:
        message = f"release manifest: {objects.production.url}/{error.place} is missing"
        faults = (Fault(FaultState.MISSING, error.place, "", message, error.place),)
    except InvalidData as error:
        place = error.message.partition(":")[0]
        message = f"release manifest: {objects.production.url}/{error.message}"
        faults = (Fault(FaultState.CORRUPT, place, "", message, place),)
    except InvalidDocument as error:
        faults = (Fault(FaultState.INVALID, error.path, "", f"release manifest: {error.message}"),)
    return _Judged(version.tag, faults)


def _find_faults(objects: Objects, version: TaggedVersion) -> Iterator[Fault]:
    get = partial(_get, objects.production)
    manifest = release_manifests.read(version.tag, version.manifest or "", get)
    said = release_manifests.contradiction(manifest, version.tag, version.commit, version.content.outputs)
    said = said or _find_other_fact(objects.root, version, manifest)
    files = None if said else manifest_files.read_files(manifest, get)
    if files is not None:
        yield from _find_other_content(objects, files)
        said = _find_other_file(version, objects, files)
    if said:
        place = release_manifests.key(version.tag, manifest.sha256)
        yield Fault(FaultState.INVALID, place, "", f"release manifest: {said}")


class _Lost(NotFound):
    def __init__(self, place: str) -> None:
        super().__init__(f"{place} is missing")
        self.place = place


def _get(production: Store, place: str) -> bytes:
    """An object that is named by its SHA-256; read twice before it is taken for corrupt."""
    try:
        data = production.get(place)
        return data if release_manifests.hash_of(data) == _sha256_in(place) else production.get(place)
    except NotFound as error:
        raise _Lost(place) from error


def _sha256_in(place: str) -> str:
    return place.rpartition("/")[2].partition(".")[0]


def _find_other_fact(root: Path, version: TaggedVersion, manifest: ReleaseManifest) -> str:
    """A fact that the files of the tag's commit say otherwise; what today's schemas cannot read says nothing."""
    said = json.loads(manifest.data)
    try:
        with git_trees.Revision(root, version.commit) as tree:
            facts = json.loads(canonical_json.write(manifest_facts.read_facts(tree, version.tag)))
    except RegistryError:
        return ""
    other = [name for name in _FROM_GIT if name in said and name in facts and said[name] != facts[name]]
    return f"its {other[0]} is not that of the tag's commit" if other else ""


def _find_other_file(version: TaggedVersion, objects: Objects, files: DataFrame) -> str:
    """A file that it lists otherwise than the lists of files and the objects in production."""
    readable = objects.found.filter(~col("is_dir") | col("size").is_not_null())["root"]
    outputs = [out for out in version.content.outputs if out.md5 in set(readable)]
    inside = [(col("path") == out.path) | col("path").str.starts_with(f"{out.path}/") for out in outputs]
    held = objects.held.select("md5", "size").unique("md5")
    expected = manifest_facts.list_files(outputs, objects.found).join(held, on="md5", how="left")
    listed = files.filter(pl.any_horizontal(pl.lit(value=False), *inside)).select("path", md5_said="md5", said="size")
    both = expected.join(listed, on="path", how="full", coalesce=True)
    wrong = both.filter(~col("md5").eq_missing(col("md5_said")) | (col("size") != col("said"))).sort("path")
    if not wrong.height:
        return ""
    path, md5, size, md5_said, said = wrong.select("path", "md5", "size", "md5_said", "said").row(0)
    more = f" (and {plural(wrong.height - 1, 'other file')})" if wrong.height > 1 else ""
    if md5 is None or md5_said is None:
        return f"{path} is {'not in the release' if md5 is None else 'not listed'}{more}"
    if md5 != md5_said:
        return f"{path} is listed with the MD5 {md5_said}, expected {md5}{more}"
    return f"{path} is listed with {plural(said, 'byte')}, expected {size:,}{more}"


def _find_other_content(objects: Objects, files: DataFrame) -> Iterator[Fault]:
    """Objects that were read and match their MD5, and not the SHA-256 that was published."""
    both = files.join(objects.hashed.select("md5", is_now="sha256"), on="md5")
    for path, md5, expected, is_now in (
        both.filter(col("sha256") != col("is_now")).select("path", "md5", "sha256", "is_now").iter_rows()
    ):
        place = f"{path}: {objects.production.url}/{object_key(md5)}"
        message = f"{place}: SHA-256 is {is_now}, expected {expected} by the release manifest"
        yield Fault(FaultState.CORRUPT, path, md5, message)


# --- repair -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """An intact copy of a manifest's object, and the URL of the store that has it."""

    url: str
    data: bytes


def find_copy(place: str, sources: Iterable[Store]) -> Copy | None:
    """An intact copy of a manifest's object. Raises StorageFailed."""
    for source in sources:
        try:
            data = source.get(place)
        except NotFound:
            continue
        if release_manifests.hash_of(data) == _sha256_in(place):
            return Copy(source.url, data)
    return None


def repair(
    versions: Iterable[TaggedVersion], found: Mapping[Tag, tuple[Fault, ...]], objects: Objects
) -> Mapping[Tag, tuple[Fault, ...]]:
    """Restore what is missing, from a source or made again; the faults that are left. Raises StorageFailed."""
    lost = [version for version in versions if _find_lost(found.get(version.tag, ()))]
    return {**found, **{one.tag: _restore(one, found[one.tag], objects) for one in lost}}


def find_copies(
    versions: Iterable[TaggedVersion], found: Mapping[Tag, tuple[Fault, ...]], objects: Objects
) -> Mapping[str, str]:
    """Where a repair gets each corrupt object from, once it is deleted: its key → the URL of a source, or words."""
    copies: dict[str, str] = {}
    for version in versions if objects.sources else ():
        for place in [fault.place for fault in found.get(version.tag, ()) if fault.state is FaultState.CORRUPT]:
            if copied := find_copy(place, objects.sources) if place else None:
                copies[place] = copied.url
            elif place and (made := make_again(version, objects)) and place in made.objects:
                copies[place] = "can be made again"
    return copies


def count_lost(found: Mapping[Tag, tuple[Fault, ...]]) -> int:
    """The number of versions whose manifest production lacks, or a part of it."""
    return sum(_find_lost(faults) is not None for faults in found.values())


def _find_lost(faults: Iterable[Fault]) -> Fault | None:
    return next((fault for fault in faults if fault.place and fault.state is FaultState.MISSING), None)


def _restore(version: TaggedVersion, faults: tuple[Fault, ...], objects: Objects) -> tuple[Fault, ...]:
    # The manifest first, as it names its list.
    while (lost := _find_lost(faults)) and (copied := find_copy(lost.place, objects.sources)):
        if not objects.production.put(lost.place, copied.data):
            break
        faults = inspect([version], objects)[version.tag]
    if _find_lost(faults) and (made := make_again(version, objects)):
        for place, data in made.objects.items():
            objects.production.put(place, data)
        faults = inspect([version], objects)[version.tag]
    return faults


def make_again(version: TaggedVersion, objects: Objects) -> Written | None:
    """The manifest that the tag names, from its commit and what production has; None where that gives another one.

    SHA-256 that lists of files of the artifact's releases have is not computed again. Raises StorageFailed.
    """
    production = objects.production
    keys = production.list(f"releases/{version.tag.artifact}")["key"].to_list()
    known = _read_known(production, [key for key in keys if key.endswith(".files.jsonl")])
    files = manifest_facts.list_files(version.content.outputs, objects.found)
    files = files.join(objects.held.select("md5", "size").unique("md5"), on="md5", how="left")
    read = hash_objects(production, files.join(known, on="md5", how="anti")["md5"]).select("md5", read="sha256")
    both = files.join(known, on="md5", how="left").join(read, on="md5", how="left")
    full = both.select("md5", "path", pl.coalesce("sha256", "read"), pl.coalesce("size", "known_size"))
    try:
        with git_trees.Revision(objects.root, version.commit) as tree:
            facts = manifest_facts.read_facts(tree, version.tag)
    except InvalidDocument:
        return None
    versions = _read_tooling(production, [key for key in keys if key.endswith(".json")])
    md5_only = full.with_columns(sha256=pl.lit(None, pl.String))
    for number, listed in product(dict.fromkeys([tooling.read().version, *versions]), (full, md5_only)):
        said = {**facts, "tooling": {"version": number}}
        made = manifest_files.write(version.tag, version.commit, version.content, said, listed)
        if release_manifests.hash_of(made.manifest) == version.manifest:
            return made
    return None


def _read_known(production: Store, keys: Iterable[str]) -> DataFrame:
    """What intact lists of files say of each object: columns md5, sha256 and known_size (bytes)."""
    frames = [DataFrame(schema=manifest_files.FILES)]
    for key in keys:
        data = production.get(key)
        if data and release_manifests.hash_of(data) == _sha256_in(key):
            frames.append(pl.read_ndjson(data, schema=manifest_files.FILES))
    found = pl.concat(frames).select("md5", "sha256", known_size="size")
    return found.filter(col("sha256").is_not_null()).unique("md5")


def _read_tooling(production: Store, keys: Iterable[str]) -> Iterator[str]:
    """The versions of the tooling that published releases."""
    for key in keys:
        data = production.get(key)
        if release_manifests.hash_of(data) == _sha256_in(key):
            with suppress(InvalidDocument, KeyError, TypeError):  # whoever can write there can put anything there
                yield str(documents.read_json(data, key)["tooling"]["version"])
