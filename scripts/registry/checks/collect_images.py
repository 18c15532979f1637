"""Validates the images of prepared versions that were not validated before. Images are told apart by their MD5."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.checks.context import ArtifactSubject, DatasetSubject, Facts, Scope
from registry.core import item_paths, parts
from registry.core.artifact_files import Reader
from registry.core.parts import Parts
from registry.core.progress import Progress
from registry.core.values import DatasetManifest
from registry.dataset import image_validation, validation_cache, version_files
from registry.errors import NotFound
from registry.storage.reader import absence, map_reading

THREADS = 8  # decoding releases the interpreter's lock, and a bucket answers several requests at once

SCHEMA = {"artifact": pl.String, "path": pl.String, "md5": pl.String, "lenient": pl.Boolean}


@dataclass(frozen=True, slots=True, eq=False)
class UnvalidatedImages:
    """Facts whose datasets' images were listed, and the images that were not validated yet (columns of SCHEMA)."""

    facts: Facts
    images: DataFrame


@dataclass(frozen=True, slots=True)
class ValidatedImages:
    """The facts with every image that failed validation, and the images that passed (columns of SCHEMA)."""

    facts: Facts
    valid: DataFrame


class _Result(NamedTuple):
    """An image: the bytes that were read of it, and the reason why it failed validation (None: it passed)."""

    moved: int
    fault: str | None


def find_unvalidated(facts: Facts, read_object: Reader, known: DataFrame) -> UnvalidatedImages:
    """The images of the facts' datasets that are not `known` (columns of `validation_cache.VALIDATED`); each MD5 once.

    With `--base`, the images of the latest release count as validated: the change that added them was checked. A
    dataset whose list of files no store has says so in `unread`.
    """
    subjects: list[ArtifactSubject] = []
    frames = [DataFrame(schema=SCHEMA)]
    for subject in facts.subjects:
        if not isinstance(subject, DatasetSubject):
            subjects.append(subject)
            continue
        listed, lenient = parts.of(subject.content.objects), subject.manifest.lenient
        images = _read_images(subject.manifest, listed, read_object)
        unread = subject.unread
        if isinstance(images, str):
            unread = images
        else:
            new = validation_cache.find_new(images, known, lenient=lenient)
            frames.append(new.join(_read_released(facts, subject, read_object), on="md5", how="anti"))
        subjects.append(replace(subject, unread=unread))
    # With `lenient`: what passes for a dataset that is lenient may fail for one that is not.
    distinct = pl.concat(frames).unique(["md5", "lenient"], keep="first", maintain_order=True)
    return UnvalidatedImages(replace(facts, subjects=tuple(subjects)), distinct)


def _read_released(facts: Facts, subject: DatasetSubject, read_object: Reader) -> DataFrame:
    """The images of the latest release, where they count as validated for this manifest: column md5."""
    latest, nothing = subject.releases.latest, DataFrame(schema={"md5": pl.String})
    content = latest.content if latest else None
    if facts.scope is not Scope.BASE or content is None or not isinstance(content.manifest, DatasetManifest):
        return nothing
    if content.manifest.lenient and not subject.manifest.lenient:
        return nothing
    images = _read_images(content.manifest, parts.of(content.objects), read_object)
    return nothing if isinstance(images, str) else images.select("md5")


def _read_images(manifest: DatasetManifest, listed: Parts, read_object: Reader) -> DataFrame | str:
    """The images (columns of SCHEMA) in lists of files, or why one could not be read."""
    try:
        files = version_files.read(listed, read_object)
    except NotFound as error:
        return error.message
    return files.filter(~col("relpath").str.ends_with(f"/{item_paths.METADATA}")).select(
        pl.lit(str(manifest.id)).alias("artifact"), path="relpath", md5="md5", lenient=pl.lit(manifest.lenient)
    )


def validate(unvalidated: UnvalidatedImages, read_object: Reader, progress: Progress) -> ValidatedImages:
    """Read and validate the images; `progress` is called with the number of images and bytes that were read."""
    images = unvalidated.images.select("path", "md5", "lenient").rows()
    results = map_reading(_validate, read_object, images, concurrency=THREADS, progress=progress)
    faults: dict[str, list[str]] = {}
    for (artifact, path), result in zip(unvalidated.images.select("artifact", "path").rows(), results, strict=True):
        if result.fault:
            faults.setdefault(artifact, []).append(f"{path}: {result.fault}")
    valid = [not result.fault for result in results]
    subjects = tuple(
        replace(subject, invalid_images=tuple(faults.get(str(subject.id), ())))
        if isinstance(subject, DatasetSubject)
        else subject
        for subject in unvalidated.facts.subjects
    )
    return ValidatedImages(replace(unvalidated.facts, subjects=subjects), unvalidated.images.filter(valid))


def _validate(read_object: Reader, image: tuple[str, str, bool]) -> _Result:
    path, md5, lenient = image
    data = read_object(md5)
    if data is None:
        return _Result(0, absence(read_object, md5))
    return _Result(len(data), image_validation.find_fault(path, data, lenient=lenient))
