"""Opens model files and recorded predictions: facts for the rules on models. Loads Polars."""

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from registry.checks.context import ArtifactSubject, Facts, ListedImages, ModelObjects, ModelSubject
from registry.core import artifact_files
from registry.core.artifact_files import Reader
from registry.core.layout import product_path
from registry.core.tree import Tree
from registry.core.values import ArtifactId, ModelManifest
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused, RegistryError
from registry.model import comparison, judge_run, onnx_process, tasks, training_images, version
from registry.model.changes import Role
from registry.storage.reader import ABSENT


def open_objects(
    facts: Facts,
    models: Collection[ArtifactId],
    tree: Tree,
    read_object: Reader,
    cache: Path,
    progress: Callable[[int, int], None],
) -> Facts:
    """The facts, with what the objects of `models` say. Model files are opened where DVC's `cache` has them."""
    chosen = [one for one in facts.subjects if isinstance(one, ModelSubject) and one.id in models]
    recorded = [_with_predictions(subject, tree, read_object) for subject in chosen]
    opened: dict[ArtifactId, ModelObjects] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # a process opens each file
        for subject, objects in zip(chosen, pool.map(partial(_with_file, cache), recorded, chosen), strict=True):
            opened[subject.id] = objects
            progress(1, 0)
    return replace(facts, subjects=tuple(_with_objects(subject, opened) for subject in facts.subjects))


def _with_objects(subject: ArtifactSubject, opened: Mapping[ArtifactId, ModelObjects]) -> ArtifactSubject:
    if isinstance(subject, ModelSubject) and subject.id in opened:
        return replace(subject, objects=opened[subject.id])
    return subject


def _with_predictions(subject: ModelSubject, tree: Tree, read: Reader) -> ModelObjects:
    try:
        found = version.read_version(Role.NEW, tree, subject.id, read)
    except RegistryError as error:
        return ModelObjects(unread=version.reason(error))
    objects = ModelObjects(metric_faults=tuple(comparison.recorded_faults(found)), unread=found.unknown)
    return _with_lists(objects, found, read)


def _with_lists(objects: ModelObjects, found: version.ModelVersion, read: Reader) -> ModelObjects:
    lists = tuple(one for manifest in found.made_of if (one := _compare(found, manifest, read)))
    return replace(objects, tests=found.test_set.frame.height if found.test_set else 0, lists=lists)


def _compare(found: version.ModelVersion, manifest: ModelManifest, read: Reader) -> ListedImages | None:
    """What the list of one model says of the test images; None where it has none."""
    try:
        listed = training_images.read(found.files, manifest)
    except InvalidDocument as error:
        return ListedImages(manifest.id, faults=artifact_files.unreadable(error))
    if listed is None or found.test_set is None:
        return None
    leaked, unread = training_images.seen(listed, found.test_set.frame, read)
    return ListedImages(manifest.id, tuple(leaked["uuid"]), unread)


def _with_file(cache: Path, found: ModelObjects, subject: ModelSubject) -> ModelObjects:
    path = product_path(subject.id)
    files = subject.files.model_files
    if not files:
        return found  # said among the faults of what is recorded
    try:
        with judge_run.linked(cache, files) as file:
            onnx_process.inspect(file, tasks.outputs(subject.manifest.task), name=path)
    except NotFound:
        return replace(found, unopened=ABSENT)
    except InvalidData as error:
        return replace(found, file_faults=error.problems)
    except Refused as error:
        return replace(found, unopened=error.message)
    return found
