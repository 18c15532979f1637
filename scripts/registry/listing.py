"""What a registry has: its artifacts with their versions, whether these are published, and what depends on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from registry import artifacts
from registry.artifacts import lock_path, prepared_pointer
from registry.errors import InvalidDocument
from registry.tree import Tree
from registry.values import ArtifactId, DatasetManifest, Kind, Manifest, ModelManifest, Tag, Version


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact: `state` says where its version stands, `published` holds every tagged version, latest first."""

    artifact: ArtifactId
    version: Version | None
    state: str
    published: tuple[Version, ...]
    title: str
    owners: tuple[str, ...]
    trained_on: ArtifactId | None = None
    used_by: tuple[ArtifactId, ...] = ()


def rows(tree: Tree, tags: Sequence[Tag]) -> tuple[Row, ...]:
    """A row for every artifact of a tree, and for those that only tags remember."""
    found = artifacts.find(tree)
    manifests = {artifact: _load(tree, artifact) for artifact in found}
    gone = sorted({tag.artifact for tag in tags} - set(found))
    return (
        *(_row(tree, artifact, manifests, tags) for artifact in found),
        *(Row(artifact, None, "removed", _published(artifact, tags), "", ()) for artifact in gone),
    )


def _load(tree: Tree, artifact: ArtifactId) -> Manifest | None:
    try:
        return artifacts.load(tree, artifact)
    except InvalidDocument:
        return None


def _row(tree: Tree, artifact: ArtifactId, manifests: dict[ArtifactId, Manifest | None], tags: Sequence[Tag]) -> Row:
    published = _published(artifact, tags)
    manifest = manifests[artifact]
    if manifest is None:
        return Row(artifact, None, "manifest is invalid", published, "", ())
    return Row(
        artifact,
        manifest.version,
        _state(tree, manifest, published),
        published,
        manifest.title,
        manifest.owners,
        manifest.trained_on if isinstance(manifest, ModelManifest) else None,
        tuple(_users(artifact, manifests)),
    )


def _published(artifact: ArtifactId, tags: Sequence[Tag]) -> tuple[Version, ...]:
    return tuple(sorted((tag.version for tag in tags if tag.artifact == artifact), reverse=True))


def _state(tree: Tree, manifest: Manifest, published: tuple[Version, ...]) -> str:
    if manifest.version in manifest.withdrawn:
        return "withdrawn"
    if manifest.version in published:
        return "published"
    pointer = prepared_pointer(manifest.id) if isinstance(manifest, DatasetManifest) else lock_path(manifest.id)
    return "to publish" if tree.has(pointer) else f"not {'built' if manifest.id.kind is Kind.DATASET else 'trained'}"


def _users(artifact: ArtifactId, manifests: dict[ArtifactId, Manifest | None]) -> Iterator[ArtifactId]:
    return (
        other
        for other, manifest in manifests.items()
        if isinstance(manifest, ModelManifest) and manifest.trained_on == artifact
    )
