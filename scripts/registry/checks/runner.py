"""The table of checks, and running it over facts: what is required first, what each finds, and what could not run."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from inspect import getdoc

from registry.checks.context import Facts, Subject
from registry.checks.rules import datasets, files, manifests, models, objects, repository
from registry.core.layout import owner_of
from registry.core.values import Finding, Kind, Outcome, Verdict
from registry.errors import NotFound

REGISTRY: tuple[Kind, ...] = ()
DATASETS, MODELS, BOTH = (Kind.DATASET,), (Kind.MODEL,), (Kind.DATASET, Kind.MODEL)


@dataclass(frozen=True, slots=True)
class Check:
    """A rule under its name; it runs for each artifact of a kind in `of`, or once for the registry.

    It does not run for an artifact in which one of `requires` found something wrong, or could not run; and it is not
    spoken of at all where its facts were not `asked` for.
    """

    name: str
    of: tuple[Kind, ...]
    rule: Callable[..., Iterator[Finding]]
    requires: tuple[str, ...] = ()
    asked: Callable[[Facts], bool] = lambda _: True

    @property
    def explanation(self) -> str:
        """What it demands and why."""
        return getdoc(self.rule) or ""


def _looked(facts: Facts) -> bool:
    return any(subject.unsound is not None for subject in facts.subjects)


CHECKS = (
    Check("settings", REGISTRY, repository.settings_can_be_read),
    Check("secrets", REGISTRY, repository.no_secrets),
    Check("places", REGISTRY, repository.places_stay),
    Check("folders", REGISTRY, repository.folders_are_artifacts),
    Check("removed", REGISTRY, repository.removal_is_meant),
    Check("names", REGISTRY, files.names_are_plain),
    Check("links", REGISTRY, files.no_links),
    Check("data", REGISTRY, files.data_is_not_in_git),
    Check("size", REGISTRY, files.files_are_small_text),
    Check("dvc-files", REGISTRY, files.dvc_obeys_known_files_only),
    Check("objects", REGISTRY, objects.objects_are_stored, asked=lambda facts: facts.stored is not None),
    Check("derived", REGISTRY, repository.derived_files_are_current, ("settings",)),
    Check("manifest", BOTH, manifests.manifest_keeps_its_schema),
    Check("pointers", DATASETS, datasets.pointers_are_closed),
    Check("pipeline", MODELS, models.pipeline_is_closed),
    Check("withdrawn", BOTH, manifests.withdrawn_versions_exist, ("manifest",)),
    Check("version", BOTH, manifests.version_moves_with_content, ("manifest", "pointers", "pipeline")),
    Check("build", DATASETS, datasets.build_is_current, ("manifest", "pointers")),
    Check("items", DATASETS, datasets.items_are_what_the_pointer_says, ("manifest", "pointers")),
    Check("splits", DATASETS, datasets.splits_are_stable, ("manifest", "pointers")),
    Check("classes", DATASETS, datasets.classes_match, ("manifest", "pointers", "build")),
    Check("expectations", DATASETS, datasets.expectations_hold, ("manifest", "pointers", "items")),
    Check("images", DATASETS, datasets.images_are_sound, asked=_looked),
    Check("trained-on", MODELS, models.dataset_exists, ("manifest",)),
    Check("training", MODELS, models.training_is_current, ("manifest", "pipeline", "trained-on")),
    Check("outputs", MODELS, models.outputs_are_the_trainings, ("pipeline",)),
    Check("gates", MODELS, models.gates_hold, ("manifest", "outputs")),
)


def run(facts: Facts) -> tuple[Outcome, ...]:
    """The outcome of every check, in the table's order."""
    done: dict[tuple[str, object], Outcome] = {}
    for check in (check for check in CHECKS if check.asked(facts)):
        for subject in [subject for subject in facts.subjects if subject.id.kind in check.of] if check.of else [None]:
            key = subject.id if subject else None
            done[check.name, key] = _run(check, facts, subject, [done.get((name, key)) for name in check.requires])
    return tuple(done.values())


def _run(check: Check, facts: Facts, subject: Subject | None, required: Iterable[Outcome | None]) -> Outcome:
    artifact = subject.id if subject else None
    for outcome in required:
        if outcome and (outcome.not_run or outcome.verdict is Verdict.WRONG):
            return Outcome(check.name, artifact, not_run=f"{outcome.check} comes first")
    found = check.rule(subject, facts) if subject else check.rule(facts)
    return Outcome(check.name, artifact, tuple(_named(check, subject, finding) for finding in found))


def _named(check: Check, subject: Subject | None, finding: Finding) -> Finding:
    return replace(finding, check=check.name, artifact=subject.id if subject else owner_of(finding.path))


def explain(name: str) -> str:
    """What a check demands and why. Raises NotFound."""
    for check in CHECKS:
        if check.name == name:
            return check.explanation
    raise NotFound(f"there is no check {name}", fix=f"name one of {', '.join(check.name for check in CHECKS)}")
