"""`registry publish`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from registry.cli import clusters
from registry.cli.workspace import here
from registry.console import fail, say
from registry.core import layout, names
from registry.core.atomic_write import write_atomically
from registry.core.names import find_tags
from registry.core.progress import bar
from registry.core.values import ArtifactId
from registry.core.wording import plural
from registry.errors import Refused, ServiceFailed
from registry.integrations import git, git_trees, github
from registry.release import batch_manifest, due_versions, github_assets, github_releases, publish
from registry.release.batch_manifest import BatchManifest
from registry.release.due_versions import Failed
from registry.storage.base import Store


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--dry-run", is_flag=True, help="Print what would be published, and publish nothing.")
@click.option("--md5-only", is_flag=True, help="Read no object for its SHA-256 alone.")
@click.option(
    "--plan-csv",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what would be copied as a manifest of S3 Batch Operations, and publish nothing.",
)
@clusters.option
def command(
    ids: tuple[str, ...], plan_csv: Path | None, scheduler: str | None, *, dry_run: bool, md5_only: bool
) -> None:
    """Release every version that main has had and that has no tag yet.

    Runs on the main branch only. Objects are copied from staging to production and verified; when production has all of
    a version's, its annotated tag is created, on the commit of main that brought it, and pushed. A version that main
    withdrew, removed or went back behind before it was published is left out. Published objects and tags are never
    changed. The tag names the release manifest, an object of production with the size and SHA-256 of every file; files
    that no earlier release has are read for it. One version's fault does not stop the others. After a failure, run it
    again: it continues where it stopped. If origin is on GitHub and gh has a token, each tag gets a GitHub release,
    which is marked when its version is withdrawn. ID is datasets/NAME or models/NAME; the default is every artifact.
    """
    space = here() if dry_run or plan_csv else clusters.join(here(), scheduler)
    wanted = [names.parse_id(text) for text in ids]
    context = due_versions.collect(space.root)
    staging, production = space.stores.staging, space.stores.production
    with git_trees.Revision(space.root, context.commit) as tree:
        present = layout.find(tree)
        plan = publish.plan(context, tree, staging, production, wanted, md5_only=md5_only)
    say(str(plan))
    _explain(plan.failed)
    if plan_csv:
        _write_manifest(plan_csv, batch_manifest.make(plan, staging, production))
        _require_all(plan.failed)
        return
    failed, releases = plan.failed, [step.release for step in plan.steps]
    if not dry_run and not plan.is_empty:
        with bar("publishing", plan.copied + plan.to_read.len()) as progress:
            done = publish.apply(plan, staging, production, progress)
        _explain(done.failed)
        failed, releases = (*failed, *done.failed), list(done.releases)
        if done.hashed:
            say(f"hashed: {plural(done.hashed, 'object')} of production, {plural(done.read, 'byte')} read")
        moved = f"{plural(done.moved, 'byte')} transferred through this machine"
        say(f"published: {plural(done.copied, 'object')} copied to production, {moved}")
    tags = publish.published_tags(context, releases)
    _update_github(space.root, tags, context.commit, wanted or present, production, dry_run=dry_run)
    _require_all(failed)


def _write_manifest(file: Path, made: BatchManifest) -> None:
    write_atomically(file, made.text.encode())
    say(f"{file}: {plural(made.count, 'object')} to copy, as {batch_manifest.FORMAT} (Bucket, Key)")
    say(f"operation of the job: {made.operation}")
    say("hint: run a job of S3 Batch Operations with it, then registry publish, which verifies the copies")


def _explain(failed: Iterable[Failed]) -> None:
    for one in failed:
        fail(one.error)


def _require_all(failed: Sequence[Failed]) -> None:
    if failed:
        names = ", ".join(str(one.subject) for one in failed)
        raise Refused(f"not published: {names}", fix="correct what is named above; the next publish includes them")


def _update_github(
    root: Path,
    tags: Mapping[str, git.TagRef],
    head: str,
    wanted: Iterable[ArtifactId],
    production: Store,
    *,
    dry_run: bool,
) -> None:
    try:
        repository = github.connect(root)
    except github.Unreachable as error:
        say(f"GitHub releases were skipped: {error.message}\n  hint: {error.fix}", err=True)
        return
    try:
        releases = github_releases.plan(root, repository, tags, head, wanted)
        say(str(releases))
        if not dry_run:
            github_releases.apply(releases)
            chosen = set(wanted)
            published = find_tags([name for name, ref in tags.items() if ref.annotated])
            tags_of = [tag for tag in published if tag.artifact in chosen]
            named = github_assets.named_manifests(root, tags_of)
            for tag in github_assets.attach_manifests(repository, named, production):
                say(f"{tag}: attached the release manifest to the GitHub release")
            for tag in github_assets.attach_sboms(root, repository, tags_of):
                say(f"{tag}: attached the bill of materials of its training to the GitHub release")
    except ServiceFailed as error:
        state = "" if dry_run else "all tags are published, but GitHub releases are missing: "
        raise ServiceFailed(f"{state}{error.message}", fix=error.fix) from error
