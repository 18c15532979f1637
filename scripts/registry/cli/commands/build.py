"""`registry build`."""

import click

from registry.cli import clusters, preparing
from registry.cli.workspace import here
from registry.console import say
from registry.core import names


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--dry-run", is_flag=True, help="Print what the build would do, and write nothing.")
@clusters.option
@click.option("--exclude-faulty", is_flag=True, help="Add faulty images to exclude: in dataset.yaml, with reasons.")
def command(dataset: str, scheduler: str | None, *, dry_run: bool, exclude_faulty: bool) -> None:
    """Turn a selection into a version: validate and upload images, assign splits, write prepared.dvc and the card.

    The build fails on images that are missing, empty, damaged, of another type than their name says, or byte-identical
    to another image, and names them. What a decoder only warns of is a fault, too, unless dataset.yaml has
    images: {lenient: true}. Excluded images that are valid by now are named. Results of validation are cached, so a
    larger selection costs only its new images. Where lake and staging are S3 buckets at one endpoint, images are copied
    server-side and not validated: `registry check --images` and `registry build --exclude-faulty` validate them.
    """
    space, artifact = here(), names.parse_id(dataset)
    if dry_run:
        say(str(preparing.plan_build(space, artifact)))
        say(preparing.NOT_WRITTEN, err=True)
        return
    space = clusters.join(space, scheduler)
    say(str(preparing.build(space, artifact, exclude_faulty=exclude_faulty)))
    space.write_generated_files([artifact])
    say(f"hint: registry pull {artifact}; then git add {artifact} && git commit")
