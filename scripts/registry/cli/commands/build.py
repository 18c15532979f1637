"""`registry build`."""

from typing import TYPE_CHECKING

import click

from registry.cli.workspace import Workspace, here
from registry.core import layout, manifests, names

if TYPE_CHECKING:
    from registry.core.values import ArtifactId
    from registry.dataset.build import Built, Places, Plan


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--dry-run", is_flag=True, help="Show what there is to do, and do nothing.")
@click.option("--exclude-faulty", is_flag=True, help="Name images that cannot be used under exclude: in dataset.yaml.")
def command(dataset: str, *, dry_run: bool, exclude_faulty: bool) -> None:
    """Turn a selection into a version: prove every image, put it into staging, assign splits, write prepared.dvc.

    Images that are missing, empty, unreadable, of another type than their name says, or byte-identical to another are
    refused by name. What was read once is remembered, so a dataset that grows costs only the new part. Where lake and
    staging are S3 at one endpoint, images are copied there without coming here: `registry check --images` reads them,
    and so does a build with --exclude-faulty.
    """
    from registry.core.atomic_write import write_atomically
    from registry.dataset import build  # Polars

    space, artifact = here(), names.parse_id(dataset)
    if dry_run:
        click.echo(str(_plan(space, artifact, _places(space))))
        click.echo("nothing was written (--dry-run)", err=True)
        return
    try:
        built = _build(space, artifact, unseen=not exclude_faulty)
    except build.FaultyImages as error:
        if not exclude_faulty:
            raise
        path = layout.manifest_path(artifact)
        manifest = manifests.load_dataset(space.tree, artifact)
        write_atomically(space.root / path, build.exclude(manifest, space.tree.read(path), error.faults))
        click.echo(f"{len(error.faults):,} images are excluded now, each with its reason: see {path}")
        built = _build(Workspace(space.root), artifact, unseen=False)
    click.echo(str(built))
    click.echo(f"hint: {_next_step(artifact)}")


def _build(space: Workspace, artifact: "ArtifactId", *, unseen: bool) -> "Built":
    from registry.core.progress import bar
    from registry.dataset import build

    places = _places(space)
    plan = _plan(space, artifact, places)
    with bar("taking images", len(plan.unread)) as progress:
        return build.apply(plan, places, progress, unseen=unseen)


def _plan(space: Workspace, artifact: "ArtifactId", places: "Places") -> "Plan":
    from registry.dataset import build

    manifest = manifests.load_dataset(space.tree, artifact)
    click.echo(f"looking up the images of {artifact}", err=True)
    return build.plan(manifest, places)


def _places(space: Workspace) -> "Places":
    from registry.dataset.build import Places
    from registry.integrations import dvc
    from registry.storage.local import Folder
    from registry.storage.open import open_store

    remotes = (space.settings.lake, space.settings.staging, space.settings.production)
    return Places(
        space.root, *(open_store(remote, space.root) for remote in remotes), Folder(dvc.cache_dir(space.root))
    )


def _next_step(artifact: "ArtifactId") -> str:
    return f"registry pull {artifact}, to have the images here; then git add {artifact} and commit"
