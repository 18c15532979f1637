"""`registry train`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here

if TYPE_CHECKING:
    from registry.core.values import ArtifactId
    from registry.model.train import Plan


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
    from registry.core import names
    from registry.model import train, training_results

    space = here()
    wanted = {names.parse_id(text) for text in models}
    plan = _plan(space, base, wanted)
    click.echo(str(plan))
    if dry_run or not plan.models:
        return
    _pull(space, plan.targets)
    train.apply(plan, space.root)
    space = Workspace(space.root)
    trained = [model.id for model in plan.models]
    _push(space, trained)
    if hand_over:
        paths = training_results.pack(space.root, trained, hand_over)
        click.echo(f"handed over in {hand_over}: {len(paths):,} files")


def _plan(space: Workspace, base: str | None, wanted: "set[ArtifactId]") -> "Plan":
    from registry.checks import collect, runner
    from registry.integrations.git_trees import History
    from registry.model import train

    change = collect.since(space.root, base) if base else collect.everything(space.root)
    with History(space.root) as history:
        outcomes = runner.run(collect.gather(change, history, lambda _: None))
    return train.plan(space.tree, (one for one in outcomes if not wanted or one.artifact in wanted))


def _pull(space: Workspace, targets: tuple[str, ...]) -> None:
    from registry.core.progress import bar
    from registry.integrations import dvc
    from registry.storage.stores import Stores
    from registry.sync import checkout, pull

    wants, _ = pull.wanted(space.tree, targets)
    cache = dvc.cache_dir(space.root)
    plan = pull.plan(wants, Stores(space.root, space.settings))
    with bar("pulling", plan.fetch.height) as progress:
        fetched = pull.apply(plan, progress)
    checkout.place(space.root, cache, pull.placements(plan))
    pull.require_all(plan, fetched)


def _push(space: Workspace, trained: "list[ArtifactId]") -> None:
    from registry.core.progress import bar
    from registry.storage.stores import Stores
    from registry.sync import inventory, push

    reached = tuple(one for model in trained for one in inventory.reached(space.tree, model))
    plan = push.plan([push.Needed("the working tree", reached)], Stores(space.root, space.settings))
    with bar("pushing", plan.objects.height) as progress:
        moved = push.apply(plan, progress)
    click.echo(f"pushed {plan.objects.height:,} objects, {moved:,} bytes")
