"""`registry protect`."""

import click

from registry.cli.workspace import here
from registry.integrations import github
from registry.release import github_protection


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Print the differences, and change nothing.")
@click.option("--apply", "change", is_flag=True, help="Recompute the differences, print them, and apply them.")
@click.option(
    "--publisher", metavar="APP_ID", type=click.IntRange(min=1), help="Let only this GitHub App create release tags."
)
def command(publisher: int | None, *, only_plan: bool, change: bool) -> None:
    """Configure branch protection, tag rules, environments and labels on GitHub.

    The main branch: changes only by pull request, with the status registry/gate and a review by a code owner; no
    deletion, no force push. Release tags: no update, no deletion. Environments: gpu and assign require a review by the
    registry's owners; all but gpu are limited to the main branch. Needs an administrator's token. With --publisher,
    publish.yml must push with that App's token: GitHub cannot exempt GITHUB_TOKEN from such a rule.
    """
    if only_plan == change:
        raise click.UsageError("choose --plan (print the differences) or --apply (apply them)")
    space = here()
    plan = github_protection.plan(github.connect(space.root), space.registry_file.owners, publisher)
    click.echo(str(plan))
    if change and not plan.is_empty:
        github_protection.apply(plan)
        click.echo(f"{plan.repository}: protection configured")
