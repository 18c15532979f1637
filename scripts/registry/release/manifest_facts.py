"""What a release manifest says of a version that is about to be published, from its commit and its objects."""

from collections.abc import Iterable, Mapping

import polars as pl
from polars import DataFrame, col

from registry.core import artifact_files
from registry.core.tree import Tree
from registry.core.values import Output, Tag
from registry.integrations import git_trees
from registry.release import manifest_files
from registry.release.due_versions import PublishContext, Release
from registry.release.manifest_files import Written
from registry.scaffold import tooling


def write(context: PublishContext, release: Release, found: DataFrame, sha256: DataFrame, held: DataFrame) -> Written:
    """The manifest of a version; `found` are rows of `inventory.expand` with all that it reaches.

    `sha256` has the columns md5 and sha256, `held` has md5 and size (bytes). Raises InvalidDocument.
    """
    files = (
        list_files(release.content.outputs, found)
        .join(held.select("md5", "size"), on="md5")
        .join(sha256, on="md5", how="left")
    )
    with git_trees.Revision(context.root, release.commit) as tree:
        facts = read_facts(tree, release.tag)
    return manifest_files.write(release.tag, release.commit, release.content, facts, files)


def list_files(outputs: Iterable[Output], found: DataFrame) -> DataFrame:
    """The files of a version's own outputs, by rows of `inventory.expand`: columns md5 and path."""
    frames = [DataFrame(schema={"md5": pl.String, "path": pl.String})]
    for out in outputs:
        rows = found.filter(col("root") == out.md5)  # two outputs may be one object, which has rows of one path
        start = len(rows["path"][0])
        path = pl.concat_str(pl.lit(out.path), col("path").str.slice(start))
        frames.append(rows.filter(~col("is_dir")).select("md5", path=path))
    return pl.concat(frames)


def read_facts(tree: Tree, tag: Tag) -> Mapping[str, object]:
    """What a manifest has of the files in Git, and which tooling writes it. Raises InvalidDocument."""
    files = artifact_files.read_artifact(artifact_files.list_files(tree), tag.artifact)
    manifest = files.manifest.require()
    facts: dict[str, object] = {
        "title": manifest.title,
        "license": manifest.license,
        "owners": list(manifest.owners),
        "tooling": {"version": tooling.read().version},
    }
    if files.raw and (selection := manifest_files.selection_facts(files.raw.document)):
        facts["selection"] = selection
    if files.prepared and (build := files.prepared.require().build):
        facts["counts"] = build.counts
    if files.metrics and files.metrics.value:
        facts["metrics"] = dict(files.metrics.value)
    return facts
