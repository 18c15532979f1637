"""Two releases of a model, compared by the predictions that were recorded when they were measured: nothing is run."""

from dataclasses import replace

from registry.core.artifact_files import Reader
from registry.core.tree import Tree
from registry.core.values import ArtifactId
from registry.errors import RegistryError
from registry.model import comparison, reported_results, tasks
from registry.model.changes import ModelChange, Role
from registry.model.comparison import Judgements, Recorded
from registry.model.version import read_pair, read_recorded, reason


def compare(old: Tree, new: Tree, artifact: ArtifactId, read: Reader) -> ModelChange:
    """How a model differs between two trees, on the test images that both were measured on.

    What cannot be read is in the change's `unknown`.
    """
    pair = read_pair(old, new, artifact, read)
    found = Judgements({}, [*pair.faults, *(one.unknown for one in pair.versions if one.unknown)], [])
    for version in () if pair.is_same_training else pair.versions:
        is_told = version.role is Role.NEW and version.unknown  # of which `read_pair` has read them
        if version.test_set is None or (version.predictions is None and is_told):
            continue
        try:
            predictions = version.predictions
            if predictions is None:
                predictions = read_recorded(version, version.test_set, read)
        except RegistryError as error:
            found.unknown.append(f"the predictions of the {version.role} version: {reason(error)}")
            continue
        if predictions is not None:
            found.by_role[version.role] = Recorded(tasks.of(version.manifest), predictions)
    change = comparison.compare(pair, found, read)
    if change.comparison:  # the others are left out because a version was not measured on them, or trained on them
        change = replace(change, tests=change.images)
    return replace(change, reported=reported_results.collect(pair.base, pair.new, read))
