"""Compares the images of prepared versions with the lake, for the rule on them. Loads Polars."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from polars import DataFrame, col

from registry.checks.context import DatasetSubject, Facts
from registry.core import item_paths, parts
from registry.core.artifact_files import Reader
from registry.core.parts import Parts
from registry.dataset import lake_comparison, version_files
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
    images = files.filter(col("relpath").str.contains(item_paths.ITEM_PATH))
    return images.select(col("relpath").str.extract(rf"({item_paths.UUID})\.[a-z]+$").alias("uuid"), "md5", "relpath")
