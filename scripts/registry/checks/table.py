"""The table of checks: the rule behind each name, what it is about, and what has to hold before it can run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from registry.checks.context import Facts, Subject
from registry.checks.findings import Diagnostic
from registry.checks.rules import changes, datasets, files, manifests, models, objects, repository
from registry.core.check_names import CheckName
from registry.core.values import Kind
from registry.dataset.changes import DatasetChange
from registry.model.changes import ModelChange

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
class ArtifactCheck:
    """A rule that runs for each artifact of the kinds in `of`, unless a check in `requires` found something wrong."""

    name: CheckName
    of: tuple[Kind, ...]
    rule: Callable[[Subject, Facts], Iterator[Diagnostic]]
    requires: tuple[CheckName, ...] = ()
    applies: Callable[[Facts], bool] = _always


@dataclass(frozen=True, slots=True)
class ReportCheck:
    """A rule that only `registry report` runs, because it compares two versions of an artifact by their objects."""

    name: CheckName
    rule: Callable[[DatasetChange], Iterator[Diagnostic]] | Callable[[ModelChange], Iterator[Diagnostic]]


Check = RegistryCheck | ArtifactCheck | ReportCheck


def _remotes_were_listed(facts: Facts) -> bool:
    return facts.stored is not None


def _images_were_validated(facts: Facts) -> bool:
    return any(subject.unsound is not None for subject in facts.subjects)


_N = CheckName
CHECKS: tuple[Check, ...] = (
    RegistryCheck(_N.SETTINGS, repository.settings_are_valid),
    RegistryCheck(_N.SECRETS, repository.no_secrets),
    RegistryCheck(_N.STORAGE_LOCATIONS, repository.storage_locations_stay),
    RegistryCheck(_N.FOLDERS, repository.folders_are_artifacts),
    RegistryCheck(_N.REMOVED, repository.removal_is_intended),
    RegistryCheck(_N.FILE_NAMES, files.file_names_are_portable),
    RegistryCheck(_N.SYMLINKS, files.no_symlinks),
    RegistryCheck(_N.DATA_IN_GIT, files.data_is_not_in_git),
    RegistryCheck(_N.LARGE_FILES, files.files_are_small_text),
    RegistryCheck(_N.DVC_FILES, files.dvc_files_are_expected),
    RegistryCheck(_N.REMOTE_OBJECTS, objects.objects_are_in_a_remote, applies=_remotes_were_listed),
    RegistryCheck(_N.GENERATED_FILES, repository.generated_files_are_current, (_N.SETTINGS,)),
    ArtifactCheck(_N.MANIFEST, BOTH, manifests.manifest_is_valid),
    ArtifactCheck(_N.POINTERS, DATASETS, datasets.pointers_are_valid),
    ArtifactCheck(_N.PIPELINE, MODELS, models.pipeline_is_valid),
    ArtifactCheck(_N.WITHDRAWN, BOTH, manifests.withdrawn_versions_exist, (_N.MANIFEST,)),
    ArtifactCheck(_N.VERSION, BOTH, manifests.version_matches_change, (_N.MANIFEST, _N.POINTERS, _N.PIPELINE)),
    ArtifactCheck(_N.BUILD, DATASETS, datasets.build_is_current, (_N.MANIFEST, _N.POINTERS)),
    ArtifactCheck(_N.ITEMS, DATASETS, datasets.items_match_pointer, (_N.MANIFEST, _N.POINTERS)),
    ArtifactCheck(_N.SPLITS, DATASETS, datasets.splits_are_stable, (_N.MANIFEST, _N.POINTERS)),
    ArtifactCheck(_N.CLASSES, DATASETS, datasets.classes_match, (_N.MANIFEST, _N.POINTERS, _N.BUILD)),
    ArtifactCheck(_N.EXPECTATIONS, DATASETS, datasets.expectations_hold, (_N.MANIFEST, _N.POINTERS, _N.ITEMS)),
    ArtifactCheck(_N.IMAGES, DATASETS, datasets.images_are_valid, applies=_images_were_validated),
    ArtifactCheck(_N.TRAINED_ON, MODELS, models.dataset_exists, (_N.MANIFEST,)),
    ArtifactCheck(_N.TRAINING, MODELS, models.training_is_current, (_N.MANIFEST, _N.PIPELINE, _N.TRAINED_ON)),
    ArtifactCheck(_N.OUTPUTS, MODELS, models.outputs_match_lock, (_N.PIPELINE,)),
    ArtifactCheck(_N.GATES, MODELS, models.gates_hold, (_N.MANIFEST, _N.OUTPUTS)),
    ReportCheck(_N.DUPLICATES, changes.images_are_distinct),
    ReportCheck(_N.COMPARISON, changes.versions_are_compared),
)
