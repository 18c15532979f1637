"""What a registry has: every artifact, the state of its current version, its releases, and what is made from them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.core import artifact_files, layout, manifests, reproductions, withdrawals
from registry.core.digests import object_key
from registry.core.tree import Tree
from registry.core.values import ArtifactId, DatasetManifest, Manifest, ModelManifest, Output, Tag, Version
from registry.core.withdrawals import Withdrawal
from registry.dataset import shard_index
from registry.errors import InvalidDocument
from registry.release.history import Release
from registry.release.stored_shards import ReleasedShards


@dataclass(frozen=True, slots=True)
class Overview:
    """One artifact. `manifest` is None where it is invalid, and where it was removed and has releases still.

    `releases` are the latest first; `used_by` are the models that are made from it now, `users` the releases of models
    that were made from a release of it. `withdrawn` are the withdrawn releases that its own
    were made from. `shards` are those of its releases, where production was asked for them.
    """

    artifact: ArtifactId
    manifest: Manifest | None
    state: str
    releases: tuple[Release, ...] = ()
    used_by: tuple[ArtifactId, ...] = ()
    users: Mapping[Tag, tuple[Tag, ...]] = field(default_factory=dict)
    withdrawn: Mapping[Tag, Withdrawal] = field(default_factory=dict)
    shards: Mapping[Tag, ReleasedShards] = field(default_factory=dict)

    @property
    def version(self) -> Version | None:
        """The version that the manifest says."""
        return self.manifest.version if self.manifest else None

    def whole_shards(self, tag: Tag) -> str:
        """Where the shards of a release are; empty where it has none, or not all of them."""
        shards = self.shards.get(tag)
        return shards.place if shards and not shards.missing else ""


def find(tree: Tree, released: Iterable[Release]) -> tuple[Overview, ...]:
    """The artifacts of a tree, sorted, and then removed ones that have releases (`released`, see `history.read`)."""
    releases: dict[ArtifactId, list[Release]] = defaultdict(list)
    users: dict[Tag, list[Tag]] = defaultdict(list)
    for release in sorted(released, key=lambda one: one.tag, reverse=True):
        releases[release.tag.artifact].append(release)
        for source in release.sources:
            users[source].append(release.tag)
    withdrawn = {tag: found for tag in users if (found := _find_withdrawal(tag, releases[tag.artifact]))}
    loaded = {artifact: _load(tree, artifact) for artifact in layout.find(tree)}
    return tuple(
        Overview(
            artifact,
            loaded.get(artifact),
            _state(tree, artifact, loaded, releases[artifact]),
            tuple(releases[artifact]),
            tuple(_users(artifact, loaded)),
            {one.tag: tuple(sorted(users[one.tag])) for one in releases[artifact]},
            {tag: withdrawn[tag] for one in releases[artifact] for tag in one.sources if tag in withdrawn},
        )
        for artifact in (*loaded, *sorted(releases.keys() - loaded.keys()))
    )


def _find_withdrawal(tag: Tag, releases: Iterable[Release]) -> Withdrawal | None:
    good = [one.tag for one in releases if not one.fault]
    return withdrawals.find(tag, {one.tag.version: one.withdrawn for one in releases if one.withdrawn}, good)


def _load(tree: Tree, artifact: ArtifactId) -> Manifest | None:
    try:
        return manifests.load(tree, artifact)
    except InvalidDocument:
        return None


def _state(
    tree: Tree, artifact: ArtifactId, loaded: Mapping[ArtifactId, Manifest | None], releases: Iterable[Release]
) -> str:
    if artifact not in loaded:
        return "removed"
    manifest = loaded[artifact]
    if manifest is None:
        return "invalid manifest"
    if manifest.version in manifest.withdrawn:
        return "withdrawn"
    if manifest.version in {release.tag.version for release in releases}:
        return "published"
    pointer, missing = _made_by(manifest)
    if not tree.has(pointer):
        return missing
    files = artifact_files.read_artifact(artifact_files.list_files(tree), artifact)
    return "invalid files" if files.faulty else "to publish"


def _made_by(manifest: Manifest) -> tuple[str, str]:
    """The pointer that makes it a version, and the state without it."""
    if not isinstance(manifest, ModelManifest):
        return layout.prepared_pointer(manifest.id), "not built"
    if manifest.origin and not manifest.is_measured:
        return layout.model_pointer(manifest.id), "not measured"
    return layout.lock_path(manifest.id), "not measured" if manifest.origin else "not trained"


def _users(artifact: ArtifactId, loaded: Mapping[ArtifactId, Manifest | None]) -> Iterator[ArtifactId]:
    return (
        other
        for other, manifest in loaded.items()
        if isinstance(manifest, ModelManifest) and artifact in (manifest.dataset, *manifest.builds_on)
    )


# --- as JSON ----------------------------------------------------------------------------------------------------------


def to_json(one: Overview) -> dict[str, Any]:
    """An artifact as `registry list --format json` has it; absent values are null, empty lists are there."""
    manifest = one.manifest
    model = manifest if isinstance(manifest, ModelManifest) else None
    return {
        "artifact": str(one.artifact),
        "version": str(one.version) if one.version else None,
        "state": one.state,
        "title": manifest.title if manifest else None,
        "description": manifest.description if manifest else None,
        "owners": list(manifest.owners) if manifest else [],
        "license": manifest.license if manifest else None,
        "classes": list(manifest.classes) if isinstance(manifest, DatasetManifest) else [],
        "dataset": str(model.dataset) if model and model.dataset else None,
        "builds_on": [str(artifact) for artifact in model.builds_on] if model else [],
        "used_by": [str(artifact) for artifact in one.used_by],
        "releases": [_release_to_json(one, release) for release in one.releases],
    }


def _release_to_json(one: Overview, release: Release) -> dict[str, Any]:
    version, made_from = release.version, release.made_from
    return {
        "tag": str(release.tag),
        "version": str(release.tag.version),
        "commit": release.commit,
        "published": release.time,
        "stages": list(release.stages),
        "withdrawn": release.withdrawn or None,
        "fault": release.fault or None,
        "bytes": version.size + version.sidecar if version else None,
        "images": version.build.images if version and version.build else None,
        "counts": version.build.counts if version and version.build else {},
        "metrics": dict(version.metrics) if version else {},
        "dataset": str(made_from.dataset) if made_from.dataset else None,
        "builds_on": [str(tag) for tag in made_from.backbones.values()],
        "used_by": [str(tag) for tag in one.users[release.tag]],
        "reproduction": reproductions.to_json(release.reproduction) if release.reproduction else None,
        "products": [_product_to_json(product) for product in version.products] if version else [],
        "shards": _shards_to_json(release.tag, one.shards.get(release.tag)),
    }


def _shards_to_json(tag: Tag, shards: ReleasedShards | None) -> dict[str, Any] | None:
    """Where the index of the shards is, and what is there; None where there are none, and where none were asked for."""
    if shards is None:
        return None
    missing = list(shards.missing)
    return {"index": shard_index.key(tag), "bytes": shards.size, "splits": dict(shards.splits), "missing": missing}


def _product_to_json(product: Output) -> dict[str, Any]:
    """What a consumer fetches; the object of a folder is the list of its files, as `dir_listing` reads it."""
    return {
        "path": product.path,
        "kind": "dir" if product.is_dir else "file",
        "md5": product.md5,
        "bytes": product.size,
        "files": product.nfiles,
        "key": object_key(product.md5),
    }
