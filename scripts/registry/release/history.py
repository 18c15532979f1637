"""The releases of a registry as its Git repository has them: tags, the files of their commits, today's withdrawals.

Tags and stages are GTO's. What a tag promises is what its commit says, so a tag that was made by hand on a commit with
another version in its manifest is a release with a fault.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from registry.core import artifact_files, layout, names, reproductions, stages
from registry.core.artifact_files import ArtifactFiles
from registry.core.names import InvalidName
from registry.core.reproductions import Reproduction
from registry.core.tree import Tree, find_file
from registry.core.values import ArtifactId, ModelManifest, Tag, Version
from registry.integrations import git, git_trees
from registry.release import notes, stray_tags
from registry.release.memory import Memory, remembered
from registry.release.notes import Lineage, ReleasedVersion

# What knows of withdrawals: the default branch as it was fetched, and what is checked out, which can be older.
PRESENT = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/heads/main", "HEAD")


@dataclass(frozen=True, slots=True)
class Release:
    """A version that has a tag; `seconds` since 1970 until that was made, and the reason if it was `withdrawn`.

    `version` is None where the files of the commit cannot be read with today's schemas. `fault` says why the tag is no
    release of what it names; it is empty for each tag that `registry publish` made. `reproduction` is the last one of a
    model that is recorded.
    """

    tag: Tag
    commit: str
    seconds: int
    version: ReleasedVersion | None
    made_from: Lineage
    stages: tuple[str, ...]
    withdrawn: str
    fault: str
    reproduction: Reproduction | None = None

    @property
    def time(self) -> str:
        """When the tag was made, in UTC: `2026-11-29T08:15:00+00:00`."""
        return datetime.fromtimestamp(self.seconds, UTC).isoformat()

    @property
    def date(self) -> str:
        """The day of that: `2026-11-29`."""
        return self.time[:10]

    @property
    def has_sidecar(self) -> bool:
        """Whether the weights of a model lie beside its file."""
        return bool(self.version and self.version.sidecar)

    @property
    def sources(self) -> tuple[Tag, ...]:
        """The releases that a model was made from, its dataset's first."""
        dataset = (self.made_from.dataset,) if self.made_from.dataset else ()
        return (*dataset, *self.made_from.backbones.values())


@dataclass(frozen=True, slots=True)
class ReleasedVersions:
    """Reads released versions from Git, each once (`versions`); `commits` has the commit of each tag.

    Nothing was made from those that are `ignored`, and nothing came after them.

    What the `memory` has is not read from Git again. `newest` has the tags of each artifact, the latest first.
    """

    history: git_trees.History
    commits: Mapping[Tag, str]
    memory: Memory = field(default_factory=Memory)
    ignored: AbstractSet[str] = frozenset()
    versions: dict[Tag, ReleasedVersion | None] = field(default_factory=dict)
    newest: dict[ArtifactId, list[Tag]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tag in sorted(self.commits, reverse=True):
            self.newest.setdefault(tag.artifact, []).append(tag)

    def load(self, tag: Tag) -> ReleasedVersion | None:
        """A version; None where its files do not match the current schemas."""
        if tag not in self.versions:
            self.versions[tag] = notes.from_files(tag, self._files(self.commits[tag], tag.artifact))
        return self.versions[tag]

    def _files(self, commit: str, artifact: ArtifactId) -> ArtifactFiles | None:
        if known := self.memory.find(commit, artifact):
            return known
        if files := artifact_files.read_release(artifact, partial(self.history.read, commit)):
            self.memory.keep(commit, files)
        return files

    def before(self, tag: Tag) -> ReleasedVersion | None:
        """The version that was released before a version of the same artifact."""
        earlier = next((one for one in self.newest[tag.artifact] if one < tag and self._is_release(one)), None)
        return self.load(earlier) if earlier else None

    def made_from(self, version: ReleasedVersion) -> Lineage:
        """The releases of a model's dataset and backbones, the latest where several have the same files."""
        manifest = version.content.manifest
        if not isinstance(manifest, ModelManifest):
            return Lineage()
        inputs = set(version.content.objects.values())
        found = {one: tag for one in manifest.builds_on if (tag := self._release(one, inputs))}
        dataset = self._release(manifest.dataset, inputs) if manifest.dataset else None
        return Lineage(dataset, found)

    def _release(self, artifact: ArtifactId, inputs: Collection[str]) -> Tag | None:
        """The latest release of an artifact whose product is among the inputs."""
        return next((tag for tag in self.newest.get(artifact, ()) if self._has(tag, inputs)), None)

    def _has(self, tag: Tag, inputs: Collection[str]) -> bool:
        version = self.load(tag)
        return version is not None and self._is_release(tag) and version.md5 in inputs

    def _is_release(self, tag: Tag) -> bool:
        """Whether a tag is of the version that it names, as far as today's schemas can read it."""
        version = self.load(tag)
        return str(tag) not in self.ignored and (version is None or version.content.manifest.version == tag.version)


def read(root: Path, tree: Tree, wanted: Iterable[ArtifactId] = ()) -> tuple[Release, ...]:
    """The releases of these artifacts, or of all, sorted by tag.

    Withdrawals are those of the manifests in `tree`, and of the default branch, which may be newer.
    """
    times, refs = git.tag_times(root), git.tag_refs(root)
    tags = names.find_tags(list(times))
    chosen = set(wanted) or {tag.artifact for tag in tags}
    assigned = stages.find(times, {name: ref.commit for name, ref in refs.items()})
    repeats = read_reproductions(root)
    cancelled = {one for name in times if (one := names.find_cancelled(name))}
    unmerged = stray_tags.find_unmerged(root)
    with git_trees.History(root) as history, remembered(root) as memory:
        fetched = [partial(history.read, ref) for ref in PRESENT]
        withdrawn = {one: read_withdrawn(one, partial(find_file, tree), *fetched) for one in chosen}
        versions = ReleasedVersions(history, {tag: refs[str(tag)].commit for tag in tags}, memory, unmerged)
        found: list[Release] = []
        for tag in (tag for tag in tags if tag.artifact in chosen):
            version, commit = versions.load(tag), versions.commits[tag]
            made_from = versions.made_from(version) if version else Lineage()
            current = assigned.get((tag.artifact, commit), ())
            why = withdrawn[tag.artifact].get(tag.version, "")
            fault = _fault(tag, version, cancelled, unmerged)
            repeated = repeats.get(tag)
            found.append(Release(tag, commit, times[str(tag)], version, made_from, current, why, fault, repeated))
        return tuple(found)


def _fault(tag: Tag, version: ReleasedVersion | None, cancelled: AbstractSet[str], unmerged: AbstractSet[str]) -> str:
    if version is None:
        return "its commit has no version that can be read"
    if (said := version.content.manifest.version) != tag.version:
        return f"the manifest of its commit says {said}"
    if str(tag) in unmerged:
        return stray_tags.UNMERGED
    if cancelled & {str(tag), str(tag.artifact)}:
        return "gto deprecate cancels it, which `dvc artifacts get` does not obey: registry withdraw does"
    return ""


def read_reproductions(root: Path) -> Mapping[Tag, Reproduction]:
    """The last recorded reproduction of each model's release that has one."""
    commit = next(filter(None, (git.find_id(root, ref) for ref in reproductions.REFS)), "")
    if not commit:
        return {}
    with git_trees.Revision(root, commit) as tree:
        return dict(_reproductions(tree))


def _reproductions(tree: Tree) -> Iterator[tuple[Tag, Reproduction]]:
    for entry in tree.list("models"):
        try:
            tag = names.parse_tag(entry.path.removesuffix(".jsonl").replace("/v", "@v"))
        except InvalidName:
            continue
        if entry.path == reproductions.path(tag) and (found := reproductions.latest(tree.read(entry.path), tag)):
            yield tag, found


def read_withdrawn(artifact: ArtifactId, *readers: Callable[[str], bytes | None]) -> Mapping[Version, str]:
    """The withdrawn versions of an artifact with the reasons, as manifests say that `readers` have by their path.

    The first reader counts where several have a reason; a manifest that cannot be read says nothing.
    """
    found: dict[bytes, ArtifactFiles | None] = {}
    for read in readers:
        data = read(layout.manifest_path(artifact))
        if data is not None and data not in found:
            found[data] = artifact_files.read_release(artifact, {layout.manifest_path(artifact): data}.get)
    manifests = [files.manifest.value for files in found.values() if files]
    return dict(item for one in reversed(manifests) if one for item in one.withdrawn.items())
