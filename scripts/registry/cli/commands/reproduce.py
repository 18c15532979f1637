"""`registry reproduce`."""

from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here
from registry.errors import Refused

if TYPE_CHECKING:
    from registry.core.values import Tag


@click.command()
@click.argument("tags", nargs=-1, metavar="[models/NAME@vVERSION]...")
@click.option("--latest", is_flag=True, help="The latest published version of every model, withdrawn ones left out.")
def command(tags: tuple[str, ...], *, latest: bool) -> None:
    """Train a published model again from its tag, and say whether its metrics come back.

    In a temporary worktree, which is removed afterwards; your files stay as they are. Metrics are judged by
    reproduce.tolerance in the manifest of that version; one that names no tolerance asks for exactly the same numbers.
    """
    from registry.model import reproduce

    if bool(tags) == latest:
        raise click.UsageError("name the tags of models, such as models/NAME@v1.0.0, or say --latest")
    space = here()
    wanted = tags or reproduce.latest_tags(space.tree, _published(space))
    failed = [tag for tag in wanted if not _reproduce(space, tag)]
    if failed:
        fix = "look at what differs: versions of libraries, the device, a seed that is not set"
        raise Refused(f"{', '.join(failed)} {'was' if len(failed) == 1 else 'were'} not reproduced", fix=fix)
    if not wanted:
        click.echo("no model is published yet, so there is nothing to train again")


def _published(space: Workspace) -> "tuple[Tag, ...]":
    from registry.core.names import find_tags
    from registry.integrations import git

    return find_tags(git.tag_names(space.root))


def _reproduce(space: Workspace, tag: str) -> bool:
    from registry.core.progress import bar
    from registry.integrations import dvc
    from registry.model import reproduce
    from registry.storage.stores import Stores
    from registry.sync import pull

    cache = dvc.cache_dir(space.root)
    again = reproduce.plan(space.root, tag)
    click.echo(str(again))
    wants = [pull.Want(one, one.output.path) for one in again.inputs]
    fetch = pull.plan(wants, Stores(space.root, space.settings))
    with bar("pulling", fetch.fetch.height) as progress:
        pull.require_all(fetch, pull.apply(fetch, progress))
    rows = reproduce.apply(again, space.root, cache)
    click.echo(reproduce.format_table(rows))
    same = reproduce.is_reproduced(rows)
    if same:
        click.echo(f"{again.tag}: reproduced")
    return same
