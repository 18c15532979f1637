"""`registry select`."""

from pathlib import Path

import click

from registry.cli.workspace import here
from registry.core import manifests, names
from registry.integrations import dvc


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--from", "file", type=click.Path(path_type=Path), help="An exported CSV, Parquet or JSON file.")
@click.option("--dry-run", is_flag=True, help="Ask, judge and compare, but write nothing.")
def command(dataset: str, file: Path | None, *, dry_run: bool) -> None:
    """Ask Looker, or read an export, which images a dataset has.

    The manifest says what to ask and what the rows must hold; rows that do not hold it are named, and nothing is
    written. Looker's API key comes from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET or from
    looker.ini. Writes raw/selection.parquet and raw.dvc.
    """
    from registry.dataset import select  # Polars

    space = here()
    manifest = manifests.load_dataset(space.tree, names.parse_id(dataset))
    known = select.before(space.root, manifest.id)
    if file:
        click.echo(f"reading {file}", err=True)
    rows = select.from_export(manifest, file) if file else select.from_looker(manifest, space.root)
    plan = select.plan(manifest.id, rows, known)
    click.echo(str(plan))
    if dry_run:
        click.echo("nothing was written (--dry-run)", err=True)
        return
    select.apply(plan, space.root, dvc.cache_dir(space.root))
    click.echo(f"hint: registry build {manifest.id}")
