"""`registry publish`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.workspace import here
from registry.errors import ServiceFailed

if TYPE_CHECKING:
    from registry.core.values import ArtifactId
    from registry.release import publish


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dry-run", is_flag=True, help="Show what would be published.")
def command(ids: tuple[str, ...], *, dry_run: bool) -> None:
    """Release every version that has no tag yet: objects to production, then tags, then GitHub's releases.

    On the main branch only. Objects go from staging to production, each proven on the way; annotated tags are made and
    pushed when all of them are there. What is published is never changed. Run it again after any failure: it goes on
    where it stopped. Where origin is on GitHub and gh has a token, each tag gets a release there, which says so when
    its version is withdrawn. ID is datasets/NAME or models/NAME; all artifacts when left out.
    """
    from registry.core import layout, names
    from registry.core.progress import bar
    from registry.integrations import git_trees
    from registry.release import publish
    from registry.storage.open import open_store

    space = here()
    staging, production = (
        open_store(remote, space.root) for remote in (space.settings.staging, space.settings.production)
    )
    ground = publish.survey(space.root)
    with git_trees.Revision(space.root, ground.commit) as tree:
        wanted = [names.parse_id(text) for text in ids] or layout.find(tree)
        plan = publish.plan(ground, tree, wanted, staging, production)
    click.echo(str(plan))
    if not dry_run and not plan.is_empty:
        with bar("publishing", plan.copy.height + plan.prove.height) as progress:
            moved = publish.apply(plan, staging, production, progress)
        click.echo(f"published: {plan.copy.height:,} objects copied, {moved:,} bytes of them through here")
    _tell_github(space.root, plan, wanted, dry_run=dry_run)


def _tell_github(root: Path, plan: "publish.Plan", wanted: "Sequence[ArtifactId]", *, dry_run: bool) -> None:
    from registry.integrations import github
    from registry.release import github_releases

    try:
        repository = github.connect(root)
    except github.Unreachable as error:
        click.echo(f"no releases on GitHub: {error.message} ({error.fix})", err=True)
        return
    try:
        news = github_releases.plan(root, repository, plan.tags, plan.ground.commit, wanted)
        click.echo(str(news))
        if not dry_run:
            github_releases.apply(news)
    except ServiceFailed as error:
        done = "" if dry_run else "all tags are published, but releases on GitHub are missing: "
        raise ServiceFailed(f"{done}{error.message}", fix=error.fix) from error
