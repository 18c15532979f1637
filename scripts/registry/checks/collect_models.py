"""Opens model files and recorded predictions: facts for the rules on models. Loads Polars."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from registry.checks.context import ArtifactSubject, Facts, ModelObjects, ModelSubject
from registry.core import pointers
from registry.core.artifact_files import Reader
from registry.core.layout import product_path
from registry.core.tree import Tree
from registry.core.values import ArtifactId
from registry.errors import InvalidData, NotFound, Refused, RegistryError
from registry.model import comparison, onnx_process, tasks, version
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
    subjects: list[ArtifactSubject] = []
    for subject in facts.subjects:
        if isinstance(subject, ModelSubject) and subject.id in models:
            subjects.append(replace(subject, objects=_open(subject, tree, read_object, cache)))
            progress(1, 0)
        else:
            subjects.append(subject)
    return replace(facts, subjects=tuple(subjects))


def _open(subject: ModelSubject, tree: Tree, read: Reader, cache: Path) -> ModelObjects:
    return _with_file(_with_predictions(subject, tree, read), subject, cache)


def _with_predictions(subject: ModelSubject, tree: Tree, read: Reader) -> ModelObjects:
    try:
        found = version.read_version(Role.NEW, tree, subject.id, read)
    except RegistryError as error:
        return ModelObjects(unread=version.reason(error))
    return ModelObjects(metric_faults=tuple(comparison.recorded_faults(found)), unread=found.unknown)


def _with_file(found: ModelObjects, subject: ModelSubject, cache: Path) -> ModelObjects:
    path = product_path(subject.id)
    outs = subject.training.lock.outs if subject.training else ()
    product = next((out for out in outs if out.path == path), None)
    if product is None:
        return found  # said among the faults of what is recorded
    if any(out.path == f"{path}.data" for out in outs):
        return replace(found, unopened="it has a sidecar; `registry report` opens it")
    try:
        onnx_process.inspect(cache / pointers.object_key(product.md5), tasks.of(subject.manifest).OUTPUTS, name=path)
    except NotFound:
        return replace(found, unopened=ABSENT)
    except InvalidData as error:
        return replace(found, file_faults=error.problems)
    except Refused as error:
        return replace(found, unopened=error.message)
    return found
