"""`registry diff`."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from registry.cli import comparing, withdrawals
from registry.cli.workspace import here
from registry.console import plain, say
from registry.core import names
from registry.core.atomic_write import write_atomically
from registry.core.tree import Tree
from registry.core.values import ArtifactId, Kind
from registry.dataset import diff, diff_output
from registry.dataset.changes import DatasetChange
from registry.integrations import git_trees

FORMATS = {"text": diff_output.as_text, "json": diff_output.as_json, "md": diff_output.as_markdown}


@click.command()
@click.argument("arguments", nargs=-1, metavar="[OLD] [NEW] [DATASET]")
@click.option("--staged", is_flag=True, help="Compare with what the next commit would hold, not with the working tree.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also read the images: write some of those that changed, and pairs of near-duplicates, to FOLDER.",
)
def command(arguments: tuple[str, ...], form: str, pictures: Path | None, *, staged: bool) -> None:
    """Compare datasets between two revisions.

    OLD and NEW are revisions or tags: HEAD~1, origin/main, datasets/pets@v1.0.0. The defaults are HEAD and the working
    tree. DATASET is datasets/NAME; the default is every dataset that differs. Only lists of files are read, unless
    --pictures is given. The exit code is 0 whether or not there are differences.
    """
    space = here()
    compared = _parse(arguments)
    revisions = compared.revisions
    if len(revisions) + staged > 2:
        raise click.UsageError("too many revisions: expected [OLD] [NEW], or [OLD] --staged")
    with ExitStack() as trees:
        old: Tree = trees.enter_context(git_trees.Revision(space.root, revisions[0] if revisions else "HEAD"))
        new: Tree = space.tree
        if staged:
            new = trees.enter_context(git_trees.Index(space.root))
        elif len(revisions) == 2:
            new = trees.enter_context(git_trees.Revision(space.root, revisions[1]))
        with_images = pictures is not None
        options = comparing.diff_options(space, pictures=with_images, near_duplicates=with_images)
        changes = diff.compare(old, new, options, compared.dataset)
        for named in (old, new)[: len(revisions)]:
            withdrawals.warn_of_versions(space.root, named, (change.id for change in changes))
    if pictures:
        for change in changes:
            _write(change, pictures)
    say(FORMATS[form](changes))


@dataclass(frozen=True, slots=True)
class _Compared:
    """What to compare: the revisions, old first, and the dataset, or None for all of them."""

    revisions: tuple[str, ...]
    dataset: ArtifactId | None


def _parse(arguments: Sequence[str]) -> _Compared:
    """Tell revisions from the dataset: an argument in the grammar of artifact ids is one."""
    revisions: list[str] = []
    found: list[ArtifactId] = []
    for argument in arguments:
        try:
            found.append(names.parse_id(argument))
        except names.InvalidName:
            revisions.append(argument)
    if len(found) > 1:
        raise click.UsageError("too many datasets: expected one, or none for all of them")
    for artifact in found:
        if artifact.kind is not Kind.DATASET:
            raise click.UsageError(f"{artifact} is a model: compare models with `registry compare {artifact}`")
    return _Compared(tuple(revisions), found[0] if found else None)


def _write(change: DatasetChange, folder: Path) -> None:
    """Each picture, and on standard error its path with what it shows."""
    shown = [(one.picture, f"{one.uuid} ({one.caption})") for one in change.examples]
    pairs = zip(change.duplicates, change.pairs, strict=False)
    shown += [(picture, f"{pair.first.uuid} and {pair.second.uuid}") for pair, picture in pairs]
    for picture, what in shown:
        path = folder / f"{change.id.name}-{picture.name}.webp"
        write_atomically(path, picture.image)
        say(f"wrote {path}: {plain(what)}{f', {picture.fault}' * bool(picture.fault)}", err=True)
