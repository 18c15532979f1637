"""Finds the datasets of a tree whose versions have images that the deny list has. Loads Polars."""

from collections.abc import Callable
from dataclasses import replace

from registry.checks.collect_shared_images import find_prepared
from registry.checks.context import DeniedImages, Facts
from registry.core.artifact_files import Reader
from registry.core.deny_list import Denied
from registry.core.parts import Parts
from registry.core.tree import Tree
from registry.core.values import ArtifactId
from registry.dataset import items
from registry.errors import NotFound, Refused


def find(facts: Facts, tree: Tree, denied: Denied, read_object: Reader, progress: Callable[[int, int], None]) -> Facts:
    """The facts, with the denied images of every dataset of the tree, also of those that a change does not touch."""
    found = []
    for dataset, listed in find_prepared(facts, tree).items():
        found.append(_find(dataset, listed, denied, read_object))
        progress(1, 0)
    return replace(facts, denied=tuple(one for one in found if one.images or one.unread))


def _find(dataset: ArtifactId, listed: Parts, denied: Denied, read_object: Reader) -> DeniedImages:
    try:
        frame = items.read(listed, read_object, f"{dataset}/prepared").frame
    except (NotFound, Refused) as error:
        return DeniedImages(dataset, unread=error.message)
    return DeniedImages(dataset, denied.find(frame["uuid"]))
