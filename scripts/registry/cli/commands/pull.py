"""`registry pull`."""

from contextlib import nullcontext

import click

from registry.cli import transferring, withdrawals
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import layout
from registry.core.wording import plural
from registry.integrations import git_trees
from registry.sync import pull


@click.command()
@click.argument("targets", nargs=-1, metavar="[ARTIFACT[/PATH]]...")
@click.option("--rev", metavar="TAG", help="Download the data of this tag or commit, without linking it.")
@click.option("--set-aside", is_flag=True, help="Move files that were changed by hand into DVC's cache, and link.")
@click.option("--dry-run", is_flag=True, help="Print what would be downloaded, and download nothing.")
def command(targets: tuple[str, ...], *, rev: str | None, set_aside: bool, dry_run: bool) -> None:
    """Download data from staging and production into DVC's cache, and link it into the working tree.

    The default is every artifact; datasets/NAME/prepared/train is a part of one. Only missing objects are downloaded,
    and each is verified; what the cache has already is read once on this machine, and again after any change to it. A
    damaged object is moved to set-aside/ in the cache, and downloaded again. After a failure, run it again: it
    continues where it stopped.
    """
    space = here()
    with git_trees.Revision(space.root, rev) if rev else nullcontext(space.tree) as tree:
        chosen = targets if targets or rev else _find_here(space)
        wants, skipped = pull.wanted(tree, chosen) if chosen or rev else ((), ())
        withdrawals.warn_of_versions(space.root, tree, (want.reached.artifact for want in wants))
    for line in skipped:
        say(line)
    if not wants:
        return
    plan = transferring.plan_pull(space, wants)
    say(str(plan))
    if dry_run:
        return
    fetched = transferring.fetch(plan, to_link=not rev)
    if not rev:
        transferring.link(space, plan, set_aside=set_aside)
    pull.require_all(plan, fetched)
    if fetched.count:
        say(f"pulled {plural(fetched.count, 'object')}, {plural(fetched.size, 'byte')}")


def _find_here(space: Workspace) -> tuple[str, ...]:
    """The artifacts in the working tree, without those that a sparse checkout leaves out."""
    return tuple(str(one) for one in layout.find(space.tree) if (space.root / layout.manifest_path(one)).is_file())
