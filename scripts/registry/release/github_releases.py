"""GitHub's releases, one for each published version: made from what Git knows, marked when the version is withdrawn.

A tag publishes; its release only tells people. So tags come first, and a release that could not be made is made by the
next run. What people wrote into a release stays.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.core import artifact_files
from registry.core.escaping import markdown
from registry.core.names import find_tags
from registry.core.values import ArtifactId, Kind, Tag
from registry.integrations import git, git_trees, github
from registry.integrations.github import Release, Repository
from registry.release import notes

_TITLE = "Withdrawn: "
_MARK = re.compile(r"\A> \[!CAUTION\]\n> Withdrawn: [^\n]*\n\n")
NEW = 0  # the id of a release that GitHub does not have yet


@dataclass(frozen=True, slots=True)
class Plan:
    """The releases to make, and those to change because a withdrawal was said or taken back."""

    repository: Repository
    make: tuple[Release, ...]
    mark: tuple[Release, ...]

    @property
    def is_empty(self) -> bool:
        """Whether every release is as it should be."""
        return not (self.make or self.mark)

    def __str__(self) -> str:
        lines = [f"{release.tag}: make its release on GitHub" for release in self.make]
        lines += [f"{release.tag}: change its release on GitHub to «{release.title}»" for release in self.mark]
        return "\n".join(lines or ["every version has its release on GitHub"])


def plan(
    root: Path, repository: Repository, published: Mapping[str, git.TagRef], head: str, wanted: Iterable[ArtifactId]
) -> Plan:
    """What is missing on GitHub, for these artifacts. Raises ServiceFailed.

    `published` holds every tag of origin, those too that are about to come; withdrawals are read from `head`.
    """
    _bring(root, published)
    tags = find_tags([name for name, ref in published.items() if ref.annotated])
    there = {release.tag: release for release in github.releases(repository)}
    make, mark = [], []
    with git_trees.History(root) as history:
        book = _Book(history, published, tags, repository.url)
        for artifact in sorted(set(wanted)):
            withdrawn = book.withdrawn(head, artifact)
            for tag in (tag for tag in tags if tag.artifact == artifact):
                known = there.get(str(tag))
                right = marked(known or book.draft(tag), withdrawn.get(tag))
                if right != known:
                    (mark if known else make).append(right)
    return Plan(repository, tuple(make), tuple(mark))


def _bring(root: Path, published: Mapping[str, git.TagRef]) -> None:
    known = git.tag_refs(root)
    absent = [name for name, ref in published.items() if name not in known and not git.has_object(root, ref.commit)]
    if absent:
        git.fetch(root, [f"refs/tags/{name}:refs/tags/{name}" for name in absent])


def apply(plan: Plan) -> None:
    """Make and change them. Raises ServiceFailed; what was done by then stays done."""
    for release in plan.make:
        github.create_release(plan.repository, release.tag, release.title, release.notes)
    for release in plan.mark:
        github.change_release(plan.repository, release)


def marked(release: Release, why: str | None) -> Release:
    """A release that says that its version is withdrawn and why, or, without a reason, one that does not."""
    text = _MARK.sub("", release.notes.replace("\r\n", "\n"))  # GitHub's editor writes \r\n
    title = release.title.removeprefix(_TITLE)
    if why is None:
        return replace(release, title=title, notes=text) if title != release.title else release
    mark = f"> [!CAUTION]\n> Withdrawn: {markdown(why, None)}\n\n"
    if release.title.startswith(_TITLE) and release.notes.replace("\r\n", "\n").startswith(mark):
        return release
    return replace(release, title=_TITLE + title, notes=mark + text)


@dataclass(frozen=True, slots=True)
class _Book:
    """What the tags say, read one file at a time."""

    history: git_trees.History
    published: Mapping[str, git.TagRef]
    tags: tuple[Tag, ...]
    url: str

    def withdrawn(self, head: str, artifact: ArtifactId) -> Mapping[Tag, str]:
        """The withdrawn versions of an artifact, with the reasons."""
        content = artifact_files.released(artifact, lambda path: self.history.read(head, path))
        return {Tag(artifact, version): why for version, why in content.manifest.withdrawn.items()} if content else {}

    def draft(self, tag: Tag) -> Release:
        """The release of a version. One that today's schemas refuse has its tag as title, and no notes."""
        told = self._told(tag)
        if told is None:
            return Release(NEW, str(tag), f"{tag.artifact} {tag.version}", "")
        earlier = [one for one in self.tags if one.artifact == tag.artifact and one < tag]
        before = self._told(earlier[-1]) if earlier else None
        text = notes.write(told, before, self._trained_on(told), self.url)
        return Release(NEW, str(tag), notes.title(told), text)

    def _told(self, tag: Tag) -> notes.Told | None:
        return notes.load(tag, lambda path: self._read(tag, path))

    def _read(self, tag: Tag, path: str) -> bytes | None:
        return self.history.read(self.published[str(tag)].commit, path)

    def _trained_on(self, told: notes.Told) -> Tag | None:
        """The release whose images a model was trained on, the latest if several have the same."""
        seen = set(told.content.objects.values())
        return next((tag for tag in self._datasets(told) if self._images(tag) in seen), None)

    def _datasets(self, told: notes.Told) -> Iterator[Tag]:
        if told.tag.artifact.kind is Kind.MODEL:
            wanted = told.content.manifest.trained_on
            yield from (tag for tag in reversed(self.tags) if tag.artifact == wanted)

    def _images(self, tag: Tag) -> str | None:
        told = self._told(tag)
        return told.content.objects.get("prepared") if told else None
