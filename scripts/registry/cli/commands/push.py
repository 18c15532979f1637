"""`registry push`."""

import sys

import click

from registry.cli import transferring
from registry.cli.workspace import here
from registry.integrations import git_hooks
from registry.sync import push


@click.command()
@click.argument("revisions", nargs=-1, metavar="[REVISION]...")
@click.option("--hook", is_flag=True, help="Run as Git's pre-push hook: take the commits from its input.")
@click.option("--deep", is_flag=True, help="Also read objects in staging whose ETag does not prove their content.")
@click.option("--dry-run", is_flag=True, help="Print what would be uploaded, and upload nothing.")
def command(revisions: tuple[str, ...], *, hook: bool, deep: bool, dry_run: bool) -> None:
    """Upload every object that commits refer to into staging.

    Objects are read from DVC's caches and verified; objects that staging or production already has are skipped. If an
    object is in none of them, the command fails, because the commit could not be pulled. Objects that are corrupt in
    staging, by their ETags and sizes or with --deep, are replaced. The default REVISION is HEAD.
    """
    space = here()
    if hook:
        needed = push.needed_by_push(space.root, git_hooks.parse_pre_push(revisions, sys.stdin))
    else:
        needed = push.needed_by(space.root, revisions or ("HEAD",))
    if needed or not hook:
        transferring.upload(space, needed, deep=deep, dry_run=dry_run)
