"""`registry publish`."""

import click

from registry.workspace import here


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dry-run", is_flag=True, help="Show what would be published.")
def command(ids: tuple[str, ...], *, dry_run: bool) -> None:
    """Release every version that has no tag yet: objects to production, then tags.

    On the main branch only. Objects go from staging to production, each proven on the way; annotated tags are made and
    pushed when all of them are there. What is published is never changed. Run it again after any failure: it goes on
    where it stopped. ID is datasets/NAME or models/NAME; all artifacts when left out.
    """
    from registry import artifacts, git, publish, tags
    from registry.progress import bar
    from registry.storage import open_store

    space = here()
    staging, production = (
        open_store(remote, space.root) for remote in (space.settings.staging, space.settings.production)
    )
    ground = publish.survey(space.root)
    with git.Revision(space.root, ground.commit) as tree:
        wanted = [tags.parse_id(text) for text in ids] or artifacts.find(tree)
        plan = publish.plan(ground, tree, wanted, staging, production)
    click.echo(str(plan))
    if dry_run or plan.is_empty:
        return
    with bar("publishing", plan.copy.height + plan.prove.height) as progress:
        moved = publish.apply(plan, staging, production, progress)
    click.echo(f"published: {plan.copy.height:,} objects copied, {moved:,} bytes of them through here")
