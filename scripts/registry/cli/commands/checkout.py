"""`registry checkout`. Git's hooks run it where a pointer changed."""

from pathlib import Path

import click

from registry.cli import withdrawals
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import layout
from registry.core.progress import bar
from registry.core.wording import abbreviate, plural
from registry.errors import SHOWN, RegistryError
from registry.integrations import dvc, git
from registry.integrations.pointer_state import PointerState
from registry.storage.cache import heading, open_cache
from registry.sync import follow
from registry.sync.follow import Followed


@click.command()
@click.option("--hook", is_flag=True, help="Run as a Git hook: only what changed, and never fail.")
def command(*, hook: bool) -> None:
    """Make the data what the checked-out commit says, from DVC's cache, and list what is missing.

    Links the data of every pointer, and removes the data of artifacts that this commit does not have, as far as the
    cache holds it. Local changes to data that the cache does not hold are kept. Nothing is downloaded.
    """
    if not hook:
        space = here()
        done = _follow(space, everything=True)
        _print_missing(space, done)
        _print_kept(done)
        return
    try:
        space = Workspace(git.find_root(Path.cwd()))
        dvc.share_cache(space.root)
        _print_changes(space, _follow(space, everything=False))
    except RegistryError as error:
        say(f"registry: the data was not linked: {error}", err=True)
    except KeyboardInterrupt as stop:
        say("registry: interrupted before all data was linked\n  hint: registry checkout", err=True)
        raise click.exceptions.Exit(130) from stop


def _follow(space: Workspace, *, everything: bool) -> Followed:
    state = PointerState(space.root)
    found = state.read()
    state.begin()
    wanted = follow.all_of(space.root, found) if everything else found
    cache = open_cache(space.root)
    todo = follow.plan(space.root, cache, wanted)
    with bar("linking", todo.files) as progress:
        done = follow.apply(space.root, cache, todo, progress, together=everything)
    state.finish()
    if everything or follow.has_data(space.root):
        changed = filter(None, map(layout.owner_of, wanted.changed))
        withdrawals.warn_of_versions(space.root, space.tree, changed)
    return done


def _print_changes(space: Workspace, done: Followed) -> None:
    """What a hook says. Where no data is, none is missed: a reviewer who never pulled is not told of every change."""
    for error in done.failed:
        say(f"registry: data was not linked: {error}", err=True)
    if done.stale:
        say(f"registry: still the data of another commit: {abbreviate(done.stale, SHOWN)}", err=True)
    if done.stale or (done.absent and follow.has_data(space.root)):
        _print_missing(space, done, err=True)
    _print_kept(done, err=True)


def _print_missing(space: Workspace, done: Followed, *, err: bool = False) -> None:
    erased = [path for path, md5s in done.lacking.items() if space.erased.find_objects(md5s)]
    if erased:
        say(f"erased, or files of it were: {abbreviate(erased, SHOWN)}", err=err)
        say("  hint: use a later version: registry list", err=err)
    if done.damaged:
        say(f"{heading(done.damaged)}, such as {done.damaged[0].fault}", err=err)
    if missing := [path for path in (*done.stale, *done.absent) if path not in erased]:
        named = missing if len(missing) <= SHOWN else ()
        fault = "not intact in the cache" if done.damaged else "not in the cache"
        say(f"{fault}: {abbreviate(missing, SHOWN)}", err=err)
        say(f"  hint: registry pull{''.join(f' {name}' for name in named)}", err=err)


def _print_kept(done: Followed, *, err: bool = False) -> None:
    for kept in done.kept:
        files = f"{plural(len(kept.files), 'file')} that the cache does not hold, such as {kept.files[0]}"
        say(f"kept {kept.path}, which this commit does not have: {files}", err=err)
        say("  hint: move or delete what you do not need", err=err)
