"""`registry list`."""

import json
from collections.abc import Sequence

import click

from registry import git, listing, tags
from registry.workspace import here

HEADS = ("artifact", "version", "state", "published", "trained on", "owners")


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(form: str) -> None:
    """Show every artifact: its version, whether that is published, what it was trained on, who owns it."""
    space = here()
    rows = listing.rows(space.tree, tags.find_tags(git.tag_names(space.root)))
    if form == "json":
        click.echo(json.dumps([_as_json(row) for row in rows], indent=2))
    elif rows:
        click.echo(_table([HEADS, *(_cells(row) for row in rows)]))
    else:
        click.echo("nothing yet: start with `registry new dataset NAME`", err=True)


def _cells(row: listing.Row) -> tuple[str, ...]:
    shown = [f"v{version}" for version in row.published[:3]] + ["…"] * (len(row.published) > 3)
    version = str(row.version or "-")
    return (
        str(row.artifact),
        version,
        row.state,
        " ".join(shown) or "-",
        str(row.trained_on or "-"),
        " ".join(row.owners) or "-",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _as_json(row: listing.Row) -> dict[str, object]:
    return {
        "artifact": str(row.artifact),
        "version": str(row.version) if row.version else None,
        "state": row.state,
        "published": [str(version) for version in row.published],
        "title": row.title,
        "owners": list(row.owners),
        "trained_on": str(row.trained_on) if row.trained_on else None,
        "used_by": [str(artifact) for artifact in row.used_by],
    }
