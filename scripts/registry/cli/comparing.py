"""Comparisons between two trees that several commands make: of datasets and of models."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.cli import transferring
from registry.cli.workspace import Workspace
from registry.console import say
from registry.core.progress import bar
from registry.core.tree import Tree
from registry.core.values import ArtifactId
from registry.dataset import perceptual_hash
from registry.dataset.diff import DiffOptions
from registry.errors import RegistryError
from registry.model import judging
from registry.model.changes import ModelChange
from registry.sync import pull


@dataclass(frozen=True, slots=True)
class Comparison:
    """How models differ between two trees, and how many bytes were pulled to find out."""

    models: tuple[ModelChange, ...]
    pulled: int


def diff_options(space: Workspace, *, pictures: bool, near_duplicates: bool) -> DiffOptions:
    """How a comparison of datasets reads objects. `pictures`: draw changed images and pairs.

    `near_duplicates`: search for near-duplicates in datasets no larger than `report.near_duplicates` in the settings.
    Raises InvalidDocument where the settings cannot be read.
    """
    limit = space.registry_file.near_duplicates
    hashes = space.cache_dir / perceptual_hash.PATH
    return DiffOptions(space.stores.reader, hashes, pictures, limit if near_duplicates else None)


def compare_models(space: Workspace, old: Tree, new: Tree, models: Sequence[ArtifactId]) -> Comparison:
    """How these models differ between two trees, by the judge. Pulls what it has to measure, and measures it."""
    plans = [judging.plan(old, new, model, space.read_object) for model in models]
    runs = judging.pending_runs(space.root, plans)
    for run in runs:
        say(str(run), err=True)
    pulled = _pull(space, [pull.Want(reached, path) for run in runs for reached, path in run.needs])
    with bar("measuring", sum(run.test.frame.height for run in runs)) as progress:
        changes = [judging.apply(plan, space.root, space.cache_dir, space.read_object, progress) for plan in plans]
    return Comparison(tuple(changes), pulled)


def _pull(space: Workspace, wants: Sequence[pull.Want]) -> int:
    """Pull what can be pulled; a model that lacks something reports that itself, and the others are still evaluated.

    Returns the bytes to fetch.
    """
    if not wants:
        return 0
    try:
        plan = transferring.plan_pull(space, wants)
        transferring.fetch(plan)
        return int(plan.fetch["size"].sum())
    except RegistryError as error:
        say(f"some objects needed for the evaluation could not be pulled: {error}", err=True)
        return 0
