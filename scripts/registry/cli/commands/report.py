"""`registry report`."""

import time
from pathlib import Path

import click

from registry.checks import collect
from registry.cli import clusters, reporting
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core.check_names import CheckName
from registry.integrations import git
from registry.report import files, github_images
from registry.report.values import Report

OUT = ".registry/report"


@click.command()
@click.option(
    "--base", metavar="REVISION", help="Compare with the merge base of REVISION.  [default: the default branch]"
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
@clusters.option
@click.option("--open", "opened", is_flag=True, help="Open report.html in the browser.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if the change is blocked.")
def command(
    base: str | None,
    out: Path | None,
    pictures: str,
    scheduler: str | None,
    *,
    images: bool,
    opened: bool,
    exit_code: bool,
) -> None:
    """Write the report of a change: checks, datasets, pictures, models and gates.

    Writes report.md (which CI posts to the pull request), report.html (one file, with more detail), report.json, and
    the pictures. Datasets are compared from pointers and lists of files. Models are measured by their
    model files on the same images; the data that this needs is pulled. `report: {images: none}` in
    registry.yaml keeps images of the data out of the report.
    """
    space = clusters.join(here(), scheduler)
    folder = space.root / OUT if out is None else out
    report = _report(space, base or git.known_main_branch(space.root), time.monotonic(), images=images)
    allowed = reporting.allows_pictures(space.tree)
    report = report if allowed else files.without_images(report)
    files.write(report, folder, shown=allowed and pictures != "none")
    if pictures == "branch" and allowed:
        github_images.publish(space.root, folder)
    say(f"{report.state.value}: {report.headline}")
    for name in ("report.md", "report.html", "report.json"):
        say(str(folder / name))
    if opened:
        click.launch(str((folder / "report.html").resolve()))
    if exit_code and report.state.value == "blocked":
        raise click.exceptions.Exit(1)


def _report(space: Workspace, base: str, started: float, *, images: bool) -> Report:
    change = collect.since(space.root, base)
    outcomes = reporting.run_checks(space, change, images=images)
    validated = any(outcome.check == CheckName.IMAGES for outcome in outcomes)
    head = git.resolve_commit(space.root, "HEAD")
    uncommitted = git.uncommitted_paths(space.root, ".")
    repeat = f"registry report --base {change.before}{' --images' * validated}"
    commands = (repeat,) if uncommitted else (f"git checkout {head}", "registry pull", repeat)
    return reporting.compose(space, reporting.Subject(change, head, commands, started, uncommitted), outcomes)
