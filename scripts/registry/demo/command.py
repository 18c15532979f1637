"""`registry demo`."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from registry.cli.workspace import here
from registry.errors import Refused


@click.command()
@click.option("--images", type=click.Path(path_type=Path), help="A folder of class folders; handwriting when left out.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to put the scratch copy; a new temporary folder when left out.",
)
@click.option(
    "--s3", is_flag=True, help="Keep the bytes in an S3 server (SeaweedFS) that is started for it, not in folders."
)
def command(images: Path | None, directory: Path | None, *, s3: bool) -> None:
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
    with _stores(top, is_s3=s3) as (bucket, lake):
        story.tell(story.Scene(space.root, top, album, bucket, lake))


@contextmanager
def _stores(top: Path, *, is_s3: bool) -> Iterator[tuple[str, str]]:
    """Where the story's bytes live: folders, or buckets of a SeaweedFS that is stopped at the end."""
    if not is_s3:
        yield str(top / "storage"), str(top / "storage" / "lake")
        return
    from registry.demo.seaweedfs import S3Server

    with S3Server(top / "storage", buckets=("data", "lake")) as server:
        os.environ.update(server.env())
        click.echo(f"SeaweedFS answers at {server.url}; it stops when the story ends")
        yield "s3://data", "s3://lake"
