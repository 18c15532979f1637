"""`registry select`."""

from pathlib import Path

import click

from registry.cli import preparing
from registry.cli.workspace import here
from registry.core import names


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--from", "export", type=click.Path(path_type=Path), help="Read this exported CSV, TSV, JSON or Parquet.")
@click.option("--dry-run", is_flag=True, help="Run the query, validate and compare its result, and write nothing.")
def command(dataset: str, export: Path | None, *, dry_run: bool) -> None:
    """Run a dataset's Looker query, or read an export, and record the selected images.

    The manifest defines the query, and the columns and types of its result. If rows do not match, they are listed and
    nothing is written. Looker's API key is read from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and
    LOOKERSDK_CLIENT_SECRET, or from looker.ini. Writes raw/selection.parquet and raw.dvc.
    """
    space, artifact = here(), names.parse_id(dataset)
    preparing.select(space, artifact, export, dry_run=dry_run)
    if not dry_run:
        click.echo(f"hint: registry build {artifact}")
