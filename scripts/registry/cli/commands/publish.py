"""`registry publish`."""

from collections.abc import Sequence
from pathlib import Path

import click

from registry.cli.workspace import here
from registry.core import layout, names
from registry.core.progress import bar
from registry.core.values import ArtifactId
from registry.core.wording import plural
from registry.errors import ServiceFailed
from registry.integrations import git_trees, github
from registry.release import github_releases, publish


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dry-run", is_flag=True, help="Print what would be published, and publish nothing.")
def command(ids: tuple[str, ...], *, dry_run: bool) -> None:
    """Release every version that has no tag yet: objects to production, then tags, then GitHub releases.

    Runs on the main branch only. Objects are copied from staging to production and verified; when production has all of
    them, annotated tags are created and pushed. Published objects and tags are never changed. After a failure, run it
    again: it continues where it stopped. If origin is on GitHub and gh has a token, each tag gets a GitHub release,
    which is marked when its version is withdrawn. ID is datasets/NAME or models/NAME; the default is every artifact.
    """
    space = here()
    context = publish.collect(space.root)
    with git_trees.Revision(space.root, context.commit) as tree:
        wanted = [names.parse_id(text) for text in ids] or layout.find(tree)
        plan = publish.plan(context, tree, wanted, space.stores.staging, space.stores.production)
    click.echo(str(plan))
    if not dry_run and not plan.is_empty:
        with bar("publishing", plan.copy.height + plan.prove.height) as progress:
            moved = publish.apply(plan, space.stores.staging, space.stores.production, progress)
        transferred = f"{plural(moved, 'byte')} transferred through this machine"
        click.echo(f"published: {plural(plan.copy.height, 'object')} copied to production, {transferred}")
    _update_github(space.root, plan, wanted, dry_run=dry_run)


def _update_github(root: Path, plan: publish.Plan, wanted: Sequence[ArtifactId], *, dry_run: bool) -> None:
    try:
        repository = github.connect(root)
    except github.Unreachable as error:
        click.echo(f"GitHub releases were skipped: {error.message}\n  hint: {error.fix}", err=True)
        return
    try:
        releases = github_releases.plan(root, repository, plan.tags, plan.context.commit, wanted)
        click.echo(str(releases))
        if not dry_run:
            github_releases.apply(releases)
    except ServiceFailed as error:
        state = "" if dry_run else "all tags are published, but GitHub releases are missing: "
        raise ServiceFailed(f"{state}{error.message}", fix=error.fix) from error
