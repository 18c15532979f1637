"""GitHub releases, one for each published version, with notes from Git; marked when the version is withdrawn.

A version is published by its tag; the release on GitHub only announces it. So tags come first, and a release that could
not be created is created by the next run. Text that people added to a release is kept.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from registry.core.escaping import markdown
from registry.core.names import find_tags
from registry.core.values import ArtifactId, Tag
from registry.integrations import git, git_trees, github
from registry.integrations.github import Release, Repository
from registry.release import notes
from registry.release.history import ReleasedVersions, read_withdrawn

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
        versions = ReleasedVersions(history, {tag: published[str(tag)].commit for tag in tags})
        for artifact in sorted(set(wanted)):
            withdrawn = read_withdrawn(artifact, lambda path: history.read(head, path))
            for tag in (tag for tag in tags if tag.artifact == artifact):
                known = existing.get(str(tag))
                expected = marked(known or _draft(versions, tag, repository.url), withdrawn.get(tag.version))
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


def _draft(versions: ReleasedVersions, tag: Tag, url: str) -> Release:
    """The GitHub release of a version; without notes where its files do not match the current schemas."""
    version = versions.load(tag)
    if version is None:
        return Release(NEW, str(tag), f"{tag.artifact} {tag.version}", "")
    text = notes.write(version, versions.before(tag), versions.made_from(version), url)
    return Release(NEW, str(tag), notes.title(version), text)
