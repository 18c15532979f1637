"""What erasures took of a release: images of a dataset, counted in its list of files, which stays; files of a model."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.core.values import Kind
from registry.dataset import items
from registry.errors import RegistryError
from registry.release.history import Release
from registry.release.overview import Overview

Cases = Mapping[str, Erased]
Warn = Callable[[str], None]


def find_candidates(artifacts: Iterable[Overview]) -> Iterator[Release]:
    """The releases of datasets that an erasure may have taken images from.

    These are withdrawn ones, as an erasure withdraws what it takes from, and those of removed datasets, which have no
    manifest to say so.
    """
    for one in artifacts:
        if one.artifact.kind is Kind.DATASET:
            yield from (release for release in one.releases if release.withdrawn or one.manifest is None)


def count(release: Release, cases: Cases, read: Reader, warn: Warn) -> dict[str, int]:
    """The number of erased images of a release by case; none of a model, and where its list cannot be read."""
    if release.tag.artifact.kind is not Kind.DATASET or not release.version or not cases:
        return {}
    try:
        uuids = items.read(release.version.parts, read).frame["uuid"]
    except RegistryError as error:
        warn(f"{release.tag}: how many of its images were erased is not known: {error.message}")
        return {}
    found = {name: len(erased.find_items(uuids)) for name, erased in cases.items()}
    return {name: images for name, images in found.items() if images}


def find_files(release: Release, cases: Cases) -> dict[str, tuple[str, ...]]:
    """The erased files of a model's release by case, such as predictions with a row of an erased image."""
    if release.tag.artifact.kind is not Kind.MODEL or release.version is None:
        return {}
    objects = release.version.content.objects
    found = {
        name: tuple(path for path in objects if erased.has_object(objects[path])) for name, erased in cases.items()
    }
    return {name: paths for name, paths in found.items() if paths}
