"""The versions that a branch has had, by its first-parent line: each merge's result, whatever came after it.

Reads Git objects; nothing is checked out.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from registry.core import documents, layout, names
from registry.core.values import ArtifactId, Tag, Version
from registry.errors import InvalidDocument
from registry.integrations import git_history, git_trees

_NUMBERS = re.compile(rb"[0-9]+\.[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class MergedVersion:
    """A version that the branch had. `commits` changed files of the artifact meanwhile, oldest first; never empty.

    `given_up`: how the branch went back behind it, by a lower version or by removing the artifact; empty if it did not.
    """

    tag: Tag
    commits: tuple[str, ...]
    given_up: str = ""


@dataclass(frozen=True, slots=True)
class _State:
    """The version of an artifact after a commit that changed its files; None where it has no manifest."""

    commit: str
    version: Version | None


@dataclass(frozen=True, slots=True)
class MergedVersions:
    """Versions of a branch, and the place of each commit of its line that changed an artifact, the oldest 0."""

    versions: tuple[MergedVersion, ...]
    places: Mapping[str, int]


def find(root: Path, tip: str, known: Collection[Tag] = frozenset()) -> MergedVersions:
    """The versions in the history of `tip` that are not among the `known` ones.

    An artifact whose manifests name only known versions is not read further: where everything is published, this costs
    one `git log`, and one `git cat-file` for all manifests.
    """
    changes = git_history.merged_changes(root, tip, layout.FOLDERS)
    with git_trees.History(root) as history:
        found = [
            version
            for artifact, line in _by_artifact(changes).items()
            if _names_another(manifests := _read_manifests(history, artifact, line), artifact, known)
            for version in _versions(artifact, _states(line, manifests))
            if version.tag not in known
        ]
    return MergedVersions(tuple(found), _number(changes))


def find_places(root: Path, tip: str) -> Mapping[str, int]:
    """The `places` of `MergedVersions` alone."""
    return _number(git_history.merged_changes(root, tip, layout.FOLDERS))


def _number(changes: Iterable[git_history.CommitPaths]) -> Mapping[str, int]:
    return {change.commit: place for place, change in enumerate(changes)}


def _by_artifact(changes: Iterable[git_history.CommitPaths]) -> Mapping[ArtifactId, Mapping[str, bool]]:
    """By artifact: the commits that changed its files, oldest first, and whether its manifest was among them."""
    lines = defaultdict[ArtifactId, dict[str, bool]](dict)
    for change in changes:
        for path in change.paths:
            if owner := layout.owner_of(path):
                is_manifest = path == layout.manifest_path(owner)
                lines[owner][change.commit] = lines[owner].get(change.commit, False) or is_manifest
    return lines


def _read_manifests(
    history: git_trees.History, artifact: ArtifactId, line: Mapping[str, bool]
) -> Mapping[str, bytes | None]:
    path = layout.manifest_path(artifact)
    return {commit: history.read(commit, path) for commit, is_changed in line.items() if is_changed}


def _names_another(manifests: Mapping[str, bytes | None], artifact: ArtifactId, known: Collection[Tag]) -> bool:
    """Whether a manifest has three numbers that are no known version: a manifest's version stands in it literally."""
    numbers = {number.decode() for data in manifests.values() if data for number in _NUMBERS.findall(data)}
    return not numbers <= {str(tag.version) for tag in known if tag.artifact == artifact}


def _states(line: Mapping[str, bool], manifests: Mapping[str, bytes | None]) -> Iterator[_State]:
    """Without those in which the manifest says no version: a fault of a moment, which takes nothing back."""
    versions = {data: _parse_version(data) for data in set(manifests.values()) if data is not None}
    data = None
    for commit in line:
        data = manifests.get(commit, data)
        if data is None or versions[data]:
            yield _State(commit, versions[data] if data else None)


def _parse_version(data: bytes) -> Version | None:
    """What a manifest says, also one that is not valid by today's schema."""
    with suppress(InvalidDocument, names.InvalidName, KeyError, TypeError):  # not a mapping, or without that key
        return names.parse_version(str(documents.read_yaml(data, "").data["version"]))
    return None


def _versions(artifact: ArtifactId, states: Iterable[_State]) -> Iterator[MergedVersion]:
    """Each version with its last run of commits: one that was reverted and merged again counts from then on."""
    runs = list[tuple[Version | None, list[str]]]()
    for state in states:
        if not runs or runs[-1][0] != state.version:
            runs.append((state.version, []))
        runs[-1][1].append(state.commit)
    last = {version: place for place, (version, _) in enumerate(runs)}
    for version, place in last.items():
        if version is not None:
            yield MergedVersion(Tag(artifact, version), tuple(runs[place][1]), _given_up(version, runs[place + 1 :]))


def _given_up(version: Version, later: Sequence[tuple[Version | None, Sequence[str]]]) -> str:
    for other, commits in later:
        if other is None:
            return f"{commits[0][:10]} removed the artifact"
        if other < version:
            return f"{commits[0][:10]} went back to {other}"
    return ""
