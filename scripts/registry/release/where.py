"""Where an image is: the dataset releases that have it, and the models that saw it, for a complaint or an erasure."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from registry.core.parts import PREPARED
from registry.core.values import Kind, Tag
from registry.errors import InvalidDocument
from registry.model import training_images
from registry.model.training_images import TrainingImages
from registry.release.history import Release
from registry.release.item_index import ItemIndex, Listed


class Sight(StrEnum):
    """How a model saw an image."""

    TRAINED = "trained on it"
    VALIDATED = "validated on it while training"
    MEASURED = "measured on it"
    LISTED = "lists it among its training images"
    BUILDS = "builds on a model that saw it"


_BY_SPLIT = {"train": Sight.TRAINED, "val": Sight.VALIDATED, "test": Sight.MEASURED}


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset release that has an image, as which item."""

    release: Release
    uuid: str
    md5: str
    split: str
    label: str


@dataclass(frozen=True, slots=True)
class Use:
    """A model release that saw an image."""

    release: Release
    sight: Sight


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is known of one image. `absent` are releases whose list of files no store has."""

    places: tuple[Place, ...]
    uses: tuple[Use, ...]
    absent: tuple[Tag, ...] = ()


def _is_dataset(release: Release) -> bool:
    return release.tag.artifact.kind is Kind.DATASET


def lists_of(releases: Iterable[Release]) -> Mapping[Tag, frozenset[Listed]]:
    """The lists of files with the images of each dataset release, or of what a model saw."""
    known = {release.tag: release for release in releases}
    found = {tag: _own_lists(release) for tag, release in known.items()}
    return {tag: found.get(known[tag].made_from.dataset or tag) or found[tag] for tag in known}


def _own_lists(release: Release) -> frozenset[Listed]:
    """Those that a version names itself: the lock of a model has the list of one folder, and none of several."""
    if release.version is None:
        return frozenset()
    if _is_dataset(release):
        return frozenset(Listed(md5, part) for part, md5 in release.version.parts.items())
    objects = release.version.content.objects
    return frozenset(Listed(md5) for path, md5 in objects.items() if path.endswith(f"/{PREPARED}"))


def find(
    releases: Sequence[Release],
    index: ItemIndex,
    absent: Collection[Listed],
    uuids: Collection[str],
    md5s: Collection[str],
    read: Callable[[Release, str], bytes | None],
    sha256_of: Callable[[str], str | None],
) -> Found:
    """The releases that have images with these UUIDs or MD5s, and the models that saw them.

    `absent` are the lists that `index` lacks; `read` has a file of a release's commit by its path,
    `sha256_of` the SHA-256 of an image by its MD5, which is asked for where a model lists images by that.
    """
    lists = lists_of(releases)
    rows = index.find(frozenset().union(*lists.values()) - set(absent), uuids, md5s)
    by_list: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows.sort("uuid").iter_rows(named=True):
        by_list[row["list"]].append(row)
    places = tuple(
        Place(release, row["uuid"], row["md5"], row["split"], row["label"])
        for release in releases
        if _is_dataset(release)
        for listed in sorted(lists[release.tag])
        for row in by_list[listed.name]
    )
    seen = {tag: [row for listed in own for row in by_list[listed.name]] for tag, own in lists.items()}
    return Found(
        places,
        tuple(_uses(releases, seen, {*uuids, *rows["uuid"]}, {*md5s, *rows["md5"]}, read, sha256_of)),
        tuple(release.tag for release in releases if lists[release.tag] & set(absent)),
    )


def _uses(
    releases: Sequence[Release],
    rows: Mapping[Tag, Sequence[Mapping[str, Any]]],
    uuids: Collection[str],
    md5s: Collection[str],
    read: Callable[[Release, str], bytes | None],
    sha256_of: Callable[[str], str | None],
) -> Iterator[Use]:
    """The models that saw them, each with the closest way in which it did; models before those that build on them."""
    saw: set[Tag] = set()
    waiting = [release for release in releases if not _is_dataset(release)]
    for release in waiting:
        if (sight := _sight(release, rows, uuids, md5s, read, sha256_of)) is not None:
            saw.add(release.tag)
            yield Use(release, sight)
    found = True
    while found:  # a model can build on one that builds on another
        found = False
        for release in waiting:
            if release.tag not in saw and saw & set(release.made_from.backbones.values()):
                saw.add(release.tag)
                found = True
                yield Use(release, Sight.BUILDS)


def _sight(
    release: Release,
    rows: Mapping[Tag, Sequence[Mapping[str, Any]]],
    uuids: Collection[str],
    md5s: Collection[str],
    read: Callable[[Release, str], bytes | None],
    sha256_of: Callable[[str], str | None],
) -> Sight | None:
    listed = _listed(release, read)
    if listed and (listed.uuids & set(uuids) or listed.md5s & set(md5s)):
        return Sight.LISTED
    if listed and listed.sha256s and not listed.sha256s.isdisjoint(map(sha256_of, md5s)):
        return Sight.LISTED
    splits = {str(row["split"]) for row in rows[release.tag]}
    manifest = release.version.content.manifest if release.version else None
    if splits and getattr(manifest, "origin", None):
        return Sight.MEASURED if "test" in splits else None
    return next((sight for split, sight in _BY_SPLIT.items() if split in splits), None)


def _listed(release: Release, read: Callable[[Release, str], bytes | None]) -> TrainingImages | None:
    """The training images that a model from elsewhere names, where that file can be read."""
    origin = getattr(release.version.content.manifest, "origin", None) if release.version else None
    if origin is None or origin.training_images is None:
        return None
    path = f"{release.tag.artifact}/{origin.training_images}"
    try:
        return training_images.parse(data, path) if (data := read(release, path)) is not None else None
    except InvalidDocument:
        return None
