"""`registry protect`."""

import click

from registry.cli.workspace import here


@click.command()
@click.option("--plan", "only_plan", is_flag=True, help="Show what differs; change nothing.")
@click.option("--apply", "do_it", is_flag=True, help="Look anew, show it, and put it right.")
@click.option(
    "--publisher", metavar="APP_ID", type=click.IntRange(min=1), help="The GitHub App that alone may make release tags."
)
def command(publisher: int | None, *, only_plan: bool, do_it: bool) -> None:
    """Have GitHub keep the promises: rulesets, environments of the jobs, labels.

    Main: only by pull request, with the status registry/gate and a review by CODEOWNERS; never deleted or rewritten.
    Tags of releases: never moved or deleted. Environments: gpu and assign ask the registry's owners; all but gpu are
    for main alone. Needs an administrator's token. With --publisher, publish.yml has to push with that App's token:
    GitHub exempts no job's own token from such a rule.
    """
    from registry.integrations import github
    from registry.release import github_protection

    if only_plan == do_it:
        raise click.UsageError("say --plan (show what differs) or --apply (put it right)")
    space = here()
    plan = github_protection.plan(github.connect(space.root), space.settings.owners, publisher)
    click.echo(str(plan))
    if do_it and not plan.is_empty:
        github_protection.apply(plan)
        click.echo(f"{plan.repository} is protected")
