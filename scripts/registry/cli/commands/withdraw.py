"""`registry withdraw`."""

import click

from registry.cli.workspace import here


@click.command()
@click.argument("artifact", metavar="ID")
@click.argument("version")
@click.option("--why", metavar="TEXT", required=True, help="What is wrong with it, in one line for those who use it.")
@click.option("--dry-run", is_flag=True, help="Show what would be written.")
def command(artifact: str, version: str, why: str, *, dry_run: bool) -> None:
    """Say of a published version that nobody should use it any more, and why.

    The reason is written into the artifact's current manifest, and holds once that is merged. The version's tag and its
    objects stay: what was made with it can still be explained. ID is datasets/NAME or models/NAME.
    """
    from registry.core import names
    from registry.core.values import Tag
    from registry.integrations import git
    from registry.release import withdraw

    space = here()
    tag = Tag(names.parse_id(artifact), names.parse_version(version.removeprefix("v")))
    plan = withdraw.plan(space.tree, tag, why, names.find_tags(git.tag_names(space.root)))
    click.echo(str(plan))
    if dry_run or plan.is_empty:
        return
    withdraw.apply(plan, space.root)
    click.echo(
        f"hint: git switch -c withdraw-{tag.artifact.name}-{tag.version}; git add {plan.path}; "
        f"git commit -m 'Withdraw {tag.artifact} {tag.version}'; git push -u origin HEAD; then open a pull request"
    )
