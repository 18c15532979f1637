"""Compares the images of prepared versions with the lake, for the rule on them. Loads Polars."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from polars import DataFrame

from registry.checks.context import DatasetSubject, Facts
from registry.core import parts
from registry.core.artifact_files import Reader
from registry.core.parts import Parts
from registry.dataset import items, lake_comparison, version_files
from registry.dataset.differences import LakeDifferences
from registry.errors import RegistryError
from registry.storage.base import Store


def compare(facts: Facts, lake: Store, cache: Path, read_object: Reader, progress: Callable[[int, int], None]) -> Facts:
    """The facts, with how the images that are new since the latest release differ from the lake.

    `cache` is the file of `validation_cache`.
    """

    def judge(subject: DatasetSubject) -> LakeDifferences | None:
        try:
            images = _new_images(subject, read_object)
            found = lake_comparison.compare(subject.manifest, images, lake, cache, progress) if len(images) else None
        except RegistryError as error:
            return LakeDifferences(unread=error.message, fix=error.fix)
        return found

    subjects = (
        replace(subject, lake=judge(subject))
        if isinstance(subject, DatasetSubject) and _is_of_lake(subject)
        else subject
        for subject in facts.subjects
    )
    return replace(facts, subjects=tuple(subjects))


def _is_of_lake(subject: DatasetSubject) -> bool:
    """Whether its images come from the lake; the bytes of adopted ones are in the selection."""
    return subject.prepared is not None and not subject.manifest.is_adopted


def _new_images(subject: DatasetSubject, read: Reader) -> DataFrame:
    """uuid, md5 and relpath of the images that the latest release does not have with these bytes."""
    images = _images(parts.of(subject.content.objects), f"{subject.id}/prepared", read)
    content = subject.releases.latest.content if subject.releases.latest else None
    released = parts.of(content.objects) if content else {}
    if not released:
        return images
    return images.join(_images(released, f"{subject.id}/prepared", read), on=["uuid", "md5"], how="anti")


def _images(listed: Parts, name: str, read: Reader) -> DataFrame:
    files = version_files.read(listed, read, name)
    paths = files.join(items.parse(files).frame.select("md5").unique(), on="md5", how="semi")
    uuid = paths["relpath"].str.extract(r"([0-9a-f-]{36})\.[a-z]+$")
    return paths.with_columns(uuid=uuid).filter(uuid.is_not_null()).select("uuid", "md5", "relpath")
