"""`registry demo`."""

import sys
import tempfile
from pathlib import Path

import click

from registry.errors import Refused
from registry.workspace import here


@click.command()
@click.option("--images", type=click.Path(path_type=Path), help="A folder of class folders; handwriting when left out.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to put the scratch copy; a new temporary folder when left out.",
)
def command(images: Path | None, directory: Path | None) -> None:
    """Tell the whole story on a scratch copy: two releases, back in time, a consumer.

    Your checkout is not touched, and nothing leaves this machine.
    """
    from registry.demo import pictures, story

    space = here()
    top = (directory or Path(tempfile.mkdtemp(prefix="registry-demo-"))).resolve()
    if top.exists() and any(top.iterdir()):
        raise Refused(f"{top} is not empty", fix="give a new folder, or none")
    album = pictures.folder(images) if images else pictures.handwriting(Path(sys.prefix) / "handwriting")
    top.mkdir(parents=True, exist_ok=True)
    story.tell(story.Scene(space.root, top, album))
