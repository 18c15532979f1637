"""The bill of materials of a model's training: the packages that the locks of its commit prescribe, as CycloneDX 1.6.

It is derived from the tagged commit alone, so it is the same on every machine. It says what a training installs, not
what was on the machine of one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from registry.core import artifact_files, lock_files, settings
from registry.core.lock_files import Package
from registry.core.tree import Tree
from registry.core.values import Kind, Manifest, ModelManifest, Tag
from registry.errors import NotFound, Refused
from registry.integrations import git, git_trees

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
INDEX = "https://pypi.org/simple"


@dataclass(frozen=True, slots=True)
class Sbom:
    """A bill of materials as JSON, and how many packages it lists."""

    data: bytes
    packages: int


def read(root: Path, tag: Tag) -> Sbom:
    """The bill of materials of a release.

    Raises Refused for a dataset and for a model that was trained elsewhere, NotFound for an unknown tag and for a
    commit without a lock, InvalidDocument.
    """
    if tag.artifact.kind is not Kind.MODEL:
        raise Refused(f"{tag} is a dataset: nothing was trained for it")
    if not git.find_id(root, f"refs/tags/{tag}"):
        raise NotFound(f"{tag}: not published", fix=f"registry show {tag.artifact}")
    with git_trees.Revision(root, f"refs/tags/{tag}") as tree:
        manifest = artifact_files.read_artifact(artifact_files.list_files(tree), tag.artifact).manifest.require()
        if isinstance(manifest, ModelManifest) and manifest.origin:
            raise Refused(f"{tag} was trained elsewhere ({manifest.origin.url}): its environment is not known here")
        packages = lock_files.read_training(tree)
        if not packages:
            raise NotFound(f"{tag}: its commit has no {lock_files.LOCK} with packages of a training")
        made = datetime.fromtimestamp(git.commit_time(root, tree.commit), UTC)
        return write(tag, manifest, packages, _describe_tooling(tree), tree.commit, made)


def write(
    tag: Tag,
    manifest: Manifest,
    packages: tuple[Package, ...],
    tooling: Mapping[str, object] | None,
    commit: str,
    made: datetime,
) -> Sbom:
    """The document about these packages; its serial number is derived from the rest of it."""
    model = str(tag)
    components = [_describe(one) for one in packages]
    components += [tooling] if tooling else []
    found: dict[str, object] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": f"{made:%Y-%m-%dT%H:%M:%SZ}",
            "lifecycles": [{"phase": "pre-build"}],
            "component": {
                "type": "machine-learning-model",
                "bom-ref": model,
                "name": str(tag.artifact),
                "version": str(tag.version),
                "licenses": [{"license": {"name": manifest.license}}],
            },
            "properties": [
                {"name": "registry:commit", "value": commit},
                {"name": "registry:source", "value": f"{lock_files.LOCK}, {lock_files.TORCH}"},
            ],
        },
        "components": components,
        "dependencies": [{"ref": model, "dependsOn": [str(one["bom-ref"]) for one in components]}],
    }
    serial = uuid5(NAMESPACE_URL, _write(found))
    return Sbom(f"{_write({**found, 'serialNumber': f'urn:uuid:{serial}'})}\n".encode(), len(packages))


def _write(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _describe(package: Package) -> Mapping[str, object]:
    """A component. Which of its files an environment takes is not known, so all are listed, as one distribution."""
    hashes = [{"alg": "SHA-256", "content": sha256} for sha256 in package.hashes]
    name = package.purl.removeprefix("pkg:pypi/").partition("@")[0]
    found: dict[str, object] = {
        "type": "library",
        "bom-ref": package.purl + (f"#{package.marker}" if package.marker else ""),
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "externalReferences": [{"type": "distribution", "url": f"{INDEX}/{name}/", "hashes": hashes}],
    }
    marker = [{"name": "registry:marker", "value": package.marker}] if package.marker else []
    return found | ({"properties": marker} if marker else {})


def _describe_tooling(tree: Tree) -> Mapping[str, object] | None:
    """The tooling that the registry's settings name; None where the commit has its code."""
    known = settings.read(tree).template
    if known is None:
        return None
    reference = {"type": "distribution", "url": known.wheel} if known.wheel else {"type": "vcs", "url": known.source}
    return {
        "type": "application",
        "bom-ref": f"registry-as-code@{known.version}",
        "name": "registry-as-code",
        "version": known.version,
        "externalReferences": [{**reference, "comment": f"commit {known.commit}"}],
    }
