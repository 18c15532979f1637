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
from registry.storage.base import Store
from registry.sync import inventory
from registry.sync.inventory import Reached


def write(context: PublishContext, release: Release, production: Store, sha256: DataFrame, held: DataFrame) -> Written:
    """The manifest of a version of which production has everything.

    `sha256` has the columns md5 and sha256, `held` has md5 and size (bytes). Raises InvalidDocument, StorageFailed.
    """
    outputs = release.content.outputs
    found = inventory.expand((Reached(release.tag.artifact, out) for out in outputs), [production])
    files = list_files(outputs, found).join(held.select("md5", "size"), on="md5").join(sha256, on="md5", how="left")
    with git_trees.Revision(context.root, release.commit) as tree:
        facts = read_facts(tree, release.tag)
    return manifest_files.write(release.tag, release.commit, release.content, facts, files)


def list_files(outputs: Iterable[Output], found: DataFrame) -> DataFrame:
    """The files of a version's own outputs, by rows of `inventory.expand`: columns md5 and path."""
    rows = [(out.md5, out.path) for out in outputs]
    named = DataFrame(rows, {"root": pl.Categorical(), "output": pl.String()}, orient="row")
    # Two outputs may be one object, which has rows of one path.
    expanded = found.group_by("root").agg(start=col("path").first().str.len_chars())
    files = found.filter(~col("is_dir")).join(named.join(expanded, on="root"), on="root")
    return files.select("md5", path=pl.concat_str("output", col("path").str.slice(col("start"))))


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
