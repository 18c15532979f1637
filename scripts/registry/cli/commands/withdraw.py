"""`registry withdraw`."""

from collections.abc import Collection, Iterator
from pathlib import Path

import click

from registry.cli.workspace import here
from registry.console import say
from registry.core import names
from registry.core.values import Tag
from registry.integrations import git
from registry.release import merged_versions, withdraw


@click.command()
@click.argument("artifact", metavar="ID")
@click.argument("version")
@click.option("--why", metavar="TEXT", required=True, help="The reason, in one line for people who use the version.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
def command(artifact: str, version: str, why: str, *, dry_run: bool) -> None:
    """Mark a published version as withdrawn, with a reason; or one that was merged and cannot be published.

    The reason is written to the artifact's current manifest and takes effect when that is merged. The version's tag and
    objects stay, so that results based on it can still be explained. ID is datasets/NAME or models/NAME.
    """
    space = here()
    tag = Tag(names.parse_id(artifact), names.parse_version(version.removeprefix("v")))
    published = names.find_tags(git.tag_names(space.root))
    plan = withdraw.plan(space.tree, tag, why, sorted({*published, *_left_behind(space.root, published)}))
    say(str(plan))
    if dry_run or plan.is_empty:
        return
    withdraw.apply(plan, space.root)
    say(
        f"hint: git switch -c withdraw-{tag.artifact.name}-{tag.version} && git add {plan.path} && "
        f"git commit -m 'Withdraw {tag.artifact} {tag.version}' && git push -u origin HEAD; then open a pull request"
    )


def _left_behind(root: Path, published: Collection[Tag]) -> Iterator[Tag]:
    """The versions that were merged and not published, and that are not their artifact's latest."""
    merged = [one.tag for one in merged_versions.find(root, "HEAD", published).versions]
    for tag in merged:
        if any(other.artifact == tag.artifact and tag < other for other in (*merged, *published)):
            yield tag
