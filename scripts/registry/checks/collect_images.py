"""Validates the images of prepared versions that were not validated before. Images are told apart by their MD5."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.checks.context import ArtifactSubject, DatasetSubject, Facts, Scope
from registry.core.artifact_files import Reader
from registry.core.values import ArtifactId, Content
from registry.dataset import image_validation
from registry.storage.reader import ABSENT, describe_object
from registry.sync import dir_listing

THREADS = 8  # decoding releases the interpreter's lock, and a bucket answers several requests at once
BATCH = 256  # images that are read and validated at a time

SCHEMA = {"artifact": pl.String, "path": pl.String, "md5": pl.String}


@dataclass(frozen=True, slots=True, eq=False)
class UnvalidatedImages:
    """Facts whose datasets' images were listed, and the images that were not validated yet (columns of SCHEMA)."""

    facts: Facts
    images: DataFrame


@dataclass(frozen=True, slots=True)
class ValidatedImages:
    """The facts with every image that failed validation, and the MD5s of those that passed."""

    facts: Facts
    valid_md5s: tuple[str, ...]


class _Result(NamedTuple):
    """An image, its size in bytes, and the reason why it failed validation (None: it passed)."""

    size: int
    fault: str | None


def find_unvalidated(facts: Facts, read_object: Reader, known: pl.Series) -> UnvalidatedImages:
    """The images of the facts' datasets whose MD5 is not in `known`; each MD5 once.

    With `--base`, the images of the latest release count as validated: the change that added them was checked. A
    dataset whose list of files no store has says so in `unread`.
    """
    subjects: list[ArtifactSubject] = []
    frames, released = [DataFrame(schema=SCHEMA)], []
    for subject in facts.subjects:
        if not isinstance(subject, DatasetSubject):
            subjects.append(subject)
            continue
        md5 = _prepared(subject.content)
        images = _read_images(subject.id, md5, read_object)
        frames += [] if images is None else [images]
        if facts.scope is Scope.BASE and subject.releases.latest:
            released.append(_read_images(subject.id, _prepared(subject.releases.latest.content), read_object))
        unread = f"{describe_object(md5)}: {ABSENT}" if md5 and images is None else subject.unread
        subjects.append(replace(subject, unread=unread))
    validated = pl.concat([known, *(frame["md5"] for frame in released if frame is not None)])
    images = pl.concat(frames).filter(~col("md5").is_in(validated.implode()))
    distinct = images.unique("md5", keep="first", maintain_order=True)
    return UnvalidatedImages(replace(facts, subjects=tuple(subjects)), distinct)


def _prepared(content: Content | None) -> str | None:
    return content.objects.get("prepared") if content else None


def _read_images(dataset: ArtifactId, md5: str | None, read_object: Reader) -> DataFrame | None:
    """The images (columns of SCHEMA) in a list of files; None where there is no list, or no store has it."""
    data = read_object(md5) if md5 else None
    if md5 is None or data is None:
        return None
    listed = dir_listing.read(data, md5).filter(~col("relpath").str.ends_with("/metadata.csv"))
    return listed.select(pl.lit(str(dataset)).alias("artifact"), path="relpath", md5="md5")


def validate(
    unvalidated: UnvalidatedImages, read_object: Reader, progress: Callable[[int, int], None]
) -> ValidatedImages:
    """Read and validate the images; `progress` is called with the number of images and bytes that were read."""
    faults: dict[str, list[str]] = {}
    valid: list[str] = []
    for (artifact, path, md5), result in _validate_all(unvalidated.images, read_object):
        progress(1, result.size)
        if result.fault:
            faults.setdefault(artifact, []).append(f"{path}: {result.fault}")
        else:
            valid.append(md5)
    subjects = tuple(
        replace(subject, invalid_images=tuple(faults.get(str(subject.id), ())))
        if isinstance(subject, DatasetSubject)
        else subject
        for subject in unvalidated.facts.subjects
    )
    return ValidatedImages(replace(unvalidated.facts, subjects=subjects), tuple(valid))


def _validate_all(rows: DataFrame, read_object: Reader) -> Iterator[tuple[tuple[str, str, str], _Result]]:
    """Each row of SCHEMA with its result."""

    def validate_one(path: str, md5: str) -> _Result:
        data = read_object(md5)
        return _Result(0, ABSENT) if data is None else _Result(len(data), image_validation.find_fault(path, data))

    with ThreadPoolExecutor(THREADS) as pool:
        for batch in rows.iter_slices(BATCH):
            results = pool.map(validate_one, batch["path"], batch["md5"])
            yield from zip(batch.rows(), results, strict=True)
