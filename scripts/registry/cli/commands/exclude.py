"""`registry exclude`."""

import click

from registry.cli import preparing
from registry.cli.workspace import here
from registry.console import say
from registry.core import names


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.argument("uuids", metavar="UUID...", nargs=-1, required=True)
@click.option("--why", metavar="TEXT", required=True, help="The reason, in one line; it is written beside each UUID.")
def command(dataset: str, uuids: tuple[str, ...], why: str) -> None:
    """Leave selected images out of a dataset: add their UUIDs to exclude: in dataset.yaml, with the reason.

    Every UUID must be one of the selection. An image that is excluded already keeps its reason. The next build leaves
    them out; the lake, and versions that are published, keep them.
    """
    space, artifact = here(), names.parse_id(dataset)
    added = preparing.exclude(space, artifact, uuids, why)
    say(f"hint: registry build {artifact}" if added else "nothing to do: all of them are excluded already")
