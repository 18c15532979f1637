"""`registry fsck`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here
from registry.errors import Refused

if TYPE_CHECKING:
    from registry.storage.base import Store


@click.command()
@click.option("--all-tags", is_flag=True, help="Every release, not only the latest of each artifact.")
@click.option("--deep", is_flag=True, help="Read every object and hash it; else only names and sizes are compared.")
@click.option("--repair", "source", metavar="FROM", help="Put back what is missing from there, each object proven.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(source: str | None, form: str, *, all_tags: bool, deep: bool) -> None:
    """Say whether every object of every release is in production, and put back what is missing.

    FROM is staging, cache (DVC's, of this machine), another remote's name, or a URL or folder in DVC's layout. The exit
    code is 1 when something is missing or wrong at the end. Production is create-only: what is corrupt there is named,
    with what an administrator has to do.
    """
    from registry.core.progress import bar
    from registry.release import fsck
    from registry.storage.open import open_store

    space = here()
    production = open_store(space.settings.production, space.root)
    sources = _sources(space, source, production) if source else ()
    versions = fsck.survey(space.root, every=all_tags)
    if not versions and form == "text":
        click.echo("nothing is published yet, so nothing can be missing")
        return
    seen = fsck.look(versions, production, sources)
    md5s = fsck.suspects(seen, deep=deep)
    with bar("reading", len(md5s)) as progress:
        corrupt = fsck.read(production, md5s, progress)
    repaired = 0
    if sources and (gone := fsck.lost(seen)).height:
        with bar("repairing", gone.height) as progress:
            repaired = fsck.repair(seen, sources, production, progress)
        click.echo(f"put back {repaired:,} of {gone.height:,} missing objects", err=True)
        seen = fsck.look(versions, production, sources)
        corrupt |= fsck.read(production, fsck.suspects(seen, deep=False))
    rows = fsck.judge(versions, seen, corrupt, production)
    copies = fsck.sound_copies(rows, sources)
    if form == "json":
        click.echo(json.dumps(fsck.as_json(rows, production, copies, repaired), indent=2))
    else:
        click.echo(fsck.as_text(rows, production, copies), nl=False)
    if not fsck.is_whole(rows):
        raise click.exceptions.Exit(1)


def _sources(space: Workspace, name: str, production: "Store") -> "tuple[Store, ...]":
    from registry.core import settings
    from registry.core.settings import Remote
    from registry.integrations import dvc
    from registry.storage.local import Folder
    from registry.storage.open import open_store

    if name == "cache":
        return tuple(Folder(path) for path in dvc.cache_dirs(space.root))
    remotes = settings.read_remotes(space.tree.read(settings.DVC_CONFIG))
    remote = remotes.get(name) or Remote(name if "://" in name else str(Path(name).absolute()))
    store = open_store(remote, space.root)
    if name == "production" or store.url == production.url:
        raise Refused("production cannot be repaired from itself", fix="--repair staging, or another place with a copy")
    store.require()
    return (store,)
