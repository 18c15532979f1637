"""`registry init`."""

import sys

import click

from registry.cli.workspace import Workspace, here
from registry.core.atomic_write import write_atomically
from registry.scaffold import generated_files, init


@click.command()
@click.option("--name", help="The registry's name: acme-data.")
@click.option("--owner", "owners", multiple=True, help="Who answers for it: @user or @org/team; may be repeated.")
@click.option("--bucket", help="Where staging/ and production/ are to live: s3://acme-data, or a folder.")
@click.option("--staging", help="Instead of --bucket: where a pull request's objects wait: s3://acme-data-staging.")
@click.option("--production", help="Instead of --bucket: where published objects stay: s3://acme-data-production.")
@click.option("--public", help="Where everybody can read production over HTTP: https://data.acme.org.")
@click.option("--lake", help="Where the images are: s3://acme-images, or a folder.")
@click.option("--again", is_flag=True, help="Change a registry that was set up before.")
@click.option("--keep-example", is_flag=True, help="Keep datasets/cats_dogs and models/cats_dogs.")
@click.option("--dry-run", is_flag=True, help="Show what would change.")
def command(
    name: str | None,
    owners: tuple[str, ...],
    bucket: str | None,
    staging: str | None,
    production: str | None,
    public: str | None,
    lake: str | None,
    *,
    again: bool,
    keep_example: bool,
    dry_run: bool,
) -> None:
    """Make a fresh copy of the template your registry.

    What is not given is asked for at a terminal, and is an error elsewhere. Without `registry init` everything works
    too: the lake, staging and production are then folders under .registry/.
    """
    if bucket and (staging or production):
        raise click.UsageError("give either --bucket, or --staging and --production")
    space = here()
    name = name or _ask("--name", "The registry's name")
    owners = owners or tuple(_ask("--owner", "Who answers for it (@user or @org/team)").split())
    places = _split(bucket, staging, production)
    lake = lake or _ask("--lake", "Where the images are (a URL or a folder)")
    answers = init.Answers(name, owners, *places, lake, public or "")
    plan = init.plan(space.tree, answers, again=again, keep_example=keep_example)
    click.echo(str(plan))
    if dry_run:
        return
    init.apply(plan, space.root)
    for path, data in generated_files.expected(Workspace(space.root).tree).items():
        write_atomically(space.root / path, data)
    click.echo("hint: look at `git diff`, commit, then `registry new dataset NAME`")


def _split(bucket: str | None, staging: str | None, production: str | None) -> tuple[str, str]:
    """Where staging and production are to be."""
    if not staging and not production:
        question = "Where staging/ and production/ are to live (a URL or a folder)"
        return init.places_in(bucket or _ask("--bucket", question))
    return (
        staging or _ask("--staging", "Where a pull request's objects are to wait (a URL or a folder)"),
        production or _ask("--production", "Where published objects are to stay (a URL or a folder)"),
    )


def _ask(option: str, question: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{option} is missing")
    return click.prompt(question, err=True)
