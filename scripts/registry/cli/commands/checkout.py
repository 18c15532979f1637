"""`registry checkout`."""

import os

import click

from registry.cli.workspace import Workspace, here
from registry.errors import SHOWN, RegistryError


@click.command()
@click.argument("told", nargs=-1, metavar="", type=click.UNPROCESSED)
@click.option("--hook", is_flag=True, help="Only what Git tells the hook post-checkout has changed; never an error.")
def command(told: tuple[str, ...], *, hook: bool) -> None:
    """Link the data of the checked-out commit, as far as it is in DVC's cache, and say what is missing.

    Data that you changed and DVC does not hold is left as it is.
    """
    from registry.integrations import git, git_hooks

    if not hook:
        _link(here(), None)
    elif change := git_hooks.parse_post_checkout(os.environ, told):
        try:
            space = here()
            before = git.EMPTY_TREE if change.before == git.NULL_OID else change.before
            _link(space, git.changed_paths(space.root, before, change.after))
        except RegistryError as error:
            click.echo(f"the data was not linked: {error}", err=True)


def _link(space: Workspace, changed: tuple[str, ...] | None) -> None:
    from registry.core.progress import bar
    from registry.integrations import dvc
    from registry.sync import checkout, inventory

    paths = {entry.path for entry in space.tree.list()}
    pointers = sorted(
        path for path in (paths if changed is None else paths & set(changed)) if inventory.is_pointer(path)
    )
    if not pointers:
        return
    cache = dvc.cache_dir(space.root)
    places = inventory.placements(space.tree, pointers, cache)
    with bar("linking", sum(len(one.files or ()) for one in places)) as progress:
        missing = checkout.place(space.root, cache, places, progress)
    if missing:
        rest = len(missing) - SHOWN
        named = missing if rest <= 0 else ()
        click.echo(f"not in the cache: {', '.join(missing[:SHOWN])}{f' and {rest:,} more' if rest > 0 else ''}")
        click.echo(f"  hint: registry pull{''.join(f' {name}' for name in named)}")
