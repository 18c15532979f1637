"""Looks at the images of prepared versions that nobody has looked at yet, by the md5 of their bytes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import polars as pl
from polars import DataFrame, col

from registry.checks.context import Facts, Scope, Subject
from registry.core.artifact_files import Reader
from registry.core.values import Content, Kind
from registry.dataset import image_validation
from registry.storage.reader import ABSENT, describe_object
from registry.sync import dir_listing

LANES = 8  # threads: decoding releases the interpreter's lock, and a bucket answers several at once
SLICE = 256  # images that are under way at a time

FORM = {"artifact": pl.String, "path": pl.String, "md5": pl.String}


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Facts whose datasets' images were listed, and those images (columns of FORM) that nobody has looked at."""

    facts: Facts
    images: DataFrame


def list_unseen(facts: Facts, read_object: Reader, known: pl.Series) -> Unseen:
    """The images of the facts' datasets whose md5 is not `known` to be sound; each md5 once.

    What a branch has from the latest release was looked at before that: so what is known travels with the registry. A
    dataset whose list of files no store has says so in `unread`.
    """
    subjects, frames, released = [], [DataFrame(schema=FORM)], []
    for subject in facts.subjects:
        md5 = _prepared(subject, subject.content)
        images = _images(subject, md5, read_object)
        frames += [] if images is None else [images]
        if facts.scope is Scope.BASE and subject.latest:
            released += [_images(subject, _prepared(subject, subject.latest.content), read_object)]
        missing = f"{describe_object(md5)}: {ABSENT}" if md5 and images is None else subject.unread
        subjects.append(replace(subject, unread=missing))
    seen = pl.concat([known, *(frame["md5"] for frame in released if frame is not None)])
    unseen = pl.concat(frames).filter(~col("md5").is_in(seen.implode()))
    return Unseen(replace(facts, subjects=tuple(subjects)), unseen.unique("md5", keep="first", maintain_order=True))


def _prepared(subject: Subject, content: Content | None) -> str | None:
    return content.objects.get("prepared") if content and subject.id.kind is Kind.DATASET else None


def _images(subject: Subject, md5: str | None, read_object: Reader) -> DataFrame | None:
    """The images (columns of FORM) that a list of files names; None where there is no list, or no store has it."""
    data = read_object(md5) if md5 else None
    if data is None:
        return None
    listed = dir_listing.read(data, md5).filter(~col("relpath").str.ends_with("/metadata.csv"))
    return listed.select(pl.lit(str(subject.id)).alias("artifact"), path="relpath", md5="md5")


def look(unseen: Unseen, read_object: Reader, progress: Callable[[int, int], None]) -> tuple[Facts, list[str]]:
    """The facts with every image that is not sound, and the md5s of those that are."""
    faults: dict[str, list[str]] = {}
    sound = []
    for artifact, path, md5, fault in _judged(unseen.images, read_object, progress):
        if fault:
            faults.setdefault(artifact, []).append(f"{path}: {fault}")
        else:
            sound.append(md5)
    subjects = (replace(one, unsound=tuple(faults.get(str(one.id), ()))) for one in unseen.facts.subjects)
    return replace(unseen.facts, subjects=tuple(subjects)), sound


def _judged(
    rows: DataFrame, read_object: Reader, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, str, str, str | None]]:
    def judge(path: str, md5: str) -> tuple[int, str | None]:
        data = read_object(md5)
        if data is None:
            return 0, ABSENT
        return len(data), image_validation.find_fault(path, data)

    with ThreadPoolExecutor(LANES) as pool:
        for part in rows.iter_slices(SLICE):
            done = pool.map(judge, part["path"], part["md5"])
            for (artifact, path, md5), (size, fault) in zip(part.rows(), done, strict=True):
                progress(1, size)
                yield artifact, path, md5, fault
