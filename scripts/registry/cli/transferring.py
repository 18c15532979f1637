"""Pulling and pushing for several commands, with their output and progress bars."""

from collections.abc import Iterable, Sequence

from registry.cli.workspace import Workspace
from registry.console import say
from registry.core.progress import bar
from registry.core.wording import plural
from registry.sync import checkout, pull, push


def plan_pull(space: Workspace, wants: Iterable[pull.Want]) -> pull.Plan:
    """What has to be fetched into DVC's cache."""
    return pull.plan(list(wants), space.stores)


def fetch(plan: pull.Plan, *, to_link: bool = False) -> pull.Fetched:
    """Fetch into DVC's cache what remotes have, and say where damaged objects of the cache are now.

    With `to_link`, `link` is prepared for.
    """
    if to_link and plan.fetch.height:
        checkout.prepare()
    with bar("pulling", plan.fetch.height, int(plan.fetch["size"].sum())) as progress:
        fetched = pull.apply(plan, progress)
    if fetched.kept:
        say(f"set aside {plural(len(fetched.kept), 'damaged object')} in {plan.stores.cache.aside}", err=True)
    return fetched


def link(space: Workspace, plan: pull.Plan, *, set_aside: bool = False) -> None:
    """Link what was pulled into the working tree, as far as the cache has it.

    With `set_aside`, files that were changed by hand are moved into the cache's folder for that, else refused.
    """
    places = pull.placements(plan)
    with bar("linking", sum(len(place.files or ()) for place in places)) as progress:
        checkout.place(space.root, plan.stores.cache, places, progress, set_aside=set_aside)


def upload(space: Workspace, needed: Sequence[push.Needed], *, deep: bool = False, dry_run: bool = False) -> None:
    """Upload into staging the objects that neither staging nor production has intact."""
    with bar("reading staging", 0) as progress:
        plan = push.plan(needed, space.stores, deep=deep, progress=progress)
    say(str(plan))
    if plan.objects.height and not dry_run:
        with bar("pushing", plan.objects.height, plan.size) as progress:
            moved = push.apply(plan, progress)
        say(f"pushed {plural(plan.objects.height, 'object')}, {plural(moved, 'byte')}")
