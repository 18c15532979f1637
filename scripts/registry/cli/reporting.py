"""Reports of changes that several commands make: of the working tree, and of a commit that is not checked out."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.checks import collect, runner
from registry.cli import checking, comparing
from registry.cli.workspace import Workspace
from registry.core import settings
from registry.core.tree import Tree
from registry.core.values import Outcome
from registry.dataset import diff
from registry.errors import RegistryError
from registry.integrations import git_trees, hardware
from registry.model import judging
from registry.report.assemble import assemble
from registry.report.run_info import RunInfo
from registry.report.values import Report


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about: a change, the commit that it ends at, and how the report is made again.

    `started` is a time of `time.monotonic`; `uncommitted` are the paths that differ from `head`.
    """

    change: collect.Change
    head: str
    commands: tuple[str, ...]
    started: float
    uncommitted: tuple[str, ...] = ()


def run_checks(space: Workspace, change: collect.Change, *, images: bool) -> tuple[Outcome, ...]:
    """The outcomes of all checks on a change; `images`: also validate images that were not validated before."""
    facts = checking.with_reproductions(space, checking.gather(space, change), change)
    facts = checking.with_models(space, facts, change)
    facts = checking.with_stored(space, checking.with_shared_images(space, facts, change), change)
    facts = checking.with_lake(space, facts)
    validated = checking.with_images(space, facts) if images else facts
    # Only faults are reported, so that a report is the same whether or not its images were validated before.
    return runner.run(validated if any(subject.invalid_images for subject in validated.datasets) else facts)


def compose(space: Workspace, subject: Subject, outcomes: Sequence[Outcome]) -> Report:
    """The report: outcomes of checks, and the datasets and models of both ends, compared by their objects."""
    new, start = subject.change.tree, subject.change.before
    with git_trees.Revision(space.root, start) as old:
        options = comparing.diff_options(space, pictures=allows_pictures(space.tree, new), near_duplicates=True)
        datasets = diff.compare(old, new, options)
        compared = comparing.compare_models(space, old, new, judging.changed_models(old, new))
    machine = hardware.measure(subject.started, compared.pulled)
    run = RunInfo(subject.commands, start, subject.head, machine, subject.uncommitted)
    return assemble(outcomes, datasets, compared.models, run)


def allows_pictures(*trees: Tree) -> bool:
    """Whether images of the data may be in the report: where no settings forbid it, and all can be read."""
    try:
        return all(settings.read(tree).pictures for tree in trees)
    except RegistryError:
        return False
