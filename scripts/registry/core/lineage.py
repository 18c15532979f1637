"""Which models a model builds on, as a tree has them now: what checks, reports and comparisons ask of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from registry.core import artifact_files, layout
from registry.core.artifact_files import Files
from registry.core.values import ArtifactId, ModelManifest, Tag


@dataclass(frozen=True, slots=True)
class Backbone:
    """A model that another one builds on, itself or by way of a third one; None: it does not exist, or is invalid."""

    id: ArtifactId
    manifest: ModelManifest | None = None

    def __str__(self) -> str:
        """Its id, and the version that the tree has."""
        return str(Tag(self.id, self.manifest.version)) if self.manifest else str(self.id)


def read(files: Files, manifest: ModelManifest) -> tuple[Backbone, ...]:
    """All that a model builds on, in the order in which they are named; those that it names come first."""
    found: dict[ArtifactId, Backbone] = {}
    waiting = list(manifest.builds_on)
    for one in waiting:  # which grows
        if one != manifest.id and one not in found:
            found[one] = Backbone(one, _manifest(files, one))
            waiting += _named(found[one])
    return tuple(found.values())


def _named(backbone: Backbone) -> Iterator[ArtifactId]:
    yield from backbone.manifest.builds_on if backbone.manifest else ()


def _manifest(files: Files, model: ArtifactId) -> ModelManifest | None:
    if layout.manifest_path(model) not in files.entries:
        return None
    value = artifact_files.read_manifest(files, model).value
    return value if isinstance(value, ModelManifest) else None
