"""`registry train`."""

from collections.abc import Collection
from pathlib import Path

import click

from registry.checks import collect, runner
from registry.cli import transferring, withdrawals
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import names
from registry.core.values import ArtifactId
from registry.core.wording import plural
from registry.integrations.git_trees import History
from registry.model import train, training_results
from registry.sync import inventory, pull, push


@click.command()
@click.argument("models", nargs=-1, metavar="[models/NAME]...")
@click.option("--base", metavar="REVISION", help="Only what changed since the merge base of REVISION: origin/main.")
@click.option("--results", type=click.Path(path_type=Path), help="Copy the files to commit to this folder, for CI.")
@click.option("--dry-run", is_flag=True, help="Print what would be trained, and train nothing.")
def command(models: tuple[str, ...], base: str | None, results: Path | None, *, dry_run: bool) -> None:
    """Train the models that a change made out of date, and upload the results to staging.

    Pulls the data and runs `dvc repro` for each model whose code, parameters or dataset differ from those that it was
    trained with, then for the models that build on one of these. Commit the changed files afterwards: dvc.lock,
    metrics, plots and the cards.
    """
    space = here()
    plan = _plan(space, base, {names.parse_id(text) for text in models})
    say(str(plan))
    if dry_run or not plan.models:
        return
    withdrawals.warn_of_versions(space.root, space.tree, (*plan.datasets, *plan.backbones))
    _pull(space, plan.targets)
    train.apply(plan, space.root)
    space = Workspace(space.root)
    trained = [model.id for model in plan.models]
    space.write_generated_files(trained)
    reached = tuple(reached for model in trained for reached in inventory.reached(space.tree, model))
    transferring.upload(space, [push.Needed("the working tree", reached)])
    if results:
        paths = training_results.pack(space.root, trained, results)
        say(f"copied {plural(len(paths), 'file')} to {results}")


def _plan(space: Workspace, base: str | None, wanted: Collection[ArtifactId]) -> train.Plan:
    change = collect.since(space.root, base) if base else collect.everything(space.root)
    with History(space.root) as history:
        outcomes = runner.run(collect.gather(change, history, lambda _: None))
    return train.plan(space.tree, outcomes, wanted)


def _pull(space: Workspace, targets: tuple[str, ...]) -> None:
    wants, _ = pull.wanted(space.tree, targets)
    plan = transferring.plan_pull(space, wants)
    fetched = transferring.fetch(plan, to_link=True)
    transferring.link(space, plan)
    pull.require_all(plan, fetched)
