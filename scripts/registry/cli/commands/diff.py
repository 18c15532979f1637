"""`registry diff`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here, warn

if TYPE_CHECKING:
    from registry.core.tree import Tree
    from registry.dataset.diff import DiffOptions


@click.command()
@click.argument("arguments", nargs=-1, metavar="[OLD] [NEW] [DATASET]")
@click.option("--staged", is_flag=True, help="Compare with what the next commit would hold, not with the working tree.")
@click.option("--format", "form", type=click.Choice(["text", "json", "md"]), default="text", show_default=True)
@click.option(
    "--sheets",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also look at the images: put contact sheets of them here, and say which look like others.",
)
def command(arguments: tuple[str, ...], form: str, sheets: Path | None, *, staged: bool) -> None:
    """Say how datasets differ between two revisions.

    OLD and NEW are revisions or tags: HEAD~1, origin/main, datasets/pets@v1.0.0. OLD is HEAD and NEW the working tree
    when left out. DATASET is datasets/NAME; all that differ when left out. Only lists of files are read, unless
    --sheets asks for pictures. The exit code is 0 also when something differs.
    """
    from contextlib import ExitStack

    from registry.dataset import diff, diff_output
    from registry.integrations import git_trees

    space = here()
    revisions, only = _sort(arguments)
    if len(revisions) + staged > 2:
        raise click.UsageError("two trees at most: [OLD] [NEW], or [OLD] --staged")
    with ExitStack() as trees:
        old: Tree = trees.enter_context(git_trees.Revision(space.root, revisions[0] if revisions else "HEAD"))
        new: Tree = space.tree
        if staged:
            new = trees.enter_context(git_trees.Index(space.root))
        elif len(revisions) == 2:
            new = trees.enter_context(git_trees.Revision(space.root, revisions[1]))
        changes = diff.compare(old, new, objects(space, sheets=sheets is not None, near=sheets is not None), only)
    for change in changes if sheets else ():
        _write(change.id.name, change.sheets, sheets)
    shown = {"text": diff_output.as_text, "json": diff_output.as_json, "md": diff_output.as_markdown}
    click.echo(shown[form](changes), nl=False)


def _sort(arguments: tuple[str, ...]) -> tuple[list[str], object]:
    """The revisions, and the dataset: whatever is in the grammar of ids is one."""
    from registry.core import manifests, names

    revisions, found = [], []
    for name in arguments:
        try:
            found.append(names.parse_id(name))
        except names.InvalidName:
            revisions.append(name)
    if len(found) > 1:
        raise click.UsageError("name one dataset, or none for all of them")
    for artifact in found:
        if artifact.kind is not manifests.Kind.DATASET:
            raise click.UsageError(f"{artifact} is a model: `registry evaluate` compares those")
    return revisions, found[0] if found else None


def _write(name: str, drawn: tuple, folder: Path) -> None:
    from registry.core.atomic_write import write_atomically

    for sheet in drawn:
        path = folder / f"{name}-{sheet.name}.webp"
        write_atomically(path, sheet.image)
        click.echo(f"wrote {path}", err=True)


def objects(space: Workspace, *, sheets: bool, near: bool) -> "DiffOptions":
    """How objects of this registry are read: from DVC's caches, then staging and production.

    `near`: near-duplicates are sought in what is no larger than the settings say.
    """
    from registry.dataset import perceptual_hash
    from registry.dataset.diff import DiffOptions
    from registry.integrations import dvc
    from registry.storage.stores import Stores

    read, notes = Stores(space.root, space.settings, warn).reader, dvc.cache_dir(space.root) / perceptual_hash.PATH
    return DiffOptions(read, notes, sheets, space.settings.near_duplicates if near else None)
