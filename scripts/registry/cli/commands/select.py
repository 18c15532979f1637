"""`registry select`."""

from pathlib import Path

import click

from registry.cli import preparing
from registry.cli.workspace import here
from registry.core import names
from registry.dataset.select import How


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--from", "export", type=click.Path(path_type=Path), help="Read this exported CSV, TSV, JSON or Parquet.")
@click.option("--timezone", metavar="ZONE", help="The time zone of times in the file that name none: Europe/Berlin.")
@click.option("--complete", is_flag=True, help="Confirm that a file has all rows although it has as many as a limit.")
@click.option("--dry-run", is_flag=True, help="Run the query, validate and compare its result, and write nothing.")
def command(dataset: str, export: Path | None, timezone: str | None, *, complete: bool, dry_run: bool) -> None:
    """Run a dataset's Looker query, or read an export, and record the selected images.

    The manifest defines the query, and the columns and types of its result. If rows do not match, they are listed and
    nothing is written. Looker's API key is read from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and
    LOOKERSDK_CLIENT_SECRET, or from looker.ini. A file with as many rows as Looker's downloads or a spreadsheet have at
    most (500, 5,000, 100,000, …) may be cut off, and is refused unless --complete confirms it. Writes
    raw/selection.parquet and raw.dvc.
    """
    space, artifact = here(), names.parse_id(dataset)
    if (timezone or complete) and not export:
        option = "--timezone" if timezone else "--complete"
        raise click.UsageError(f"{option} is about a file: give --from too")
    preparing.select(space, artifact, export, How(timezone, is_complete=complete), dry_run=dry_run)
    if not dry_run:
        click.echo(f"hint: registry build {artifact}")
