"""`registry pull`."""

from contextlib import nullcontext

import click

from registry.cli.workspace import here


@click.command()
@click.argument("targets", nargs=-1, metavar="[ARTIFACT[/PATH]]...")
@click.option("--rev", metavar="TAG", help="Fetch what this tag or commit refers to, and leave the working tree alone.")
@click.option("--dry-run", is_flag=True, help="Show what would be fetched.")
def command(targets: tuple[str, ...], *, rev: str | None, dry_run: bool) -> None:
    """Bring data from staging and production into DVC's cache, and link it.

    All artifacts when none is named; datasets/NAME/prepared/train is a part of one. Only what is missing is fetched,
    each object proven on its way. Run it again after any failure: it goes on where it stopped.
    """
    from registry.core.progress import bar
    from registry.integrations import dvc, git_trees
    from registry.storage.stores import Stores
    from registry.sync import checkout, pull

    space = here()
    with git_trees.Revision(space.root, rev) if rev else nullcontext(space.tree) as tree:
        wants, skipped = pull.wanted(tree, targets)
    for words in skipped:
        click.echo(words)
    if not wants:
        return
    cache = dvc.cache_dir(space.root)
    plan = pull.plan(wants, Stores(space.root, space.settings))
    click.echo(str(plan))
    if dry_run:
        return
    with bar("pulling", plan.fetch.height, plan.fetch["size"].sum()) as progress:
        fetched = pull.apply(plan, progress)
    if not rev:
        places = pull.placements(plan)
        with bar("linking", sum(len(one.files or ()) for one in places)) as progress:
            checkout.place(space.root, cache, places, progress)
    pull.require_all(plan, fetched)
    if fetched.count:
        click.echo(f"pulled {fetched.count:,} objects, {fetched.size:,} bytes")
