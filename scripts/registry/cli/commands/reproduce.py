"""`registry reproduce`."""

from datetime import UTC, datetime
from pathlib import Path

import click

from registry.cli import transferring, withdrawals
from registry.cli.workspace import Workspace, here
from registry.console import say
from registry.core import layout, reproductions
from registry.core.names import find_tags
from registry.core.reproductions import Reproduction
from registry.errors import LoginEnded, Refused
from registry.integrations import git, git_trees, hardware
from registry.model import reproduce
from registry.scaffold import tooling
from registry.sync import pull


@click.command()
@click.argument("tags", nargs=-1, metavar="[models/NAME@vVERSION]...")
@click.option("--latest", is_flag=True, help="The latest published version of each model that is not withdrawn.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add the results to this file, which `registry ci record-reproductions` publishes.",
)
def command(tags: tuple[str, ...], out: Path | None, *, latest: bool) -> None:
    """Train a published model again from its tag, and compare the metrics.

    Training runs in a temporary worktree, which is removed afterwards; your working tree is not changed. Metrics must
    agree within reproduce.tolerance of that version's manifest; without a tolerance they must be identical.
    """
    if bool(tags) == latest:
        raise click.UsageError("name tags such as models/NAME@v1.0.0, or use --latest")
    space = here()
    wanted = tags or reproduce.latest_tags(space.tree, find_tags(git.tag_names(space.root)))
    failed, ended = list[str](), None
    for tag in map(str, wanted):
        try:
            failed += [] if _reproduce(space, tag, out) else [tag]
        except LoginEnded as error:
            ended = error
            break
    if failed:
        verb, rest = "was" if len(failed) == 1 else "were", f"; then {ended.message}" if ended else ""
        fix = "compare the versions of libraries, the hardware and random seeds with the original run"
        raise Refused(f"{', '.join(failed)} {verb} not reproduced{rest}", fix=fix)
    if ended:
        raise ended
    if not wanted:
        say("no model is published yet: nothing to reproduce")


def _reproduce(space: Workspace, tag: str, out: Path | None) -> bool:
    """Whether the metrics of a tag were reproduced, which is added to the file `out`."""
    plan = reproduce.plan(space.root, tag)
    say(str(plan))
    with git_trees.Revision(space.root, plan.commit) as tree:
        used = filter(None, (layout.owner_of(one.output.path) for one in plan.inputs))
        withdrawals.warn_of_versions(space.root, tree, [plan.tag.artifact, *used])
    needed = transferring.plan_pull(space, (pull.Want(reached, reached.output.path) for reached in plan.inputs))
    pull.require_all(needed, transferring.fetch(needed))
    rows = reproduce.apply(plan, space.root, space.cache_dir)
    say(reproduce.format_table(rows))
    same = reproduce.is_reproduced(rows)
    if out:
        differing = tuple(row.metric for row in rows if not row.is_reproduced)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        done = Reproduction(plan.tag, time, differing, str(tooling.read()), hardware.machine())
        with out.open("a", encoding="utf-8") as file:
            file.write(reproductions.write(done))
    if same:
        say(f"{plan.tag}: reproduced")
    return same
