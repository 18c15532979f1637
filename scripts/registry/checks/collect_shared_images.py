"""Finds images that are test images of one dataset and train or validation images of another. Loads Polars."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import polars as pl
from polars import DataFrame, col

from registry.checks.context import DatasetSubject, Facts, SharedImages
from registry.core import artifact_files, layout, parts
from registry.core.artifact_files import Reader
from registry.core.parts import Parts
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind
from registry.dataset import items
from registry.errors import NotFound, Refused

EXAMPLES = 3  # images of a pair of datasets that are named
_LISTED = {"uuid": pl.String, "split": pl.String, "md5": pl.String, "dataset": pl.UInt32}


def find(facts: Facts, tree: Tree, read_object: Reader, progress: Callable[[int, int], None]) -> Facts:
    """The facts, with what each checked dataset shares with every other dataset of the tree.

    Two images are the same if their UUIDs or their bytes are. Each list of files is read once.
    """
    listed: dict[ArtifactId, DataFrame | str] = {}
    for dataset, found in find_prepared(facts, tree).items():
        listed[dataset] = _read(dataset, found, read_object)
        progress(1, 0)
    shared = _compare({subject.id for subject in facts.datasets}, listed)
    subjects = (
        replace(subject, shared_images=shared.get(subject.id, ())) if isinstance(subject, DatasetSubject) else subject
        for subject in facts.subjects
    )
    return replace(facts, subjects=tuple(subjects))


def find_prepared(facts: Facts, tree: Tree) -> Mapping[ArtifactId, Parts]:
    """The lists of files of every dataset that is built and whose pointer is valid."""
    files, found = artifact_files.list_files(tree), dict[ArtifactId, Parts]()
    for dataset in sorted(artifact for artifact in facts.artifacts if artifact.kind is Kind.DATASET):
        path = layout.prepared_pointer(dataset)
        pointer = artifact_files.read_pointer(files, path).value if path in files.entries else None
        if pointer:
            found[dataset] = parts.of_outputs(pointer.outputs)
    return found


def _read(dataset: ArtifactId, listed: Parts, read_object: Reader) -> DataFrame | str:
    """The items of a dataset (uuid, split, md5), or why they could not be read."""
    try:
        found = items.read(listed, read_object, f"{dataset}/prepared")
        return found.frame.select("uuid", col("split").cast(pl.String), "md5")
    except (NotFound, Refused) as error:
        return error.message


# --- comparing --------------------------------------------------------------------------------------------------------


def _compare(
    checked: Collection[ArtifactId], listed: Mapping[ArtifactId, DataFrame | str]
) -> Mapping[ArtifactId, tuple[SharedImages, ...]]:
    """What each checked dataset shares with the others, where that matters, and with which it could not be compared.

    One join of numbers for each, not one of texts for each pair: 50 datasets of 10,000 images took 14 s.
    """
    known = {dataset: frame for dataset, frame in listed.items() if isinstance(frame, DataFrame)}
    unread = [SharedImages(other, unread=reason) for other, reason in listed.items() if isinstance(reason, str)]
    numbers, images = list(known), _numbered(list(known.values()))
    tests, others = images.filter("is_test"), images.filter(~col("is_test"))
    sizes = dict(tests.group_by("dataset").len().iter_rows())
    found = {}
    for number, dataset in enumerate(numbers):
        if dataset not in checked:
            continue  # one without a list of files has a check of its own
        mine = col("dataset") == number
        here = _leaks(tests.filter(mine), others, by="other")
        there = _leaks(tests, others.filter(mine), by="dataset")
        shared = [
            SharedImages(
                numbers[other],
                *(len(here.get(other, ())), sizes.get(number, 0)),
                *(len(there.get(other, ())), sizes.get(other, 0)),
                tuple(sorted({*here.get(other, ()), *there.get(other, ())})[:EXAMPLES]),
            )
            for other in sorted({*here, *there})
        ]
        found[dataset] = (*shared, *unread)
    return found


def _numbered(frames: Sequence[DataFrame]) -> DataFrame:
    """The images of all datasets: the dataset's place, the UUID, a number for each UUID and MD5, whether in test."""
    every = [frame.with_columns(dataset=pl.lit(number, pl.UInt32)) for number, frame in enumerate(frames)]
    images = pl.concat([DataFrame(schema=_LISTED), *every], how="vertical_relaxed")
    ids = (col(name).cast(pl.Categorical).to_physical().alias(f"{name}_id") for name in ("uuid", "md5"))
    return images.select("dataset", "uuid", *ids, is_test=col("split") == "test")


def _leaks(tests: DataFrame, others: DataFrame, by: str) -> Mapping[int, Sequence[str]]:
    """The UUIDs of test images that another dataset has among its other images, by one of the two datasets."""
    found = [
        tests.join(others.select(key, other="dataset"), on=key).filter(col("dataset") != col("other"))
        for key in ("uuid_id", "md5_id")
    ]
    both = pl.concat(frame.select("dataset", "other", "uuid") for frame in found).unique()
    return dict(both.group_by(by).agg("uuid").iter_rows())
