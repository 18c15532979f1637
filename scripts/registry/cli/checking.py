"""Facts for the commands that run checks, with what stores have and what images are.

Storage, Polars and Pillow are imported in the functions that need them: `registry check --staged` runs at every commit
and calls none of these.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from registry.checks import collect, collect_conversions
from registry.checks.context import DatasetSubject, Facts, ModelSubject, Scope
from registry.cli.workspace import Workspace
from registry.core import artifact_files, deny_list, settings, tombstones
from registry.core.artifact_files import Parsed
from registry.core.deny_list import Denied
from registry.core.layout import (
    lock_path,
    manifest_path,
    model_pointer,
    prepared_pointer,
    raw_pointer,
    sidecar_pointer,
)
from registry.core.progress import bar
from registry.core.schema import Fault
from registry.core.values import Kind
from registry.errors import InvalidDocument, Refused, RegistryError
from registry.integrations.git_trees import History


def gather(space: Workspace, change: collect.Change) -> Facts:
    """The facts of a change that its files, Git and the lists of files tell."""
    with History(space.root) as history:
        facts = collect.gather(change, history, space.read_object)
    facts = _with_ignored(collect_conversions.with_conversions(facts, space.root, change), change)
    return _with_denied(space, facts, change)


def _with_ignored(facts: Facts, change: collect.Change) -> Facts:
    if not any(path.rpartition("/")[2] in {".dvcignore", ".gitignore"} for path in change.paths):
        return facts
    from registry.checks import collect_ignored  # loads DVC, which most commits need not wait for

    return collect_ignored.with_ignored(facts, change.tree, dvcignore=".dvcignore" in change.paths)


def with_reproductions(space: Workspace, facts: Facts, change: collect.Change, *, every: bool = False) -> Facts:
    """The facts, with what the selections of datasets give; a commit does it for the pointers that it changes.

    `every` also recomputes those that are as released.
    """
    chosen = {subject.id for subject in facts.datasets if _is_recomputed(subject, change, every=every)}
    if not chosen:
        return facts
    from registry.checks import collect_reproduction

    with bar("recomputing versions", len(chosen)) as progress:
        return collect_reproduction.recompute(facts, chosen, space.read_object, progress)


def _is_recomputed(subject: DatasetSubject, change: collect.Change, *, every: bool) -> bool:
    if subject.raw is None or subject.prepared is None:
        return False
    if change.scope is Scope.STAGED:
        return not change.paths.isdisjoint((raw_pointer(subject.id), prepared_pointer(subject.id)))
    return every or change.scope is Scope.BASE or not subject.is_released


def with_models(space: Workspace, facts: Facts, change: collect.Change) -> Facts:
    """The facts, with what model files and predictions say; a commit opens those of the locks that it changes.

    What the latest release has is not opened again.
    """
    chosen = {one.id for one in facts.subjects if isinstance(one, ModelSubject) and _is_opened(one, change)}
    if not chosen:
        return facts
    from registry.checks import collect_models

    with bar("opening models", len(chosen)) as progress:
        return collect_models.open_objects(facts, chosen, change.tree, space.read_object, space.cache_dir, progress)


def _is_opened(subject: ModelSubject, change: collect.Change) -> bool:
    if subject.training is None and subject.files.model is None:
        return False
    if change.scope is Scope.STAGED:
        origin = subject.manifest.origin
        listed = [f"{subject.id}/{origin.training_images}"] if origin and origin.training_images else []
        pointers = [model_pointer(subject.id), sidecar_pointer(subject.id)]
        names = [lock_path(subject.id), *pointers, f"{subject.id}/metrics.json", *listed]
        return not change.paths.isdisjoint(names)
    released = subject.releases.latest.content if subject.releases.latest else None
    return released is None or released.objects != subject.content.objects or subject.touched


def with_shared_images(space: Workspace, facts: Facts, change: collect.Change) -> Facts:
    """The facts, with what the datasets have in common with others of the registry; a commit does not compare."""
    datasets = [artifact for artifact in facts.artifacts if artifact.kind is Kind.DATASET]
    if change.scope is Scope.STAGED or len(datasets) < 2 or not any(subject.prepared for subject in facts.datasets):
        return facts
    from registry.checks import collect_shared_images

    with bar("comparing datasets", len(datasets)) as progress:
        return collect_shared_images.find(facts, change.tree, space.read_object, progress)


def _with_denied(space: Workspace, facts: Facts, change: collect.Change) -> Facts:
    """The facts, with the denied images that datasets have; a commit does not look."""
    if change.scope is Scope.STAGED:
        return facts
    try:
        reasons = {**space.denied.reasons, **deny_list.read(change.tree)}
        erased = tombstones.join((*space.tombstones.values(), *tombstones.read(change.tree).values()))
        denied = Denied(reasons, erased)
    except InvalidDocument as error:
        return replace(facts, unreadable=(*facts.unreadable, artifact_files.unreadable(error)))
    if not denied:
        return facts
    from registry.checks import collect_denied

    with bar("reading lists of files", 0) as progress:
        return collect_denied.find(facts, change.tree, denied, space.read_object, progress)


def with_images(space: Workspace, facts: Facts) -> Facts:
    """The facts, with the faults of images that have not been validated yet."""
    from registry.checks import collect_images
    from registry.dataset import validation_cache

    cache = space.root / validation_cache.PATH
    unvalidated = collect_images.find_unvalidated(facts, space.reader, validation_cache.validated(cache))
    with bar("validating images", unvalidated.images.height) as progress:
        validated = collect_images.validate(unvalidated, space.reader, progress)
    for (lenient,), valid in validated.valid.partition_by("lenient", as_dict=True).items():
        validation_cache.record_objects(cache, valid, lenient=bool(lenient))
    return validated.facts


def with_lake(space: Workspace, facts: Facts) -> Facts:
    """The facts, with how new images differ from the lake."""
    from registry.checks import collect_lake
    from registry.dataset import validation_cache

    if not any(subject.prepared for subject in facts.datasets):
        return facts
    try:
        lake = space.stores.lake
    except RegistryError:
        return facts  # another check reports the settings
    with bar("comparing with the lake", 0) as progress:
        return collect_lake.compare(facts, lake, space.root / validation_cache.PATH, space.read_object, progress)


def with_owners(facts: Facts, verified: Mapping[str, Refused], owners: Mapping[str, tuple[str, ...]]) -> Facts:
    """The facts, with the owners by file (`find_owners`) that cannot be code owners, as faults of those files."""
    faulty: list[Parsed[None]] = [
        Parsed(path, faults=(Fault(error.message, 1, error.fix),))
        for path, names in owners.items()
        for name, error in verified.items()
        if name in names
    ]
    return replace(facts, unreadable=(*facts.unreadable, *faulty))


def find_owners(space: Workspace, facts: Facts) -> dict[str, tuple[str, ...]]:
    """The owners that `registry.yaml` and valid manifests name, by file."""
    found = {manifest_path(subject.id): subject.manifest.owners for subject in facts.subjects}
    with suppress(RegistryError):  # another check reports the settings
        found |= {settings.PATH: space.registry_file.owners}
    return found


def with_stored(space: Workspace, facts: Facts, change: collect.Change) -> Facts:
    """The facts, with what staging and production have of the objects that a change refers to."""
    from registry.checks import collect_objects

    needed = collect_objects.find_needed(space.root, change.tree, change.paths, change.before, change.commit or "HEAD")
    try:
        caches, remotes = space.stores.caches, (space.stores.production, space.stores.staging)
    except RegistryError as error:
        return replace(facts, stored=collect_objects.unknown(error))
    with bar("listing staging and production", len(needed.outputs)) as progress:
        return replace(facts, stored=collect_objects.verify(needed, remotes, caches, progress))
