"""`registry select`."""

import click

from registry.cli import preparing
from registry.cli.workspace import here
from registry.console import say
from registry.core import names
from registry.dataset.file_control import How


@click.command()
@click.argument("dataset", metavar="datasets/NAME")
@click.option("--from", "export", metavar="FILE|URL", help="Read this exported file, or the delivery at this URL.")
@click.option("--timezone", metavar="ZONE", help="The time zone of times in the file that name none: Europe/Berlin.")
@click.option("--complete", is_flag=True, help="Confirm that a file has all rows although it has as many as a limit.")
@click.option("--sql", is_flag=True, help="Print the SQL that Looker generates for the query, and run nothing.")
@click.option("--dry-run", is_flag=True, help="Run the query, validate and compare its result, and write nothing.")
def command(
    dataset: str, export: str | None, timezone: str | None, *, complete: bool, sql: bool, dry_run: bool
) -> None:
    """Run a dataset's Looker query, or read an export, and record the selected images.

    The manifest defines the query, and the columns and types of its result. If rows do not match, they are listed and
    nothing is written. Looker's API key is read from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and
    LOOKERSDK_CLIENT_SECRET, or from looker.ini. Writes raw/selection.parquet and raw.dvc.

    A file is CSV, TSV, JSON or Parquet, or one of them in a ZIP or gzip file. A delivery is an object at s3://, gs://,
    azure:// or https://, or the newest in a folder (a URL that ends in /); one that was selected before is not read
    again. A file with as many rows as Looker's downloads or a spreadsheet have at most (500, 5,000, 100,000, …) may be
    cut off, and is refused unless --complete confirms it.
    """
    space, artifact = here(), names.parse_id(dataset)
    if sql:
        if export:
            raise click.UsageError("--sql is about the query: leave --from out")
        say(preparing.generated_sql(space, artifact))
        return
    how = How(timezone, is_complete=complete) if timezone or complete else None
    plan = preparing.select(space, artifact, export, how, dry_run=dry_run)
    if plan and not dry_run:
        say(f"hint: registry build {artifact}")
