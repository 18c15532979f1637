"""`registry show`."""

import json
from collections.abc import Iterator

import click

from registry.cli import listing, released_shards
from registry.cli.workspace import Workspace, here, warn
from registry.console import say
from registry.core import names, tombstones
from registry.errors import NotFound
from registry.integrations import git
from registry.release import erased_items, history, overview, stray_tags
from registry.release.history import Release
from registry.release.overview import Overview
from registry.scaffold import tooling

HERE = "URL"  # of a repository without a remote, in the commands of a consumer


@click.command()
@click.argument("name", metavar="ID[@vVERSION]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(name: str, form: str) -> None:
    """Show an artifact with all its releases, or one release, and the commands that fetch it."""
    space = here()
    artifact = names.parse_id(name.partition("@")[0])
    tag = names.parse_tag(name) if "@" in name else None
    one = listing.of(overview.find(space.tree, history.read(space.root, space.tree)), artifact)
    if one is None:
        raise NotFound(f"{artifact} does not exist", fix="registry list")
    [one] = released_shards.add(space, [one], [tag] if tag else None)
    url = tooling.normalize(git.remote_url(space.root)) if git.has_remote(space.root) else HERE
    if tag is None:
        say(json.dumps(overview.to_json(one), indent=2) if form == "json" else "\n".join(listing.artifact(one, url)))
        return
    chosen = next((release for release in one.releases if release.tag == tag), None)
    if chosen is None:
        stray = next((one for one in stray_tags.find(git.tag_refs(space.root)) if one.name == name), None)
        raise NotFound(f"{tag} {stray.why if stray else 'is not published'}", fix=f"registry show {artifact}")
    data = next(row for row in overview.to_json(one)["releases"] if row["tag"] == str(tag))
    say(json.dumps(data, indent=2) if form == "json" else "\n".join(_lines(space, one, chosen, url)))


def _lines(space: Workspace, one: Overview, chosen: Release, url: str) -> Iterator[str]:
    cases = tombstones.by_case(space.tombstones.values())
    images = erased_items.count(chosen, cases, space.read_object, warn)
    return listing.release(one, chosen, url, images, erased_items.find_files(chosen, cases))
