"""Refreshing datasets from Looker: which have a query, their next version, and the text of the pull request."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from registry.checks.context import Facts
from registry.core import documents, layout, manifests, versioning
from registry.core.adoption import Adopted
from registry.core.escaping import markdown, markdown_code, markdown_link
from registry.core.tree import Tree
from registry.core.values import (
    ArtifactId,
    DatasetManifest,
    Export,
    Kind,
    Look,
    LookerQuery,
    Selection,
    Source,
    Version,
)
from registry.dataset import evidence

BRANCH = "refresh/{}"


def find_queries(tree: Tree) -> tuple[ArtifactId, ...]:
    """The datasets whose rows a workflow can read again: of a Looker query, a Look, or deliveries."""
    datasets = (artifact for artifact in layout.find(tree) if artifact.kind is Kind.DATASET)
    return tuple(one for one in datasets if _can_be_queried(manifests.load_dataset(tree, one).source))


def _can_be_queried(source: Source) -> bool:
    match source:
        case LookerQuery() | Look():
            return True
        case Export(place=place):
            return place is not None
        case Adopted():
            return False
    assert_never(source)


def next_version(facts: Facts, artifact: ArtifactId) -> Version | None:
    """The lowest version that the change requires; None if the manifest's version is high enough."""
    subject = next((subject for subject in facts.subjects if subject.id == artifact), None)
    latest = subject.releases.latest if subject else None
    if subject is None or latest is None or latest.content is None:
        return None
    found = versioning.required_bumps(latest.content, subject.content, subject.diff)
    lowest = versioning.lowest_version(latest.tag.version, found)
    return lowest if lowest > subject.manifest.version else None


def with_version(tree: Tree, artifact: ArtifactId, version: Version) -> tuple[str, bytes]:
    """The manifest's path, and its bytes with that version."""
    path = layout.manifest_path(artifact)
    return path, documents.edit_yaml(tree.read(path), {("version",): str(version)})


def title(manifest: DatasetManifest) -> str:
    """The title of the commit and of the pull request."""
    return f"Refresh {manifest.id}: {manifest.version}"


def body(manifest: DatasetManifest, summary: Sequence[str], origin: Selection) -> str:
    """The body of the pull request: the summary, how the query was run, and how to start workflows."""
    text = "\n".join(summary).replace("~~~~", "~ ~ ~ ~")
    lines = "".join(f"- {line}\n" for line in _origin(origin))
    return (
        f"The rows of `{manifest.id}` changed.\n\n~~~~text\n{text}\n~~~~\n\n{lines}\n"
        "GitHub holds the workflows of a pull request that a workflow opened until a person with write access approves "
        "them, below. To get the report, approve them, or close this pull request and open it again.\n"
    )


def _origin(origin: Selection) -> Iterator[str]:
    if origin.share_url:
        yield f"query: {markdown_link(origin.share_url)}"
    if origin.delivery:
        yield f"delivery: {markdown(origin.delivery.url)}"
    if origin.asked_by:
        yield f"asked by: {markdown(evidence.describe_asker(origin.asked_by))}"
    if origin.sql_hash:
        yield f"SQL: {markdown_code(origin.sql_hash[: evidence.SHORT])}"
    if origin.lookml:
        commit = markdown_code(origin.lookml.commit[: evidence.SHORT])
        yield f"LookML: {markdown(origin.lookml.project)} at {commit}"
