"""The frozen values that stages exchange; nothing here reads a file or runs a tool."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from registry.core.adoption import Adopted
from registry.core.check_names import CheckName
from registry.core.delivery_places import Place
from registry.core.model_values import FEATURES, Gate, Origin

if TYPE_CHECKING:
    import polars


class Kind(StrEnum):
    """The kinds of artifact; `folder` is the top-level folder of a kind."""

    DATASET = "dataset"
    MODEL = "model"

    @property
    def folder(self) -> str:
        """`datasets` or `models`."""
        return f"{self.value}s"


@dataclass(frozen=True, slots=True, order=True)
class ArtifactId:
    """An artifact's id, which is its path: `datasets/cats_dogs`. `names.parse_id` makes one from text."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.folder}/{self.name}"


class Bump(IntEnum):
    """The part of a version that a change increments, smallest first."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release, `MAJOR.MINOR.PATCH`. `names.parse_version` makes one from text."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def bumped(self, bump: Bump) -> "Version":
        """The version after this one by `bump`."""
        match bump:
            case Bump.MAJOR:
                return Version(self.major + 1, 0, 0)
            case Bump.MINOR:
                return Version(self.major, self.minor + 1, 0)
            case Bump.PATCH:
                return Version(self.major, self.minor, self.patch + 1)
        return self


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A published version of an artifact: `datasets/cats_dogs@v1.2.0`."""

    artifact: ArtifactId
    version: Version

    def __str__(self) -> str:
        return f"{self.artifact}@v{self.version}"


# --- manifests: written by hand ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a selection: its name here, its name at the source, its type (see `dataset.column_types`).

    `headers` are further names that exported files have for it, `timezone` is that of times without an offset, if it is
    not the source's. `null_values` are the texts for a missing value; None is none, and known markers are refused.
    `kept`: a row keeps the value that it had in the selection before, and the source is not asked (`kept_columns`).
    """

    name: str
    source: str
    type: str
    nullable: bool
    null_values: tuple[str, ...] | None = None
    headers: tuple[str, ...] = ()
    timezone: str | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class LookerQuery:
    """An inline Looker query; its fields are the sources of the manifest's columns."""

    model: str
    view: str
    filters: Mapping[str, str]
    filter_expression: str | None
    sorts: tuple[str, ...]
    timezone: str


@dataclass(frozen=True, slots=True)
class Look:
    """A query saved in Looker, with its id there; `origin` is Looker's `https://HOST`, where it is known."""

    id: str
    origin: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Export:
    """Files that are exported; `description` says from where, `place` where they are delivered (None: no place).

    `timezone` is that of times that name none; None: a file with such times is refused.
    """

    description: str
    timezone: str | None = None
    place: Place | None = None


Source = LookerQuery | Look | Export | Adopted


@dataclass(frozen=True, slots=True)
class SplitRule:
    """Ratios of train, val, test, whose sum is one; groups of `group_by` stay together; `given` has splits of rows."""

    salt: str
    ratios: Mapping[str, Fraction]
    group_by: str | None = None
    given: str | None = None


@dataclass(frozen=True, slots=True)
class SplitExpectations:
    """The fewest images that a split must have, and the fewest of each class; None is no limit."""

    min_images: int | None = None
    min_per_class: int | None = None


@dataclass(frozen=True, slots=True)
class Expectations:
    """Limits that a dataset's rows must keep; None is no limit. `splits` has those of single splits, by name."""

    min_images: int | None = None
    max_images: int | None = None
    min_per_class: int | None = None
    max_class_share: float | None = None
    max_removed_share: float | None = None
    max_null_share: Mapping[str, float] = field(default_factory=dict)
    splits: Mapping[str, SplitExpectations] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The fields of every manifest. `withdrawn` maps withdrawn versions to the reason."""

    id: ArtifactId
    version: Version
    title: str
    description: str
    owners: tuple[str, ...]
    license: str
    withdrawn: Mapping[Version, str]


@dataclass(frozen=True, slots=True)
class DatasetManifest(Manifest):
    """`dataset.yaml`; `image` is a lake key with `{uuid}` in it (None: adopted), `exclude` has reasons by UUID.

    `lenient` accepts images that a decoder warns of. Each split has `folders` that are tracked (None: `prepared` is).
    """

    source: Source
    image: str | None
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    split: SplitRule
    expectations: Expectations
    exclude: Mapping[str, str]
    lenient: bool = False
    folders: int | None = None

    @property
    def is_adopted(self) -> bool:
        """Whether its images were adopted from elsewhere."""
        return isinstance(self.source, Adopted)


@dataclass(frozen=True, slots=True)
class ModelManifest(Manifest):
    """`model.yaml`. `tolerance` bounds each metric's absolute difference when the model is reproduced.

    It is `trained_on` a dataset here, or has an `origin` and is `measured_on` one; `builds_on` are models it needs.
    """

    task: str
    intended_use: str
    gates: tuple[Gate, ...] = ()
    slices: tuple[str, ...] = ()
    tolerance: Mapping[str, float] = field(default_factory=dict)
    trained_on: ArtifactId | None = None
    origin: Origin | None = None
    measured_on: ArtifactId | None = None
    builds_on: tuple[ArtifactId, ...] = ()

    @property
    def dataset(self) -> ArtifactId | None:
        """The dataset that it is measured on, and trained on where that happens here; None: a backbone has none."""
        return self.trained_on or self.measured_on

    @property
    def is_measured(self) -> bool:
        """Whether the judge has something to measure; features have no right answer."""
        return self.task != FEATURES


# --- pointers: written by tools ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a pointer: a file (`nfiles` None) or a folder (md5 ends in `.dir`); `size` in bytes."""

    path: str  # relative to the registry's root
    md5: str
    size: int
    nfiles: int | None = None

    @property
    def is_dir(self) -> bool:
        """Whether this is a folder."""
        return self.md5.endswith(".dir")


@dataclass(frozen=True, slots=True)
class Asker:
    """The Looker user of the API key that a query was run with; `name` is empty where Looker has none."""

    id: str
    name: str = ""
    service_account: bool = False


@dataclass(frozen=True, slots=True)
class Lookml:
    """The Git commit of the LookML project that defines a query's explore."""

    project: str
    commit: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The object that rows were read from: its URL without a login, its ETag and time (empty where unknown)."""

    url: str
    etag: str
    modified: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The origin of a selection, kept under `meta.selection` in `raw.dvc`; never contains a secret.

    `rows_hash` is the SHA-256 of the rows as CSV, `source_hash` of the manifest's source and columns. Rows from Looker
    have a `query`, as it was run, its `query_hash`, and the `sql_hash` of Looker's SQL; rows of a file the `file_hash`
    of its bytes, and `delivery` where it was delivered. What could not be learnt is None.
    """

    rows: int
    rows_hash: str
    source_hash: str
    origin: str  # "looker", or the name of the exported file
    selected_at: datetime
    file_hash: str | None = None
    query: Mapping[str, object] | None = None
    query_hash: str | None = None
    sql_hash: str | None = None
    asked_by: Asker | None = None
    workspace: str | None = None  # production, or the LookML of a developer
    lookml: Lookml | None = None
    looker_release: str | None = None
    share_url: str | None = None
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """How `prepared.dvc` was built, kept under its `meta.build`: the selection, the rule, and the numbers of images."""

    selection: str  # the md5 of raw's `.dir`
    rule: str  # the `manifests.build_rule` of that time
    images: int
    counts: "Counts"
    whole: str = ""  # of a version in parts: the md5 that DVC gives `prepared`


# --- what changed -----------------------------------------------------------------------------------------------------

Counts = Mapping[str, Mapping[str, int]]  # split → class → number of items


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version, as Git has it: its manifest, and the md5s of the objects that its pointers name.

    A dataset's objects are `raw` and `prepared` (or its `core.parts`), a model's those of its `dvc.lock`: those that
    exist. `recipe` is a digest of the parameters in the lock.
    """

    manifest: Manifest
    objects: Mapping[str, str]
    recipe: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Diff:
    """How the items of two dataset versions differ; an item may be relabelled, moved and changed at the same time.

    Removed items (without `erased` ones) are counted by their old split and class, all others by their new ones. `rows`
    has one per item that differs: uuid, then split, label, md5 with `_old` and `_new`. `tables`: a table differs.
    """

    before: Counts
    after: Counts
    added: Counts
    removed: Counts
    relabelled: Counts
    moved: Counts
    changed: Counts
    rows: "polars.DataFrame"
    tables: bool
    erased: int = 0


@dataclass(frozen=True, slots=True)
class RequiredBump:
    """The bump that a change requires: `what` changed, and `why` that requires it."""

    bump: Bump
    what: str
    why: str


class Verdict(StrEnum):
    """The result of a check, best first."""

    OK = "ok"
    NEEDS_OWNER = "needs an owner"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check: `message` names the fault, `fix` the next step; `line` counts from 1."""

    check: CheckName
    artifact: ArtifactId | None
    verdict: Verdict
    message: str
    path: str = ""
    line: int | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check of one artifact (or of the registry: None): its findings, or why it did not run."""

    check: CheckName
    artifact: ArtifactId | None
    findings: tuple[Finding, ...] = ()
    not_run: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its findings."""
        verdicts = {finding.verdict for finding in self.findings}
        return next((worst for worst in (Verdict.WRONG, Verdict.NEEDS_OWNER) if worst in verdicts), Verdict.OK)
