"""Finds images that are test images of one dataset and train or validation images of another. Loads Polars."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import polars as pl
from polars import DataFrame, col

from registry.checks.context import DatasetSubject, Facts, SharedImages
from registry.core import artifact_files, layout
from registry.core.artifact_files import Reader
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind
from registry.dataset import items
from registry.errors import NotFound, Refused
from registry.storage.reader import require_object
from registry.sync import dir_listing


def find(facts: Facts, tree: Tree, read_object: Reader, progress: Callable[[int, int], None]) -> Facts:
    """The facts, with what each checked dataset shares with every other dataset of the tree.

    Two images are the same if their UUIDs or their bytes are. Each list of files is read once.
    """
    listed: dict[ArtifactId, DataFrame | str] = {}
    for dataset, md5 in _find_prepared(facts, tree).items():
        listed[dataset] = _read(dataset, md5, read_object)
        progress(1, 0)
    subjects = (
        replace(subject, shared_images=tuple(_compare_all(subject.id, listed)))
        if isinstance(subject, DatasetSubject)
        else subject
        for subject in facts.subjects
    )
    return replace(facts, subjects=tuple(subjects))


def _find_prepared(facts: Facts, tree: Tree) -> Mapping[ArtifactId, str]:
    """The MD5 of the list of files of every dataset that is built and whose pointer is valid."""
    files, found = artifact_files.list_files(tree), dict[ArtifactId, str]()
    for dataset in sorted(artifact for artifact in facts.artifacts if artifact.kind is Kind.DATASET):
        path = layout.prepared_pointer(dataset)
        pointer = artifact_files.read_pointer(files, path).value if path in files.entries else None
        if pointer and pointer.output.is_dir:
            found[dataset] = pointer.output.md5
    return found


def _read(dataset: ArtifactId, md5: str, read_object: Reader) -> DataFrame | str:
    """The items of a dataset (uuid, split, md5), or why they could not be read."""
    try:
        data = require_object(read_object, md5, f"{dataset}/prepared")
        return items.parse(dir_listing.read(data, md5)).frame.select("uuid", "split", "md5")
    except (NotFound, Refused) as error:
        return error.message


def _compare_all(dataset: ArtifactId, listed: Mapping[ArtifactId, DataFrame | str]) -> Iterator[SharedImages]:
    mine = listed.get(dataset)
    if not isinstance(mine, DataFrame):
        return  # another check says so
    for other, theirs in listed.items():
        if other == dataset:
            continue
        shared = SharedImages(other, unread=theirs) if isinstance(theirs, str) else _compare(other, mine, theirs)
        if shared.unread or shared.tested_here or shared.tested_there:
            yield shared


def _compare(other: ArtifactId, mine: DataFrame, theirs: DataFrame) -> SharedImages:
    is_test = col("split") == "test"
    tests_here, tests_there = mine.filter(is_test), theirs.filter(is_test)
    leaked, leaking = _same(tests_here, theirs.filter(~is_test)), _same(tests_there, mine.filter(~is_test))
    examples = pl.concat([leaked["uuid"], leaking["uuid"]]).unique().sort()
    return SharedImages(other, len(leaked), len(tests_here), len(leaking), len(tests_there), tuple(examples.head(3)))


def _same(images: DataFrame, others: DataFrame) -> DataFrame:
    """Those of the images that have the UUID or the bytes of one of the others."""
    same_uuid = images.join(others.select("uuid").unique(), on="uuid", how="semi")
    return pl.concat([same_uuid, images.join(others.select("md5").unique(), on="md5", how="semi")]).unique("uuid")
