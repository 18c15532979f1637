"""The releases that `registry fsck` verifies, by their tags; and what is wrong with one."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from registry.core import artifact_files
from registry.core.names import find_tags
from registry.core.pointers import object_key
from registry.core.values import Tag
from registry.errors import InvalidDocument, Refused
from registry.integrations import git, git_signatures, git_trees
from registry.release import release_manifests
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


def collect(root: Path, *, every: bool, remote: str = "origin") -> tuple[TaggedVersion, ...]:
    """The latest release of each artifact, or every one, as the remote has them. Raises Refused, ToolFailed."""
    known = remote if git.has_remote(root, remote) else None
    if not known and git.is_shallow(root):
        raise Refused(
            "this clone is shallow and has no remote: tags may be missing", fix="clone the repository without --depth"
        )
    refs = git.tag_refs(root, known or ".")
    tags = find_tags([name for name, ref in refs.items() if ref.annotated])
    chosen = tags if every else tuple({tag.artifact: tag for tag in tags}.values())  # sorted: the last is the latest
    return tuple(_version(root, tag, refs[str(tag)], known) for tag in chosen)


def _version(root: Path, tag: Tag, ref: git.TagRef, remote: str | None) -> TaggedVersion:
    if remote and not git.has_object(root, ref.id):
        git.fetch(root, [f"refs/tags/{tag}"], remote)
    with git_trees.Revision(root, ref.commit) as tree:
        try:
            content = inventory.read_tracked(tree, tag.artifact)
        except InvalidDocument as error:
            return TaggedVersion(tag, ref.commit, fault=error.message)
        files = artifact_files.read_release(tag.artifact, lambda path: tree.read(path) if tree.has(path) else None)
    manifest = files.manifest.value if files else None
    if manifest and manifest.version != tag.version:
        said = f"{tag.artifact}: the manifest of this commit says {manifest.version}"
        return TaggedVersion(tag, ref.commit, fault=said)
    named = release_manifests.find(git_signatures.read_object(root, ref.id))
    has_data = content.outputs or content.inputs
    return TaggedVersion(tag, ref.commit, content, named, "" if has_data else f"{tag.artifact}: no pointer to data")
