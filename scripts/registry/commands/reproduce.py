"""`registry reproduce`."""

import click

from registry.errors import Refused
from registry.workspace import here


@click.command()
@click.argument("tag", metavar="models/NAME@vVERSION")
def command(tag: str) -> None:
    """Train a published model again from its tag, and say whether its metrics come back.

    In a temporary worktree, which is removed afterwards; your files stay as they are. Metrics are judged by
    reproduce.tolerance in the manifest of that version; one that names no tolerance asks for exactly the same numbers.
    """
    from registry import dvc, pull, reproduce
    from registry.progress import bar

    space = here()
    cache = dvc.cache_dir(space.root)
    again = reproduce.plan(space.root, tag)
    click.echo(str(again))
    wants = [pull.Want(one, one.output.path) for one in again.inputs]
    fetch = pull.plan(wants, pull.stores(space.root, space.settings, cache))
    with bar("pulling", fetch.fetch.height) as progress:
        pull.demand_all(fetch, pull.apply(fetch, progress))
    rows = reproduce.apply(again, space.root, cache)
    click.echo(reproduce.table(rows))
    if not reproduce.verdict(rows):
        fix = "look at what differs: versions of libraries, the device, a seed that is not set"
        raise Refused(f"{again.tag} was not reproduced", fix=fix)
    click.echo(f"{again.tag}: reproduced")
