"""`registry gc`."""

from datetime import UTC, datetime, timedelta

import click

from registry.cli.workspace import here
from registry.console import say
from registry.core.progress import bar
from registry.core.wording import plural
from registry.sync import gc, references


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Print what could be deleted, and delete nothing.")
@click.option("--apply", "delete", is_flag=True, help="Recompute the plan, print it, and delete.")
@click.option("--older-than", metavar="DAYS", type=click.IntRange(min=1), default=7, show_default=True)
def command(older_than: int, *, only_plan: bool, delete: bool) -> None:
    """Delete objects from staging that no branch, tag or pull request refers to.

    Objects are kept if any commit of this clone or of its remotes refers to them, or any uncommitted pointer in a
    worktree of this clone. Objects that were built elsewhere and never pushed are kept for DAYS only. Staging must not
    be shared with another repository: its references are not known here. Production is never changed.
    """
    if only_plan == delete:
        raise click.UsageError("choose --plan (print what could be deleted) or --apply (delete it)")
    space = here()
    stores = space.stores
    with bar("reading commits", 0) as progress:
        referenced = references.survey(space.root, progress)
    age, now = timedelta(days=older_than), datetime.now(UTC)
    with bar("reading lists of files", 0) as progress:
        plan = gc.plan(referenced, stores.staging, stores.production, stores.caches, age, now, progress=progress)
    say(str(plan))
    if delete and plan.unreferenced.height:
        with bar("deleting", plan.unreferenced.height) as progress:
            gc.apply(plan, progress)
        deleted = f"{plan.unreferenced.height:,} of {plural(plan.objects, 'object')}"
        say(f"deleted from staging: {deleted}, {plural(plan.size, 'byte')}")
