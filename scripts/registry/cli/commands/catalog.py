"""`registry catalog`."""

from pathlib import Path

import click

from registry.catalog import folder, writing
from registry.catalog.options import Options
from registry.catalog.site import Catalog
from registry.cli import clusters, released_shards
from registry.cli.workspace import here, warn
from registry.console import say
from registry.core import settings
from registry.core.progress import waiting
from registry.core.settings import CatalogImages
from registry.core.wording import plural
from registry.dataset import perceptual_hash
from registry.errors import Refused
from registry.integrations import git, git_trees
from registry.release import history, overview
from registry.scaffold import tooling
from registry.storage import dvc_config


@click.group()
def command() -> None:
    """A web site of all artifacts and releases."""


@command.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder of the site.")
@click.option(
    "--url",
    default="",
    metavar="URL",
    help="Where the site will be, for its feed; without it, where `catalog:` in registry.yaml says.",
)
@click.option(
    "--onnxruntime-web",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="The folder dist of onnxruntime-web, for `catalog: {try_it: true}`; npm's registry without it.",
)
@clusters.option
def build(out: Path, url: str, onnxruntime_web: Path | None, scheduler: str | None) -> None:
    """Write the catalog: pages, registry.json and a feed of releases. index.html opens from the folder.

    Pages that are right already are left as they are, and those of artifacts and releases that are gone are removed.
    Other files in the folder are left alone.
    """
    space = here()
    if out.exists() and any(out.iterdir()) and not (out / folder.RECORD).is_file():
        raise Refused(f"{out} has files that are no catalog", fix="name an empty or new folder")
    if space.registry_file.catalog_images is not CatalogImages.NONE:
        space = clusters.join(space, scheduler)
    with waiting("reading releases"):
        found = overview.find(space.tree, history.read(space.root, space.tree))
        found = released_shards.add(space, found)
    repository = tooling.normalize(git.remote_url(space.root)) if git.has_remote(space.root) else space.root.as_uri()
    address = settings.address(url) or space.registry_file.catalog_url
    objects = settings.public_address(dvc_config.parse(space.tree.read(settings.DVC_CONFIG)))
    tombstones = tuple(case for _, case in sorted(space.tombstones.items()))
    catalog = Catalog(space.registry_file.name, found, repository, address, objects, tombstones=tombstones)
    with git_trees.Commits(space.root) as commits:
        hashes = space.cache_dir / perceptual_hash.PATH
        options = Options(
            space.reader, commits.tree, hashes, space.registry_file.catalog_images, warn, space.erased,
            space.registry_file.try_it, onnxruntime_web,
        )  # fmt: skip
        done = writing.write(out, catalog, options)
    say(f"{out / 'index.html'}: {plural(done.kept, 'file')}, {done.written:,} written, {done.removed:,} removed")
    if done.erased:
        say(f"erased images and tables are named on the pages of {plural(done.erased, 'release')}")
