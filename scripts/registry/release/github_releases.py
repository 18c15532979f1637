"""GitHub releases, one for each published version, with notes from Git; marked when the version is withdrawn.

A version is published by its tag; the release on GitHub only announces it. So tags come first, and a release that could
not be created is created by the next run. Text that people added to a release is kept.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from registry.core import artifact_files
from registry.core.escaping import markdown
from registry.core.names import find_tags
from registry.core.values import ArtifactId, ModelManifest, Tag
from registry.integrations import git, git_trees, github
from registry.integrations.github import Release, Repository
from registry.release import notes

_TITLE = "Withdrawn: "
_MARK = re.compile(r"\A> \[!CAUTION\]\n> Withdrawn: [^\n]*\n\n")
NEW = 0  # the id of a release that does not exist on GitHub yet


@dataclass(frozen=True, slots=True)
class Plan:
    """The releases to create, and those to change because their version was withdrawn, or is no longer."""

    repository: Repository
    make: tuple[Release, ...]
    mark: tuple[Release, ...]

    @property
    def is_empty(self) -> bool:
        """Whether every release is up to date."""
        return not (self.make or self.mark)

    def __str__(self) -> str:
        lines = [f"{release.tag}: create the GitHub release" for release in self.make]
        lines += [f"{release.tag}: change the GitHub release to {release.title!r}" for release in self.mark]
        return "\n".join(lines or ["GitHub releases are up to date"])


def plan(
    root: Path, repository: Repository, published: Mapping[str, git.TagRef], head: str, wanted: Iterable[ArtifactId]
) -> Plan:
    """What differs on GitHub, for these artifacts. Raises ServiceFailed.

    `published` are all tags of origin, including those that are about to be pushed; withdrawals are read from `head`.
    """
    _fetch_absent(root, published)
    tags = find_tags([name for name, ref in published.items() if ref.annotated])
    existing = {release.tag: release for release in github.releases(repository)}
    make: list[Release] = []
    mark: list[Release] = []
    with git_trees.History(root) as history:
        released = ReleaseHistory(history, published, tags, repository.url)
        for artifact in sorted(set(wanted)):
            withdrawn = released.withdrawn(head, artifact)
            for tag in (tag for tag in tags if tag.artifact == artifact):
                known = existing.get(str(tag))
                expected = marked(known or released.draft(tag), withdrawn.get(tag))
                if expected != known:
                    (mark if known else make).append(expected)
    return Plan(repository, tuple(make), tuple(mark))


def _fetch_absent(root: Path, published: Mapping[str, git.TagRef]) -> None:
    known = git.tag_refs(root)
    absent = [name for name, ref in published.items() if name not in known and not git.has_object(root, ref.commit)]
    if absent:
        git.fetch(root, [f"refs/tags/{name}:refs/tags/{name}" for name in absent])


def apply(plan: Plan) -> None:
    """Create and change them. Raises ServiceFailed; changes made until then stay."""
    for release in plan.make:
        github.create_release(plan.repository, release.tag, release.title, release.notes)
    for release in plan.mark:
        github.update_release(plan.repository, release)


def marked(release: Release, why: str | None) -> Release:
    """The release with the mark that its version is withdrawn, and why; without a reason, without that mark."""
    text = _MARK.sub("", release.notes.replace("\r\n", "\n"))  # GitHub's editor writes \r\n
    title = release.title.removeprefix(_TITLE)
    if why is None:
        return replace(release, title=title, notes=text) if title != release.title else release
    mark = f"> [!CAUTION]\n> Withdrawn: {markdown(why, None)}\n\n"
    if release.title.startswith(_TITLE) and release.notes.replace("\r\n", "\n").startswith(mark):
        return release
    return replace(release, title=_TITLE + title, notes=mark + text)


@dataclass(frozen=True, slots=True)
class ReleaseHistory:
    """Reads released versions from Git, each once (`versions`).

    `published` and `tags` are all release tags, `url` is the repository's.
    """

    history: git_trees.History
    published: Mapping[str, git.TagRef]
    tags: tuple[Tag, ...]
    url: str
    versions: dict[Tag, notes.ReleasedVersion | None] = field(default_factory=dict)

    def withdrawn(self, head: str, artifact: ArtifactId) -> Mapping[Tag, str]:
        """The withdrawn versions of an artifact with the reasons, as the manifest at `head` has them."""
        files = artifact_files.read_release(artifact, lambda path: self.history.read(head, path))
        manifest = files.manifest.value if files else None
        return {Tag(artifact, version): why for version, why in manifest.withdrawn.items()} if manifest else {}

    def draft(self, tag: Tag) -> Release:
        """The GitHub release of a version; without notes where its files do not match the current schemas."""
        version = self._load(tag)
        if version is None:
            return Release(NEW, str(tag), f"{tag.artifact} {tag.version}", "")
        earlier = [one for one in self.tags if one.artifact == tag.artifact and one < tag]
        before = self._load(earlier[-1]) if earlier else None
        text = notes.write(version, before, self._made_from(version), self.url)
        return Release(NEW, str(tag), notes.title(version), text)

    def _load(self, tag: Tag) -> notes.ReleasedVersion | None:
        if tag not in self.versions:
            commit = self.published[str(tag)].commit
            self.versions[tag] = notes.load(tag, lambda path: self.history.read(commit, path))
        return self.versions[tag]

    def _made_from(self, version: notes.ReleasedVersion) -> notes.Lineage:
        """The releases of a model's dataset and backbones, the latest where several have the same files."""
        manifest = version.content.manifest
        if not isinstance(manifest, ModelManifest):
            return notes.Lineage()
        inputs = set(version.content.objects.values())
        found = {one: tag for one in manifest.builds_on if (tag := self._release(one, "model.onnx", inputs))}
        dataset = self._release(manifest.dataset, "prepared", inputs) if manifest.dataset else None
        return notes.Lineage(dataset, found)

    def _release(self, artifact: ArtifactId, product: str, inputs: Collection[str]) -> Tag | None:
        """The latest release of an artifact whose product is among the inputs."""
        tags = (tag for tag in reversed(self.tags) if tag.artifact == artifact)
        return next((tag for tag in tags if self._md5(tag, product) in inputs), None)

    def _md5(self, tag: Tag, product: str) -> str | None:
        version = self._load(tag)
        return version.content.objects.get(product) if version else None
