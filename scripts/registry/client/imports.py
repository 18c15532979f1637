"""The releases that a consumer's repository imports with DVC, and which of them have a newer or no good version.

`dvc import` writes a `.dvc` file with the URL of the registry and the tag (`rev`); nothing else is looked at.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from registry.client import products, repositories
from registry.core import documents, names
from registry.core.values import ArtifactId, Tag
from registry.errors import InvalidDocument, RegistryError
from registry.integrations import git_trees

SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__"})  # folders that have no imports of one's own


class State(IntEnum):
    """What is to be done about an import, the most urgent first."""

    WITHDRAWN = 0
    UNKNOWN = 1  # the registry cannot be read, or has no such release
    OUTDATED = 2
    CURRENT = 3


@dataclass(frozen=True, slots=True)
class Import:
    """A `.dvc` file: its path, the URL of the registry as it is written there, and the release."""

    file: str
    url: str
    tag: Tag


@dataclass(frozen=True, slots=True)
class Verdict:
    """An import, its state and the reason, and the highest good version, where it is another one."""

    found: Import
    state: State
    reason: str = ""
    newer: Tag | None = None

    @property
    def update(self) -> str:
        """The command that brings the newer version; empty where there is none."""
        return f"dvc update {self.found.file} --rev {self.newer}" if self.newer else ""

    def __str__(self) -> str:
        tag = self.found.tag
        said = {
            State.WITHDRAWN: f"{tag} is withdrawn: {self.reason}",
            State.UNKNOWN: f"{tag}: {self.reason}",
            State.OUTDATED: f"{tag}, released since: {self.newer}{self._major()}",
            State.CURRENT: f"{tag} is the latest version",
        }
        return f"{self.found.file}: {said[self.state]}"

    def _major(self) -> str:
        is_major = self.newer and self.newer.version.major > self.found.tag.version.major
        return " (another major version)" if is_major else ""


def find(root: Path, warn: Callable[[str], None]) -> Iterator[Import]:
    """The imports of releases below a folder, sorted by path; `warn` is called for each file that cannot be read."""
    for base, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("."))
        for name in sorted(name for name in files if name.endswith(".dvc")):
            path = Path(base, name)
            try:
                yield from _read(path, path.relative_to(root).as_posix())
            except (InvalidDocument, OSError) as error:
                warn(f"{error}")


def _read(path: Path, name: str) -> Iterator[Import]:
    data = documents.read_yaml(path.read_bytes(), name).data
    for dep in data.get("deps") or () if isinstance(data, dict) else ():
        source = dep.get("repo") if isinstance(dep, dict) else None
        if isinstance(source, dict) and isinstance(source.get("url"), str):
            yield from (Import(name, source["url"], tag) for tag in names.find_tags((str(source.get("rev")),)))


def judge(root: Path, found: Sequence[Import], warn: Callable[[str], None]) -> tuple[Verdict, ...]:
    """What is to be done about each import, the most urgent first; each registry is asked once."""
    by_url: dict[str, list[Import]] = {}
    for one in found:
        by_url.setdefault(_place(root, one), []).append(one)
    verdicts = [verdict for url, those in by_url.items() for verdict in _judge(url, those, warn)]
    return tuple(sorted(verdicts, key=lambda one: (one.state, one.found.file)))


def _place(root: Path, found: Import) -> str:
    """The address of a registry; that of a folder is relative to the `.dvc` file."""
    beside = (root / found.file).parent / found.url
    return str(beside) if "://" not in found.url and beside.is_dir() else found.url


def _judge(url: str, found: Sequence[Import], warn: Callable[[str], None]) -> Iterator[Verdict]:
    try:
        with repositories.opened(url) as repository:
            repository.fetch()
            tags = names.find_tags(list(repository.tags))
            artifacts = {one.tag.artifact for one in found}
            with git_trees.Revision(repository.folder, repositories.CURRENT) as current:
                withdrawn = {one: repositories.find_withdrawn(current, one, warn) for one in artifacts}
    except RegistryError as error:
        yield from (Verdict(one, State.UNKNOWN, error.message) for one in found)
        return
    yield from (_compare(one, products.of(one.tag.artifact, tags), withdrawn) for one in found)


def _compare(found: Import, tags: Sequence[Tag], withdrawn: Mapping[ArtifactId, Mapping[Tag, str]]) -> Verdict:
    bad = withdrawn[found.tag.artifact]
    best = max((tag for tag in tags if tag not in bad), default=None)
    if found.tag in bad:
        return Verdict(found, State.WITHDRAWN, bad[found.tag], best)
    if found.tag not in tags:
        return Verdict(found, State.UNKNOWN, "no such release exists", best)
    if best and best > found.tag:
        return Verdict(found, State.OUTDATED, newer=best)
    return Verdict(found, State.CURRENT)
