"""`registry dossier`."""

from pathlib import Path

import click

from registry.cli.workspace import here
from registry.console import say
from registry.core import names
from registry.core.atomic_write import write_atomically
from registry.integrations import git
from registry.release import dossier, dossier_facts, dossier_text, history
from registry.scaffold import tooling

HERE = "URL"  # of a repository without a remote, in the commands of a consumer


@click.command()
@click.argument("tag", metavar="ID@vVERSION")
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; by default, print it.")
def command(tag: str, form: str, *, out: Path | None) -> None:
    """Write down what is recorded of a release, for the technical documentation of the EU AI Act.

    The order is that of Annex IV, and for data that of the public summary of training content. What a registry cannot
    know is marked «to be written by a person». It says of nothing that it complies with a law.
    """
    space = here()
    wanted = names.parse_tag(tag)
    url = tooling.normalize(git.remote_url(space.root)) if git.has_remote(space.root) else HERE
    subject = dossier_facts.collect(space.root, history.read(space.root, space.tree), wanted, url)
    sections = dossier.write(subject)
    text = (dossier_text.to_json if form == "json" else dossier_text.to_markdown)(wanted, sections)
    if out is None:
        say(text.rstrip("\n"))
        return
    write_atomically(out, text.encode())
    gaps = sum(len(item.gaps) for section in sections for item in section.items)
    say(f"{out}: the dossier of {tag}, with {gaps} gaps to be written by a person")
