"""`registry gc`."""

import click

from registry.cli.workspace import here


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Show what could be deleted; delete nothing.")
@click.option("--apply", "do_it", is_flag=True, help="Look anew, show it, and delete it.")
@click.option("--older-than", metavar="DAYS", type=click.IntRange(min=1), default=7, show_default=True)
def command(older_than: int, *, only_plan: bool, do_it: bool) -> None:
    """Delete from staging what no branch, tag or pull request refers to.

    All history counts, here and at every remote, and so does what lies uncommitted in a checkout of this repository.
    What somebody built elsewhere and never pushed is safe for DAYS only. Staging must be this registry's alone:
    what another repository keeps there is not known here. Production is never touched.
    """
    from datetime import UTC, datetime, timedelta

    from registry.core.progress import bar
    from registry.integrations import dvc
    from registry.storage.local import Folder
    from registry.storage.open import open_store
    from registry.sync import gc

    if only_plan == do_it:
        raise click.UsageError("say --plan (show what could be deleted) or --apply (delete it)")
    space = here()
    staging, production = (
        open_store(remote, space.root) for remote in (space.settings.staging, space.settings.production)
    )
    with bar("reading commits", 0) as progress:
        kept = gc.survey(space.root, progress)
    caches = [Folder(path) for path in dvc.cache_dirs(space.root)]
    with bar("reading lists of files", 0) as progress:
        plan = gc.plan(
            kept, staging, production, caches, timedelta(days=older_than), datetime.now(UTC), progress=progress
        )
    click.echo(str(plan))
    if do_it and plan.unneeded.height:
        with bar("deleting", plan.unneeded.height) as progress:
            gc.apply(plan, progress)
        click.echo(f"deleted from staging: {plan.unneeded.height:,} of {plan.objects:,} objects, {plan.size:,} bytes")
