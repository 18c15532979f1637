"""`registry list`."""

import json

import click

from registry.cli import listing
from registry.cli.workspace import here, warn
from registry.console import say
from registry.errors import SHOWN
from registry.integrations import git
from registry.release import history, overview, stray_tags


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(form: str) -> None:
    """List every artifact: the state of its version, and its releases with what they were made from and who uses them.

    The state is one of not built, not trained, not measured (a model that was trained elsewhere), to publish,
    published, withdrawn, removed, invalid manifest, invalid files. A release has its date, [stages], size, the releases
    that it was made from, those that use it, and the reason if it was withdrawn. JSON has all of them and more.
    """
    space = here()
    if git.is_shallow(space.root):
        warn("this clone is shallow, and may lack tags: git fetch --unshallow --tags shows every release")
    found = overview.find(space.tree, history.read(space.root, space.tree))
    if strays := stray_tags.find(git.tag_refs(space.root)):
        named = "\n  ".join(map(str, strays[:SHOWN]))
        warn(f"tags that are no release and no stage:\n  {named}\n  hint: {stray_tags.FIX}")
    if form == "json":
        say(json.dumps([overview.to_json(one) for one in found], indent=2))
    elif found:
        say("\n\n".join("\n".join(listing.row(one)) for one in found))
    else:
        say("there is no artifact yet\n  hint: registry new dataset NAME", err=True)
