"""`registry push`."""

import os
import sys

import click

from registry.cli.workspace import here


@click.command()
@click.argument("revisions", nargs=-1, metavar="[REVISION]...")
@click.option("--hook", is_flag=True, help="Take the commits from what Git tells the hook pre-push.")
@click.option("--dry-run", is_flag=True, help="Show what would be pushed.")
def command(revisions: tuple[str, ...], *, hook: bool, dry_run: bool) -> None:
    """Put every object that commits refer to into staging.

    Objects are taken from DVC's cache and proven on the way; what staging or production has already is left alone. An
    object that is nowhere is an error: nobody could ever pull that commit. REVISION is HEAD when left out.
    """
    from registry.core.progress import bar
    from registry.integrations import git_hooks
    from registry.storage.stores import Stores
    from registry.sync import push

    space = here()
    if hook:
        needed = push.needed_by_push(space.root, git_hooks.parse_pre_push(os.environ, revisions, sys.stdin))
    else:
        needed = push.needed_by(space.root, revisions or ("HEAD",))
    if hook and not needed:
        return
    plan = push.plan(needed, Stores(space.root, space.settings))
    click.echo(str(plan))
    if plan.objects.height and not dry_run:
        with bar("pushing", plan.objects.height, plan.size) as progress:
            moved = push.apply(plan, progress)
        click.echo(f"pushed {plan.objects.height:,} objects, {moved:,} bytes")
