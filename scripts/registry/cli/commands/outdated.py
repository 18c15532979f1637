"""`registry outdated`."""

from pathlib import Path

import click

from registry.cli.workspace import warn
from registry.client import imports
from registry.client.imports import State, Verdict
from registry.console import say
from registry.core import documents, wording


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", help="By default text.")
@click.pass_context
def command(ctx: click.Context, folder: Path, *, form: str) -> None:
    """List the releases that a repository imports with DVC, and those that are withdrawn or have a newer version.

    It looks at every .dvc file below FOLDER that `dvc import` wrote for a release, and asks each registry once. Those
    that are withdrawn come first, with the reason. Nothing is changed. The exit code is 1 if an import is withdrawn or
    outdated, or if its registry cannot be read, so that a scheduled job that runs this fails; 0 if all are current.
    """
    verdicts = imports.judge(folder, list(imports.find(folder, warn)), warn)
    if form == "json":
        say(documents.write_json([_row(one) for one in verdicts]).decode())
    else:
        for one in verdicts:
            say(f"{one}" + (f"\n  then: {one.update}" if one.update else ""))
        counts = [f"{count} {state.name.lower()}" for state in State if (count := _count(verdicts, state))]
        say(f"{wording.plural(len(verdicts), 'import')}{': ' if counts else ''}{', '.join(counts)}", err=True)
    ctx.exit(int(any(one.state is not State.CURRENT for one in verdicts)))


def _count(verdicts: tuple[Verdict, ...], state: State) -> int:
    return sum(one.state is state for one in verdicts)


def _row(one: Verdict) -> dict[str, object]:
    """An import for programs; `newer` is null where there is no better version."""
    return {
        "file": one.found.file,
        "repository": one.found.url,
        "release": str(one.found.tag),
        "state": one.state.name.lower(),
        "reason": one.reason or None,
        "newer": str(one.newer) if one.newer else None,
        "update": one.update or None,
    }
