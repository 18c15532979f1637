"""`registry train`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.workspace import Workspace, here

if TYPE_CHECKING:
    from registry.train import Plan
    from registry.values import ArtifactId


@click.command()
@click.argument("models", nargs=-1, metavar="[models/NAME]...")
@click.option("--base", metavar="REVISION", help="Only what changed since the working tree left REVISION: origin/main.")
@click.option("--hand-over", type=click.Path(path_type=Path), help="Copy what belongs into Git to this folder.")
@click.option("--dry-run", is_flag=True, help="Show what would be trained.")
def command(models: tuple[str, ...], base: str | None, hand_over: Path | None, *, dry_run: bool) -> None:
    """Train every model that a change made stale, and put what came out into staging.

    Brings the data that it needs and runs `dvc repro`: once for each model whose code, parameters or dataset are others
    than those it was trained with. Then commit what changed: dvc.lock, metrics and plots.
    """
    from registry import handover, tags, train

    space = here()
    wanted = {tags.parse_id(text) for text in models}
    plan = _plan(space, base, wanted)
    click.echo(str(plan))
    if dry_run or not plan.models:
        return
    _pull(space, plan.targets)
    train.apply(plan, space.root)
    space = Workspace(space.root)
    trained = [model for model, _ in plan.models]
    _push(space, trained)
    if hand_over:
        paths = handover.pack(space.root, trained, hand_over)
        click.echo(f"handed over in {hand_over}: {len(paths):,} files")


def _plan(space: Workspace, base: str | None, wanted: "set[ArtifactId]") -> "Plan":
    from registry import check, facts, train
    from registry.git import History

    change = facts.since(space.root, base) if base else facts.everything(space.root)
    with History(space.root) as history:
        outcomes = check.run(facts.gather(change, history, lambda _: None))
    return train.plan(space.tree, (one for one in outcomes if not wanted or one.artifact in wanted))


def _pull(space: Workspace, targets: tuple[str, ...]) -> None:
    from registry import dvc, links, pull
    from registry.progress import bar

    wants, _ = pull.wanted(space.tree, targets)
    cache = dvc.cache_dir(space.root)
    plan = pull.plan(wants, pull.stores(space.root, space.settings, cache))
    with bar("pulling", plan.fetch.height) as progress:
        fetched = pull.apply(plan, progress)
    links.place(space.root, cache, pull.placements(plan))
    pull.demand_all(plan, fetched)


def _push(space: Workspace, trained: "list[ArtifactId]") -> None:
    from registry import dvc, objects, push
    from registry.progress import bar
    from registry.storage import open_store
    from registry.stores import Folder

    caches = tuple(Folder(path) for path in dvc.cache_dirs(space.root))
    remotes = (open_store(remote, space.root) for remote in (space.settings.staging, space.settings.production))
    reached = tuple(one for model in trained for one in objects.reached(space.tree, model))
    plan = push.plan([push.Needed("the working tree", reached)], push.Stores(caches, *remotes))
    with bar("pushing", plan.objects.height) as progress:
        moved = push.apply(plan, progress)
    click.echo(f"pushed {plan.objects.height:,} objects, {moved:,} bytes")
