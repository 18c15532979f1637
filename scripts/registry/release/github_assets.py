"""Files of GitHub releases: release manifest, bill of materials of a training, and the workflow's attestation.

A release on GitHub that lacks one gets it from the next run, so both steps can be repeated from any point.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from registry.core import tag_messages
from registry.core.names import find_tags
from registry.core.values import Kind, Tag
from registry.errors import InvalidData, InvalidDocument, NotFound, Refused
from registry.integrations import gh_attestations, git, github
from registry.integrations.github import Release, Repository
from registry.release import release_manifests, sbom
from registry.storage.base import Store

MANIFEST, BUNDLE, SBOM = "release.json", "release.sigstore.json", "sbom.cdx.json"
MAX_SUBJECTS = 1024  # of one attestation


def named_manifests(root: Path, wanted: Iterable[Tag] | None = None) -> Mapping[Tag, str]:
    """The SHA-256 of the manifest of each annotated tag that names one."""
    messages = git.tag_messages(root)
    tags = find_tags(git.tag_names(root)) if wanted is None else wanted
    return {tag: sha256 for tag in tags if (sha256 := tag_messages.find_manifest(messages.get(str(tag), "")))}


def _lacking(repository: Repository, tags: Mapping[Tag, str], name: str) -> Mapping[Tag, Release]:
    found = {release.tag: release for release in github.releases(repository)}
    return {tag: found[str(tag)] for tag in tags if str(tag) in found and name not in found[str(tag)].assets}


def attach_manifests(repository: Repository, named: Mapping[Tag, str], production: Store) -> tuple[Tag, ...]:
    """Attach the manifests to the releases that lack theirs; the tags of these. Raises ServiceFailed, StorageFailed.

    One that production lacks or has with other bytes is left to `registry verify`.
    """
    done: list[Tag] = []
    for tag, release in _lacking(repository, named, MANIFEST).items():
        try:
            manifest = release_manifests.read(tag, named[tag], production.get)
        except (NotFound, InvalidData, InvalidDocument):
            continue
        github.attach(repository, release, MANIFEST, manifest.data)
        done.append(tag)
    return tuple(done)


def find_altered(repository: Repository, named: Mapping[Tag, str]) -> tuple[Tag, ...]:
    """The tags whose release on GitHub has another file in place of the manifest. Raises ServiceFailed."""
    found = {release.tag: release.assets.get(MANIFEST) for release in github.releases(repository)}
    return tuple(tag for tag, sha256 in named.items() if found.get(str(tag)) not in {None, "", f"sha256:{sha256}"})


def attach_sboms(root: Path, repository: Repository, tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Attach the bills of materials of models that were trained here; the tags of these. Raises ServiceFailed.

    One that cannot be written is left to `registry sbom`, which says why.
    """
    done: list[Tag] = []
    models = dict.fromkeys((tag for tag in tags if tag.artifact.kind is Kind.MODEL), "")
    for tag, release in (_lacking(repository, models, SBOM) if models else {}).items():
        try:
            found = sbom.read(root, tag)
        except (Refused, NotFound, InvalidDocument):
            continue
        github.attach(repository, release, SBOM, found.data)
        done.append(tag)
    return tuple(done)


def list_unattested(repository: Repository, named: Mapping[Tag, str]) -> str:
    """The manifests without an attestation, in the form of `sha256sum`, which actions/attest reads; at most 1,024."""
    lacking = list(_lacking(repository, named, BUNDLE))[:MAX_SUBJECTS]
    return "".join(f"{named[tag]}  {tag}\n" for tag in lacking)


def attach_bundle(repository: Repository, named: Mapping[Tag, str], bundle: Path) -> tuple[Tag, ...]:
    """Attach a bundle to the releases whose manifests it is about. Raises InvalidDocument, ServiceFailed."""
    subjects = gh_attestations.read_subjects(bundle)
    data, done = bundle.read_bytes(), list[Tag]()
    for tag, release in _lacking(repository, named, BUNDLE).items():
        if named[tag] in subjects:
            github.attach(repository, release, BUNDLE, data)
            done.append(tag)
    return tuple(done)
