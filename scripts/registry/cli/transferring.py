"""Pulling and pushing for several commands, with their output and progress bars."""

from collections.abc import Iterable, Sequence

import click

from registry.cli.workspace import Workspace
from registry.core.progress import bar
from registry.core.wording import plural
from registry.sync import checkout, pull, push


def plan_pull(space: Workspace, wants: Iterable[pull.Want]) -> pull.Plan:
    """What has to be fetched into DVC's cache."""
    return pull.plan(list(wants), space.stores)


def fetch(plan: pull.Plan) -> pull.Fetched:
    """Fetch into DVC's cache what remotes have."""
    with bar("pulling", plan.fetch.height, int(plan.fetch["size"].sum())) as progress:
        return pull.apply(plan, progress)


def link(space: Workspace, plan: pull.Plan) -> None:
    """Link what was pulled into the working tree, as far as the cache has it."""
    places = pull.placements(plan)
    with bar("linking", sum(len(place.files or ()) for place in places)) as progress:
        checkout.place(space.root, space.cache_dir, places, progress)


def upload(space: Workspace, needed: Sequence[push.Needed], *, deep: bool = False, dry_run: bool = False) -> None:
    """Upload into staging the objects that neither staging nor production has intact."""
    with bar("reading staging", 0) as progress:
        plan = push.plan(needed, space.stores, deep=deep, progress=progress)
    click.echo(str(plan))
    if plan.objects.height and not dry_run:
        with bar("pushing", plan.objects.height, plan.size) as progress:
            moved = push.apply(plan, progress)
        click.echo(f"pushed {plural(plan.objects.height, 'object')}, {plural(moved, 'byte')}")
