"""The table of checks: the rule behind each name, what it is about, and what has to hold before it can run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from registry.checks.context import ArtifactSubject, DatasetSubject, Facts, ModelSubject
from registry.checks.findings import Diagnostic
from registry.checks.rules import (
    cards,
    changes,
    conversions,
    datasets,
    denial,
    files,
    leakage,
    lineage,
    manifests,
    models,
    objects,
    queries,
    repository,
    reproduction,
    tracked_files,
)
from registry.core.artifact_files import ArtifactFiles
from registry.core.check_names import CheckName
from registry.core.values import Kind
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange, Refusal

S = TypeVar("S", bound=ArtifactSubject)

DATASETS, MODELS, BOTH = (Kind.DATASET,), (Kind.MODEL,), (Kind.DATASET, Kind.MODEL)


def _always(_: Facts) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class RegistryCheck:
    """A rule that runs once. It does not run where a check in `requires` found something wrong.

    There is no outcome at all where it does not apply, because its facts were not collected.
    """

    name: CheckName
    rule: Callable[[Facts], Iterator[Diagnostic]]
    requires: tuple[CheckName, ...] = ()
    applies: Callable[[Facts], bool] = _always


@dataclass(frozen=True, slots=True)
class FilesCheck:
    """A rule on an artifact's files as they were parsed, faults included; it runs for each artifact of these kinds."""

    name: CheckName
    kinds: tuple[Kind, ...]
    rule: Callable[[ArtifactFiles], Iterator[Diagnostic]]


@dataclass(frozen=True, slots=True)
class ArtifactCheck(Generic[S]):
    """A rule that runs for each artifact of a subject's type, unless a check in `requires` found something wrong."""

    name: CheckName
    subject: type[S]
    rule: Callable[[S, Facts], Iterator[Diagnostic]]
    after: tuple[CheckName, ...] = ()
    applies: Callable[[Facts], bool] = _always

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of artifact that it is about."""
        return _KINDS[self.subject]

    @property
    def requires(self) -> tuple[CheckName, ...]:
        """The checks without whose success there is no such subject, and those named in `after`."""
        return (*_VALID_FILES[self.subject], *self.after)

    def run(self, subject: ArtifactSubject | None, facts: Facts) -> Iterator[Diagnostic]:
        """What the rule finds. TypeError where the files are not valid although no required check said so: a bug."""
        if not isinstance(subject, self.subject):
            raise TypeError(f"{self.name} needs a {self.subject.__name__}")
        return self.rule(subject, facts)


@dataclass(frozen=True, slots=True)
class ReportCheck:
    """A rule that only `registry report` or `registry judge` runs: on two versions, or on results of a training."""

    name: CheckName
    rule: (
        Callable[[DatasetChange], Iterator[Diagnostic]]
        | Callable[[ModelChange], Iterator[Diagnostic]]
        | Callable[[Sequence[Refusal]], Iterator[Diagnostic]]
    )


AnyArtifactCheck = ArtifactCheck[ArtifactSubject] | ArtifactCheck[DatasetSubject] | ArtifactCheck[ModelSubject]
Check = RegistryCheck | FilesCheck | AnyArtifactCheck | ReportCheck

_KINDS: Mapping[type[ArtifactSubject], tuple[Kind, ...]] = {
    ArtifactSubject: BOTH,
    DatasetSubject: DATASETS,
    ModelSubject: MODELS,
}
_VALID_FILES: Mapping[type[ArtifactSubject], tuple[CheckName, ...]] = {
    ArtifactSubject: (CheckName.MANIFEST,),
    DatasetSubject: (CheckName.MANIFEST, CheckName.POINTERS),
    ModelSubject: (CheckName.MANIFEST, CheckName.PIPELINE),
}


def _remotes_were_listed(facts: Facts) -> bool:
    return facts.stored is not None


def _images_were_validated(facts: Facts) -> bool:
    return any(subject.invalid_images is not None for subject in facts.datasets)


def _versions_were_recomputed(facts: Facts) -> bool:
    return any(subject.reproduction is not None for subject in facts.datasets)


def _datasets_were_compared(facts: Facts) -> bool:
    return any(subject.shared_images is not None for subject in facts.datasets)


def _denied_were_looked_for(facts: Facts) -> bool:
    return facts.denied is not None


def _lake_was_compared(facts: Facts) -> bool:
    return any(subject.lake is not None for subject in facts.datasets)


def _models_were_opened(facts: Facts) -> bool:
    return any(isinstance(subject, ModelSubject) and subject.objects is not None for subject in facts.subjects)


_N = CheckName
CHECKS: tuple[Check, ...] = (
    RegistryCheck(_N.SETTINGS, repository.settings_are_valid),
    RegistryCheck(_N.SECRETS, repository.no_secrets),
    RegistryCheck(_N.STORAGE_LOCATIONS, repository.storage_locations_stay),
    RegistryCheck(_N.STORAGE_ACCESS, repository.storage_can_be_opened, (_N.SETTINGS,)),
    RegistryCheck(_N.FOLDERS, repository.folders_are_artifacts),
    RegistryCheck(_N.REMOVED, repository.removal_is_intended),
    RegistryCheck(_N.FILE_NAMES, files.file_names_are_portable),
    RegistryCheck(_N.CONFLICTS, files.merges_are_resolved),
    RegistryCheck(_N.BYTE_ORDER_MARKS, files.texts_have_no_byte_order_mark),
    RegistryCheck(_N.DATA_IN_GIT, files.data_is_not_in_git),
    RegistryCheck(_N.LARGE_FILES, files.files_are_small_text),
    RegistryCheck(_N.TRACKED_FILES, tracked_files.files_are_expected),
    RegistryCheck(_N.DVC_IGNORE, tracked_files.dvc_sees_what_is_checked),
    RegistryCheck(_N.ATTRIBUTES, conversions.files_are_not_converted),
    RegistryCheck(_N.LINE_ENDS, conversions.line_ends_are_those_in_git),
    RegistryCheck(_N.REMOTE_OBJECTS, objects.objects_are_in_a_remote, applies=_remotes_were_listed),
    RegistryCheck(_N.GENERATED_FILES, repository.generated_files_are_current, (_N.SETTINGS,)),
    FilesCheck(_N.MANIFEST, BOTH, manifests.manifest_is_valid),
    FilesCheck(_N.POINTERS, DATASETS, datasets.pointers_are_valid),
    FilesCheck(_N.PIPELINE, MODELS, models.pipeline_is_valid),
    ArtifactCheck(_N.LIMITS_OF_USE, ArtifactSubject, cards.limits_are_told),
    ArtifactCheck(_N.WITHDRAWN, ArtifactSubject, manifests.withdrawn_versions_exist),
    ArtifactCheck(_N.VERSION, ArtifactSubject, manifests.version_matches_change, (_N.POINTERS, _N.PIPELINE)),
    ArtifactCheck(_N.SELECTION, DatasetSubject, datasets.selection_is_current),
    ArtifactCheck(_N.RELATIVE_DATES, DatasetSubject, queries.dates_are_absolute),
    ArtifactCheck(_N.DELIVERIES, DatasetSubject, queries.deliveries_stay),
    ArtifactCheck(_N.BUILD, DatasetSubject, datasets.build_is_current),
    ArtifactCheck(_N.ITEMS, DatasetSubject, datasets.items_match_pointer, (_N.SETTINGS,)),
    ArtifactCheck(
        _N.PREPARED,
        DatasetSubject,
        reproduction.prepared_matches_selection,
        (_N.SETTINGS, _N.SELECTION, _N.BUILD),
        _versions_were_recomputed,
    ),
    ArtifactCheck(_N.LAKE, DatasetSubject, reproduction.images_match_lake, (_N.ITEMS,), _lake_was_compared),
    ArtifactCheck(_N.SPLITS, DatasetSubject, datasets.splits_are_stable),
    ArtifactCheck(_N.CLASSES, DatasetSubject, datasets.classes_match, (_N.BUILD,)),
    ArtifactCheck(_N.COVERAGE, DatasetSubject, datasets.splits_cover_classes, (_N.BUILD,)),
    ArtifactCheck(
        _N.SHARED_IMAGES, DatasetSubject, leakage.test_images_are_tests_everywhere, (), _datasets_were_compared
    ),
    RegistryCheck(_N.DENIED, denial.denied_images_are_left_out, (_N.SETTINGS,), _denied_were_looked_for),
    ArtifactCheck(_N.EXPECTATIONS, DatasetSubject, datasets.expectations_hold, (_N.ITEMS,)),
    ArtifactCheck(_N.IMAGES, DatasetSubject, datasets.images_are_valid, applies=_images_were_validated),
    ArtifactCheck(_N.TRAINED_ON, ModelSubject, models.dataset_exists),
    ArtifactCheck(_N.BUILDS_ON, ModelSubject, lineage.lineage_is_recorded),
    ArtifactCheck(
        _N.TRAINING,
        ModelSubject,
        models.training_is_current,
        (_N.CONFLICTS, _N.LINE_ENDS, _N.TRAINED_ON, _N.BUILDS_ON),
    ),
    ArtifactCheck(_N.OUTPUTS, ModelSubject, models.outputs_match_lock, (_N.LINE_ENDS,)),
    ArtifactCheck(_N.MODEL_FILE, ModelSubject, models.model_file_is_valid, (), _models_were_opened),
    ArtifactCheck(_N.METRICS, ModelSubject, models.metrics_are_measured, (_N.OUTPUTS,), _models_were_opened),
    ArtifactCheck(
        _N.TRAINING_IMAGES, ModelSubject, models.training_images_are_no_test_images, (_N.OUTPUTS,), _models_were_opened
    ),
    ArtifactCheck(_N.GATES, ModelSubject, models.gates_hold, (_N.OUTPUTS, _N.METRICS)),
    ReportCheck(_N.DUPLICATES, changes.images_are_distinct),
    ReportCheck(_N.COMPARISON, changes.versions_are_compared),
    ReportCheck(_N.MEASUREMENT, changes.measurement_is_unchanged),
    ReportCheck(_N.TRAINING_RESULTS, changes.results_are_accepted),
    ReportCheck(_N.WORKFLOW_JOBS, changes.jobs_succeeded),
)
