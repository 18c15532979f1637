"""`registry report`."""

import time
from pathlib import Path

import click

from registry.checks import collect, runner
from registry.cli import checking, comparing
from registry.cli.workspace import Workspace, here
from registry.core.check_names import CheckName
from registry.core.values import Outcome
from registry.dataset import diff
from registry.errors import RegistryError
from registry.integrations import git, git_trees, hardware
from registry.model import judging
from registry.report import files, github_images
from registry.report.assemble import assemble
from registry.report.run_info import RunInfo
from registry.report.values import Report

OUT = ".registry/report"


@click.command()
@click.option(
    "--base", metavar="REVISION", default="main", show_default=True, help="Compare with the merge base of REVISION."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help=f"The output folder.  [default: {OUT}]")
@click.option(
    "--pictures",
    type=click.Choice(["none", "local", "branch"]),
    default="local",
    show_default=True,
    help="The pictures in report.md: none, files in the output folder, or files on the branch `reports` on GitHub.",
)
@click.option("--images", is_flag=True, help="Also validate every image that was not validated before.")
@click.option("--open", "opened", is_flag=True, help="Open report.html in the browser.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if the change is blocked.")
def command(base: str, out: Path | None, pictures: str, *, images: bool, opened: bool, exit_code: bool) -> None:
    """Write the report of a change: checks, datasets, pictures, models and gates.

    Writes report.md (which CI posts to the pull request), report.html (one file, with more detail), report.json, and
    the pictures. Datasets are compared from pointers and lists of files. Models are measured by their
    model files on the same images; the data that this needs is pulled. `report: {images: none}` in
    registry.yaml keeps images of the data out of the report.
    """
    space = here()
    folder = space.root / OUT if out is None else out
    report = _report(space, base, time.monotonic(), images=images)
    allowed = _allows_pictures(space)
    report = report if allowed else files.without_sheets(report)
    files.write(report, folder, shown=allowed and pictures != "none")
    if pictures == "branch" and allowed:
        github_images.publish(space.root, folder)
    click.echo(f"{report.state.value}: {report.headline}")
    for name in ("report.md", "report.html", "report.json"):
        click.echo(str(folder / name))
    if opened:
        click.launch(str((folder / "report.html").resolve()))
    if exit_code and report.state.value == "blocked":
        raise click.exceptions.Exit(1)


def _report(space: Workspace, base: str, started: float, *, images: bool) -> Report:
    start = git.merge_base(space.root, git.resolve_commit(space.root, base), "HEAD")
    outcomes = _run_checks(space, base, images=images)
    validated = any(outcome.check == CheckName.IMAGES for outcome in outcomes)
    with git_trees.Revision(space.root, start) as old:
        options = comparing.diff_options(space, sheets=_allows_pictures(space), near_duplicates=True)
        datasets = diff.compare(old, space.tree, options)
        compared = comparing.compare_models(space, old, space.tree, judging.changed_models(old, space.tree))
    head = git.resolve_commit(space.root, "HEAD")
    uncommitted = git.uncommitted_paths(space.root, ".")
    repeat = f"registry report --base {start}{' --images' * validated}"
    commands = (repeat,) if uncommitted else (f"git checkout {head}", "registry pull", repeat)
    run = RunInfo(commands, start, head, hardware.measure(started, compared.pulled), uncommitted)
    return assemble(outcomes, datasets, compared.models, run)


def _run_checks(space: Workspace, base: str, *, images: bool) -> tuple[Outcome, ...]:
    change = collect.since(space.root, base)
    facts = checking.with_reproductions(space, checking.gather(space, change), change)
    facts = checking.with_models(space, facts, change)
    facts = checking.with_stored(space, checking.with_shared_images(space, facts, change), change)
    facts = checking.with_lake(space, facts)
    validated = checking.with_images(space, facts) if images else facts
    # Only faults are reported, so that a report is the same whether or not its images were validated before.
    return runner.run(validated if any(subject.invalid_images for subject in validated.datasets) else facts)


def _allows_pictures(space: Workspace) -> bool:
    """Whether images of the data may be in the report; not where the settings cannot be read."""
    try:
        return space.registry_file.pictures
    except RegistryError:
        return False
