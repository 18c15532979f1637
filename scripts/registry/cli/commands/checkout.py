"""`registry checkout`. It runs after every `git checkout`, so it imports what links data only where data changed."""

import os

import click

from registry.cli.workspace import Workspace, here
from registry.core.progress import bar
from registry.errors import SHOWN, RegistryError
from registry.integrations import git, git_hooks


@click.command()
@click.argument("hook_arguments", nargs=-1, metavar="", type=click.UNPROCESSED)
@click.option("--hook", is_flag=True, help="Run as Git's post-checkout hook: link only what changed, and never fail.")
def command(hook_arguments: tuple[str, ...], *, hook: bool) -> None:
    """Link the data of the checked-out commit from DVC's cache, and list what is missing.

    Local changes to data that DVC's cache does not hold are kept.
    """
    if not hook:
        _link(here(), None)
    elif change := git_hooks.parse_post_checkout(os.environ, hook_arguments):
        try:
            space = here()
            before = git.EMPTY_TREE if change.before == git.NULL_OID else change.before
            _link(space, git.changed_paths(space.root, before, change.after))
        except RegistryError as error:
            click.echo(f"the data was not linked: {error}", err=True)


def _link(space: Workspace, changed: tuple[str, ...] | None) -> None:
    """Link the data of all pointers, or of those among `changed`."""
    from registry.storage.cache import heading, open_cache
    from registry.sync import checkout, inventory

    paths = {entry.path for entry in space.tree.list()}
    pointers = sorted(
        path for path in (paths if changed is None else paths & set(changed)) if inventory.is_pointer(path)
    )
    if not pointers:
        return
    cache = open_cache(space.root)
    places = inventory.placements(space.tree, pointers, cache)
    with bar("linking", sum(len(place.files or ()) for place in places)) as progress:
        missing = checkout.place(space.root, cache, places, progress)
    if missing:
        incomplete = [place for place in places if place.path in missing]
        damaged = cache.find_damaged(md5 for place in incomplete for md5 in (place.files or {}).values())
        if damaged:
            click.echo(f"{heading(damaged)}, such as {damaged[0].fault}")
        rest = len(missing) - SHOWN
        named = missing if rest <= 0 else ()
        fault = "not intact in the cache" if damaged else "not in the cache"
        click.echo(f"{fault}: {', '.join(missing[:SHOWN])}{f' and {rest:,} more' if rest > 0 else ''}")
        click.echo(f"  hint: registry pull{''.join(f' {name}' for name in named)}")
