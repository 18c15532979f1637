"""`registry report`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here
from registry.core.check_names import CheckName
from registry.errors import RegistryError
from registry.integrations import git, git_trees

if TYPE_CHECKING:
    from registry.core.values import Outcome
    from registry.dataset.changes import DatasetChange
    from registry.model.changes import ModelChange
    from registry.report.assemble import Report

OUT = ".registry/report"


@click.command()
@click.option("--base", metavar="REVISION", default="main", show_default=True, help="Compare with where we left this.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help=f"The folder to write.  [default: {OUT}]")
@click.option(
    "--pictures",
    "shown",
    type=click.Choice(["none", "local", "branch"]),
    default="local",
    show_default=True,
    help="Where report.md finds its pictures: nowhere, in the folder, or on GitHub, on the branch `reports`.",
)
@click.option("--images", is_flag=True, help="Also look at every image that nobody has looked at before.")
@click.option("--open", "opened", is_flag=True, help="Show report.html in the browser.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when the change is blocked.")
def command(base: str, out: Path | None, shown: str, *, images: bool, opened: bool, exit_code: bool) -> None:
    """Tell a reviewer what a change does: checks, data, pictures, models and gates.

    Writes report.md (what CI posts to the pull request), report.html (the same and more, in one file), report.json, and
    the pictures. Datasets are compared from pointers and lists of files; models are judged on the same images, and what
    is missing for that is pulled and run. `report: {images: none}` in registry.yaml keeps images of the data out of it.
    """
    from registry.report import files, github_images

    space = here()
    folder = space.root / OUT if out is None else out
    report = _report(space, base, time.monotonic(), images=images)
    allowed = _allows_pictures(space)
    report = report if allowed else files.without_sheets(report)
    files.write(report, folder, shown=allowed and shown != "none")
    if shown == "branch" and allowed:
        github_images.publish(space.root, folder)
    click.echo(f"{report.state.value}: {report.headline}")
    for name in ("report.md", "report.html", "report.json"):
        click.echo(str(folder / name))
    if opened:
        click.launch(str((folder / "report.html").resolve()))
    if exit_code and report.state.value == "blocked":
        raise click.exceptions.Exit(1)


def _report(space: Workspace, base: str, started: float, *, images: bool) -> "Report":
    from registry.integrations import hardware
    from registry.report.assemble import assemble
    from registry.report.run_info import Repeat

    start = git.merge_base(space.root, git.resolve_commit(space.root, base), "HEAD")
    outcomes = _checked(space, base, images=images)
    looked = any(outcome.check == CheckName.IMAGES for outcome in outcomes)
    pulled: list[int] = []
    datasets, models = _compared(space, start, pulled.append)
    head = git.resolve_commit(space.root, "HEAD")
    commands = (f"git checkout {head}", "registry pull", f"registry report --base {start}{' --images' * looked}")
    repeat = Repeat(commands, start, head, hardware.measure(started, sum(pulled)))
    return assemble(outcomes, datasets, models, repeat)


def _checked(space: Workspace, base: str, *, images: bool) -> "tuple[Outcome, ...]":
    from registry.checks import collect, runner
    from registry.cli.commands.check import reader, with_images, with_stored

    change = collect.since(space.root, base)
    with git_trees.History(space.root) as history:
        known = collect.gather(change, history, reader(space))
    known = with_stored(space, known, change)
    looked = with_images(space, known) if images else known
    # That all are sound is not told, so that a report is the same whether or not somebody looked.
    return runner.run(looked if any(subject.unsound for subject in looked.subjects) else known)


def _compared(
    space: Workspace, start: str, pulled: Callable[[int], None]
) -> "tuple[tuple[DatasetChange, ...], tuple[ModelChange, ...]]":
    from registry.cli.commands.check import reader
    from registry.cli.commands.diff import objects
    from registry.cli.commands.evaluate import compare
    from registry.dataset import diff
    from registry.model import evaluate

    with git_trees.Revision(space.root, start) as old:
        datasets = diff.compare(old, space.tree, objects(space, sheets=_allows_pictures(space), near=True))
        models = compare(space, old, space.tree, evaluate.changed_models(old, space.tree), reader(space), pulled)
    return datasets, models


def _allows_pictures(space: Workspace) -> bool:
    """Whether images of the data may be shown; not where nobody can read what the settings say."""
    try:
        return space.settings.pictures
    except RegistryError:
        return False
