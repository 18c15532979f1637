"""`registry protect`."""

import re
from collections.abc import Iterator

import click

from registry.cli.workspace import here
from registry.console import say
from registry.core.tree import Tree
from registry.errors import RegistryError
from registry.integrations import github
from registry.release import github_protection
from registry.release.github_protection import Wanted

_USES = re.compile(rb"^\s*(?:- )?uses: ([\w.-]+/[\w./-]+@[0-9a-f]{40})\b", re.MULTILINE)


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Print the differences, and change nothing.")
@click.option("--apply", "change", is_flag=True, help="Recompute the differences, print them, and apply them.")
@click.option("--solo", is_flag=True, help="Require no review. Without it: only if one person alone can write.")
@click.option(
    "--publisher", metavar="APP_ID", type=click.IntRange(min=1), help="Let only this GitHub App create release tags."
)
def command(publisher: int | None, *, only_plan: bool, change: bool, solo: bool) -> None:
    """Configure branch protection, tag rules, environments and Actions on GitHub.

    The main branch: changes only by pull request, with the status registry/gate and a review by a code owner; no
    deletion, no force push. Release tags: no update, no deletion. Environments: gpu and assign require a review by the
    registry's owners; all but gpu are limited to the main branch. Actions: runs of forks wait for an approval,
    workflows may open pull requests. What GitHub refuses, such as rules that the plan does not have, is left open; the
    rest is applied, and the exit code is 1.

    Needs an administrator's token. With --publisher, publish.yml must push with that App's token: GitHub cannot exempt
    GITHUB_TOKEN from such a rule.
    """
    if only_plan == change:
        raise click.UsageError("choose --plan (print the differences) or --apply (apply them)")
    space = here()
    wanted = Wanted(space.registry_file.owners, tuple(_actions(space.tree)), publisher, solo)
    plan = github_protection.plan(github.connect(space.root), wanted)
    say(str(plan))
    gaps = github_protection.apply(plan) if change else plan.gaps
    for line in (*(f"note: {note}" for note in plan.notes), *map(str, gaps)):
        say(line)
    if change and gaps:
        count = f"{len(gaps)} protection{'s are' if len(gaps) > 1 else ' is'} left open"
        raise RegistryError(
            f"{plan.repository}: {count}", fix="registry protect --apply, after the changes named above"
        )
    if change:
        say(f"{plan.repository}: protection is complete")


def _actions(tree: Tree) -> Iterator[str]:
    """The actions of the workflows, as OWNER/NAME@COMMIT, each once."""
    files = [entry.path for entry in tree.list(".github") if entry.path.endswith((".yml", ".yaml"))]
    yield from sorted({name.decode() for path in files for name in _USES.findall(tree.read(path))})
