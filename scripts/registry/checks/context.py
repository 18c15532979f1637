"""What is known about a change: the values that `collect` gathers and the rules read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from registry.core.artifact_files import Lock, Part, Pointer, Release
from registry.core.values import ArtifactId, Content, Diff, Manifest, Tag

if TYPE_CHECKING:
    from registry.dataset.items import Items


LARGEST = 500_000  # bytes that a file in Git may have


class Scope(StrEnum):
    """How much is judged: what the next commit holds, what a branch changed, or everything."""

    STAGED = "staged"
    BASE = "base"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Subject:
    """One artifact. `touched` is False where only something that it depends on changed.

    `pointers` has every `.dvc` file of the folder by its path there. `releases` are all of its tags, `latest` the
    highest of them, `own` the release of the very version that the manifest has now. `items`, `diff` (against the
    latest release) and `nulls` (share of rows without a value, by column) are None where nothing asked for them;
    `unread` says why what was asked for could not be had. `unsound` are images that are none, each with its fault
    (None: nobody looked).
    """

    id: ArtifactId
    touched: bool
    manifest: Part[Manifest]
    pointers: Mapping[str, Part[Pointer]] = field(default_factory=dict)
    lock: Part[Lock] | None = None
    pipeline: Part[Mapping[str, Any]] | None = None
    metrics: Part[Mapping[str, object]] | None = None
    content: Content | None = None
    releases: tuple[Tag, ...] = ()
    latest: Release | None = None
    own: Release | None = None
    items: "Items | None" = None
    diff: Diff | None = None
    nulls: Mapping[str, float] | None = None
    unread: str = ""
    unsound: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file that the change holds; a symbolic link is no text."""

    path: str
    size: int
    is_link: bool
    is_text: bool


@dataclass(frozen=True, slots=True)
class Stale:
    """A derived file that is not what the manifests say; `line` is the first that differs."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Absent:
    """Objects of one artifact that neither staging nor production has as they should be.

    `path` is a pointer that needs them, in `commit` (empty: in the working tree). `missing` are their files, out of
    `total` objects; `faults` say of others what is wrong with them.
    """

    path: str
    commit: str
    total: int
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What staging and production have of a change's objects: what they lack, and what could not be judged, and why."""

    absent: tuple[Absent, ...] = ()
    unknown: tuple[Part[None], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a change.

    `artifacts` are all that the tree has, `removed` those that the change deletes, `unknown_folders` the folders beside
    them that are none. `unreadable` are the settings and derived files that cannot be read. `configs` has the lines of
    `.dvc/config` and `registry.yaml` where they changed, `moved` the places that point elsewhere than before, with the
    file that says so.
    `complete` is False in a shallow clone. `stored` is None where nobody asked staging and production.
    """

    scope: Scope
    complete: bool = True
    artifacts: frozenset[ArtifactId] = frozenset()
    subjects: tuple[Subject, ...] = ()
    removed: tuple[ArtifactId, ...] = ()
    unknown_folders: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[Stale, ...] = ()
    unreadable: tuple[Part[None], ...] = ()
    stored: Stored | None = None
