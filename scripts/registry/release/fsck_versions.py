"""The releases that `registry fsck` verifies, by their tags; and what is wrong with one."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from registry.core import artifact_files, tag_messages
from registry.core.digests import object_key
from registry.core.names import find_tags
from registry.core.tree import find_file
from registry.core.values import Tag
from registry.errors import InvalidDocument, Refused
from registry.integrations import git, git_signatures, git_trees
from registry.release import stray_tags
from registry.release.stray_tags import Stray
from registry.sync import inventory
from registry.sync.inventory import Reached, Tracked


class FaultState(StrEnum):
    """What is wrong with an object, or with what a tag says about it."""

    MISSING = "missing"  # production lacks the object
    CORRUPT = "corrupt"  # its content does not match its MD5
    INVALID = "invalid"  # the files of the tag are, so that no object could match them


@dataclass(frozen=True, slots=True)
class TaggedVersion:
    """A release tag, what its commit's pointers name, and the SHA-256 of the release manifest that it names, if any.

    `fault` says why the pointers cannot be read.
    """

    tag: Tag
    commit: str
    content: Tracked = field(default_factory=partial(Tracked, ()))
    manifest: str | None = None
    fault: str = ""

    @property
    def is_by_hand(self) -> bool:
        """Whether no publish made the tag: it names no release manifest."""
        return not self.manifest

    @property
    def reached(self) -> tuple[Reached, ...]:
        """Everything that the version needs."""
        return tuple(Reached(self.tag.artifact, out) for out in (*self.content.outputs, *self.content.inputs))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of an object of DVC's (`md5`), of a release manifest (`place` is its key), or, with neither, of a tag."""

    state: FaultState
    path: str
    md5: str
    message: str
    place: str = ""

    @property
    def key(self) -> str:
        """The key of the object in production."""
        return self.place or object_key(self.md5)


@dataclass(frozen=True, slots=True)
class Result:
    """The faults of one version; `size` is the size in bytes of its objects in production.

    `objects` counts those that it has, without those that were `erased`.
    """

    version: TaggedVersion
    objects: int
    size: int
    faults: tuple[Fault, ...]
    erased: int = 0

    def count(self, state: FaultState) -> int:
        """How many faults have this state."""
        return sum(fault.state is state for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Tagged:
    """The versions to verify, and tags that only look like those of releases or stages."""

    versions: tuple[TaggedVersion, ...]
    strays: tuple[Stray, ...]


def collect(root: Path, *, every: bool, remote: str = "origin") -> Tagged:
    """The latest release of each artifact, or every one, as the remote has them. Raises Refused, ToolFailed."""
    known = remote if git.has_remote(root, remote) else None
    if not known and git.is_shallow(root):
        raise Refused(
            "this clone is shallow and has no remote: tags may be missing", fix="clone the repository without --depth"
        )
    refs = git.tag_refs(root, known or ".")
    tags = find_tags([name for name, ref in refs.items() if ref.annotated])
    chosen = tags if every else tuple({tag.artifact: tag for tag in tags}.values())  # sorted: the last is the latest
    versions = tuple(_version(root, tag, refs[str(tag)], known) for tag in chosen)
    return Tagged(versions, stray_tags.find(refs))


def _version(root: Path, tag: Tag, ref: git.TagRef, remote: str | None) -> TaggedVersion:
    if remote and not git.has_object(root, ref.id):
        git.fetch(root, [f"refs/tags/{tag}"], remote)
    if not git.find_commits(root, [ref.commit]):
        return TaggedVersion(tag, ref.commit, fault=f"{tag.artifact}: the tag leads to no commit")
    named = tag_messages.find_manifest(git_signatures.read_object(root, ref.id))
    with git_trees.Revision(root, ref.commit) as tree:
        try:
            content = inventory.read_tracked(tree, tag.artifact)
        except InvalidDocument as error:
            return TaggedVersion(tag, ref.commit, manifest=named, fault=error.message)
        files = artifact_files.read_release(tag.artifact, partial(find_file, tree))
    manifest = files.manifest.value if files else None
    if manifest and manifest.version != tag.version:
        said = f"{tag.artifact}: the manifest of this commit says {manifest.version}"
        return TaggedVersion(tag, ref.commit, manifest=named, fault=said)
    if not (content.outputs or content.inputs):
        return TaggedVersion(tag, ref.commit, manifest=named, fault=f"{tag.artifact}: no pointer to data")
    if not named and _is_unmerged(root, ref.commit):
        said = f"{tag.artifact}: the commit is not on the default branch, so no publish made the tag"
        return TaggedVersion(tag, ref.commit, content, fault=said)
    return TaggedVersion(tag, ref.commit, content, named)


def _is_unmerged(root: Path, commit: str) -> bool:
    branches = git.known_default_branches(root)
    known = bool(branches) and not git.is_shallow(root)
    return known and not any(git.is_ancestor(root, commit, branch) for branch in branches)
