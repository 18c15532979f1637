"""Asking Looker again: which datasets have a question, how far their version moves, and the words of the proposal."""

from collections.abc import Sequence

from registry.checks.context import Facts
from registry.core import documents, layout, manifests, versioning
from registry.core.tree import Tree
from registry.core.values import ArtifactId, DatasetManifest, Kind, LookerQuery, Version

BRANCH = "refresh/{}"


def questions(tree: Tree) -> tuple[ArtifactId, ...]:
    """The datasets that were selected by a Looker query."""
    datasets = (artifact for artifact in layout.find(tree) if artifact.kind is Kind.DATASET)
    return tuple(one for one in datasets if isinstance(manifests.load_dataset(tree, one).source, LookerQuery))


def next_version(facts: Facts, artifact: ArtifactId) -> Version | None:
    """The lowest version that what changed demands; None where the one that the manifest has will do."""
    subject = next(subject for subject in facts.subjects if subject.id == artifact)
    if subject.latest is None or subject.latest.content is None or subject.content is None:
        return None
    found = versioning.required_bumps(subject.latest.content, subject.content, subject.diff)
    lowest = versioning.lowest_version(subject.latest.tag.version, found)
    return lowest if lowest > subject.content.manifest.version else None


def with_version(tree: Tree, artifact: ArtifactId, version: Version) -> tuple[str, bytes]:
    """The manifest's path, and its bytes with that version."""
    path = layout.manifest_path(artifact)
    return path, documents.edit_yaml(tree.read(path), {("version",): str(version)})


def title(manifest: DatasetManifest) -> str:
    """Of the commit and of the pull request."""
    return f"Refresh {manifest.id}: {manifest.version}"


def words(manifest: DatasetManifest, said: Sequence[str]) -> str:
    """The pull request's body: what the selection and the build said, and what a reviewer has to know."""
    text = "\n".join(said).replace("~~~~", "~ ~ ~ ~")
    return (
        f"Looker answers the query of `{manifest.id}` otherwise than before.\n\n~~~~text\n{text}\n~~~~\n\n"
        "GitHub starts no workflow for what a workflow proposes: close this pull request and open it again, and its "
        "report will come.\n"
    )
