"""`registry demo`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from registry.core.extras import DISTRIBUTION
from registry.demo import backbone, handwriting, pictures, story
from registry.demo.scene import Scene
from registry.demo.seaweedfs import S3Server
from registry.errors import NotFound, Refused

INSTALL = f"make demo; outside of a registry, pip install '{DISTRIBUTION}[registry,hooks,train,demo] @ git+URL'"


@click.command()
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="A folder with a folder of images per class. Default: handwriting.",
)
@click.option(
    "--backbone",
    "network",
    type=click.Path(path_type=Path),
    help="An ONNX file, features or a classifier, for the third release. Default: the second release's network.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="The folder for the scratch registry. Default: a new temporary folder.",
)
@click.option("--s3", is_flag=True, help="Store data in a local S3 server (SeaweedFS) instead of folders.")
def command(images: Path | None, network: Path | None, directory: Path | None, *, s3: bool) -> None:
    """Run the whole workflow on a scratch registry: three releases, an old version restored, a consumer.

    The third release is a head on the features of another network (--backbone).

    It needs no checkout: the registry of the story is made in a new folder. No data leaves this machine.
    """
    if directory and directory.exists() and any(directory.iterdir()):
        raise Refused(f"{directory} is not empty", fix="name a new folder, or omit --directory")
    _require_modules()
    album = pictures.folder(images) if images else pictures.handwriting(handwriting.fetch())
    pictures.require_filled_splits(album)
    given = backbone.read(network) if network else None
    top = (directory or Path(tempfile.mkdtemp(prefix="registry-demo-"))).resolve()
    top.mkdir(parents=True, exist_ok=True)
    with _stores(top, is_s3=s3) as (bucket, lake):
        story.run_all(Scene(top, album, bucket, lake, given))


def _require_modules() -> None:
    """Raises NotFound before anything is made where the story would end for want of a package."""
    missing = [name for name in story.MODULES if find_spec(name) is None]
    if missing:
        raise NotFound(f"the demo needs packages that are not installed: {', '.join(missing)}", fix=INSTALL)


@contextmanager
def _stores(top: Path, *, is_s3: bool) -> Iterator[tuple[str, str]]:
    """The locations of staging and production, and of the lake: folders, or buckets of an S3 server."""
    if not is_s3:
        yield str(top / "storage"), str(top / "storage" / "lake")
        return
    with S3Server(top / "storage", buckets=("data", "lake")) as server:
        os.environ.update(server.env())
        click.echo(f"SeaweedFS is running at {server.url}; it is stopped at the end of the demo")
        yield "s3://data", "s3://lake"
