"""What is known about a change: the values that `collect` gathers and the rules read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from registry.core.artifact_files import (
    ArtifactFiles,
    Lock,
    Metrics,
    Parsed,
    Pipeline,
    Release,
)
from registry.core.lineage import Backbone
from registry.core.locked_state import LockedState
from registry.core.manifests import build_rule
from registry.core.pointers import Pointer
from registry.core.values import (
    ArtifactId,
    Content,
    Counts,
    DatasetManifest,
    Diff,
    Manifest,
    ModelManifest,
    Selection,
    Tag,
)
from registry.dataset.differences import LakeDifferences, Reproduction

LARGEST = 500_000  # bytes; the limit for a file in Git


class Scope(StrEnum):
    """How much is checked: what the next commit would change, what a branch changed, or everything."""

    STAGED = "staged"
    BASE = "base"
    ALL = "all"


# --- artifacts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Releases:
    """An artifact's releases: all tags, the latest release, and the one of the version that its manifest has now."""

    tags: tuple[Tag, ...] = ()
    latest: Release | None = None
    own: Release | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSubject:
    """An artifact with a valid manifest. `touched` is False where only a dataset that it depends on changed.

    `diff` compares a dataset's items with those of the latest release, where both could be read.
    """

    files: ArtifactFiles
    manifest: Manifest
    content: Content
    releases: Releases
    touched: bool
    diff: Diff | None = None

    @property
    def id(self) -> ArtifactId:
        """The artifact's id."""
        return self.manifest.id

    @property
    def path(self) -> str:
        """The path of its manifest."""
        return self.files.manifest.path

    def line(self, *location: str | int) -> int | None:
        """The line of a key in its manifest."""
        return self.files.manifest.line(*location)


@dataclass(frozen=True, slots=True)
class RepeatedImages:
    """Images that a version lists more than once: how many, and one of them with its places (`train/cat`)."""

    count: int
    uuid: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """What the list of a prepared version's files says.

    `counts` are of its images (without zeros), `tables` the splits that have a `metadata.parquet`, `unexpected_files`
    the files that are neither.
    """

    counts: Counts
    tables: frozenset[str]
    unexpected_files: tuple[str, ...] = ()
    repeated: RepeatedImages | None = None


@dataclass(frozen=True, slots=True)
class SharedImages:
    """What a dataset shares with another: `tested_here` of its `tests_here` test images are train or val images there.

    The same the other way round; `examples` are UUIDs. `unread` is why the other one could not be compared.
    """

    other: ArtifactId
    tested_here: int = 0
    tests_here: int = 0
    tested_there: int = 0
    tests_there: int = 0
    examples: tuple[str, ...] = ()
    unread: str = ""

    @property
    def total(self) -> int:
        """The test images of both that the other one has in another split."""
        return self.tested_here + self.tested_there


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSubject(ArtifactSubject):
    """A dataset whose manifest and pointers are valid; a pointer is None before the first selection or build.

    `selection` is what `raw.dvc` records of its origin; None where that is missing or invalid. None where they were not
    made: `reproduction`, `shared_images` and `lake` (the comparisons with the selection, with other datasets and with
    the lake), `listing`, `null_shares` (by column: rows without a value, 0 to 1). `unread` is the reason why something
    could not be read. `invalid_images` are the images that failed validation, each with the reason (None: not
    validated).
    """

    manifest: DatasetManifest
    raw: Pointer | None = None
    prepared: Pointer | None = None
    selection: Selection | None = None
    reproduction: Reproduction | None = None
    shared_images: tuple[SharedImages, ...] | None = None
    lake: LakeDifferences | None = None
    listing: Listing | None = None
    null_shares: Mapping[str, float] | None = None
    unread: str = ""
    invalid_images: tuple[str, ...] | None = None

    @property
    def is_released(self) -> bool:
        """Whether the latest release has the same pointers, with their facts, and the same rule."""
        files = self.releases.latest.files if self.releases.latest else None
        released = files.manifest.value if files else None
        if files is None or not isinstance(released, DatasetManifest):
            return False
        pairs = ((self.files.raw, files.raw), (self.files.prepared, files.prepared))
        same = all(_data(now) == _data(then) for now, then in pairs)
        return same and build_rule(self.manifest) == build_rule(released)


def _data(file: Parsed[Pointer] | None) -> object:
    return file.document.data if file and file.document else None


@dataclass(frozen=True, slots=True)
class Training:
    """The training that a `dvc.lock` recorded, and what the tree has now of its inputs and outputs."""

    path: str
    lock: Lock
    now: LockedState


@dataclass(frozen=True, slots=True)
class ListedImages:
    """What the list of training images of a model, or of one that it builds on, says of the model's test images.

    `leaked` are the UUIDs of those that it names, `unlisted` counts those that could not be compared with it. `faults`
    has those of the list.
    """

    model: ArtifactId
    leaked: tuple[str, ...] = ()
    unlisted: int = 0
    faults: Parsed[None] | None = None


@dataclass(frozen=True, slots=True)
class ModelObjects:
    """What a model's objects say: why its model file is not one, and where recorded metrics are not those predicted.

    `unread` and `unopened` are the reasons why the predictions and the model file could not be read. `lists` are the
    lists of training images that its `tests` test images were compared with.
    """

    file_faults: tuple[str, ...] = ()
    metric_faults: tuple[str, ...] = ()
    unread: str = ""
    unopened: str = ""
    tests: int = 0
    lists: tuple[ListedImages, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSubject(ArtifactSubject):
    """A model whose manifest, pipeline and `dvc.lock` are valid; `training` is None before the first one.

    `metrics` are None where there is no valid `metrics.json`, `objects` where no object was read. `backbones` are all
    models that it builds on.
    """

    manifest: ModelManifest
    backbones: tuple[Backbone, ...] = ()
    pipeline: Pipeline | None = None
    training: Training | None = None
    metrics: Metrics | None = None
    objects: ModelObjects | None = None


# --- the registry's own files -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class File:
    """A file of the change; a symbolic link is not text. Git would add one that it does not track yet.

    `conflict` is the line of the first marker of an unresolved merge. `has_bom` is True for a byte order mark that is
    read as a part of the first line. A submodule is no file, and has nothing but its path.
    """

    path: str
    size: int
    is_link: bool
    is_text: bool
    is_tracked: bool = True
    conflict: int | None = None
    has_bom: bool = False
    is_submodule: bool = False


class Hidden(NamedTuple):
    """A file that DVC does not see, and the pattern of `file`, with its line, that hides it."""

    path: str
    pattern: str
    line: int
    file: str = ".dvcignore"


class PlaceFault(NamedTuple):
    """What is wrong with a storage location, at a line of the file that sets it; or an option that is not honoured."""

    message: str
    path: str
    line: int
    fix: str
    is_wrong: bool = True


@dataclass(frozen=True, slots=True)
class StorageChange:
    """What a change does to `.dvc/config` and `registry.yaml`, as DVC reads them.

    `unreadable` are the files that DVC or their schema refuse, `faults` the locations that cannot be used. `moved` has
    the locations that changed, each with the file that sets it; `reconfigured` the other settings of DVC that changed.
    """

    unreadable: tuple[Parsed[None], ...] = ()
    faults: tuple[PlaceFault, ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)
    reconfigured: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """A generated file that does not match the manifests; `line` is the first that differs."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Absent:
    """Objects of one artifact that neither staging nor production has intact.

    `path` is a pointer that needs them, in `commit` (empty: in the working tree). `missing` of `total` objects are
    not there, such as those of the files `examples`; `faults` describe damaged objects.
    """

    path: str
    commit: str
    total: int
    missing: int = 0
    examples: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What staging and production lack of a change's objects, and what could not be verified, with the reasons."""

    absent: tuple[Absent, ...] = ()
    unknown: tuple[Parsed[None], ...] = ()


class Card(NamedTuple):
    """What a card says of the limits of use: the line of the heading (None: it has none), and whether words follow."""

    line: int | None
    has_limits: bool


@dataclass(frozen=True, slots=True)
class DeniedImages:
    """The denied images of a dataset, each with the reason; or why its list of files could not be read (`unread`)."""

    dataset: ArtifactId
    images: Mapping[str, str] = field(default_factory=dict)
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a change.

    `artifacts` are all that the tree has; `checked` are the files of those that the change concerns, `subjects` those
    of them with a valid manifest, `cards` what the cards of `checked` say. `removed` are the artifacts that the change
    deletes, `unknown_folders` the folders beside artifacts that are none. `unreadable` are the settings and generated
    files that cannot be parsed.
    `files` and `deleted` are all that the change has; `visible` are files that DVC sees and should not, `hidden` those
    that it should see.
    `configs` has the lines of `.dvc/config` and `registry.yaml` where they changed, `storage` what the change does to
    both. `conversions` are the attributes by which Git would convert a file that DVC or a command reads, `line_ends`
    the files with CRLF in the working tree and LF in Git. `complete` is False in a shallow clone. `stored` is None
    where staging and production were not listed,
    `denied` where there is no deny list, or it was not compared.
    """

    scope: Scope
    complete: bool = True
    artifacts: frozenset[ArtifactId] = frozenset()
    checked: tuple[ArtifactFiles, ...] = ()
    subjects: tuple[ArtifactSubject, ...] = ()
    cards: Mapping[ArtifactId, Card] = field(default_factory=dict)
    removed: tuple[ArtifactId, ...] = ()
    unknown_folders: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    deleted: tuple[str, ...] = ()
    visible: tuple[str, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    storage: StorageChange = field(default_factory=StorageChange)
    conversions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    line_ends: tuple[str, ...] = ()
    stale: tuple[Stale, ...] = ()
    unreadable: tuple[Parsed[None], ...] = ()
    stored: Stored | None = None
    denied: tuple[DeniedImages, ...] | None = None

    @property
    def datasets(self) -> tuple[DatasetSubject, ...]:
        """The datasets whose manifest and pointers are valid."""
        return tuple(subject for subject in self.subjects if isinstance(subject, DatasetSubject))
