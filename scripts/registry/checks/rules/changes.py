"""Rules on what a change does to an artifact: how its images and predictions compare with those of the base version.

Only `registry report` has these facts.
"""

from collections.abc import Iterator, Sequence

from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.checks.rules.models import IMPROVE, REPRO
from registry.core import wording
from registry.core.layout import manifest_path, prepared_pointer
from registry.dataset.changes import DatasetChange, DuplicatePair, exclude_command
from registry.model.changes import GateState, ModelChange, Refusal

NAMED = 3  # pairs whose images the hint names; the report has the command for more


def images_are_distinct(change: DatasetChange) -> Iterator[Diagnostic]:
    """No image of the dataset is a duplicate or a near-duplicate of a new one, above all not in another split.

    Duplicates have the same bytes. Near-duplicates are the same picture: saved again, scaled, brightened, and mirrored
    or rotated by 90°, 180° or 270° against the other one. Crops, other rotations and other shots of one scene are not
    searched for, and images of one colour are compared with none. They are searched for in datasets of at most
    `report.near_duplicates` images (`registry.yaml`); the report says where they were not. Only `registry report` runs
    this check.

    Why: an image in train that looks like one in test makes a model look better than it is.

    How to fix: review the pairs in the report, then exclude the new image of each with the command there, or set
    `split.group_by` to a column that is the same for both, so that they are in one split.
    """
    leaks = [pair for pair in change.duplicates if pair.crosses_splits]
    for pairs, what in (
        ([pair for pair in leaks if pair.is_identical], "duplicate images in different splits"),
        ([pair for pair in leaks if not pair.is_identical], "near-duplicate images in different splits"),
        ([pair for pair in change.duplicates if pair not in leaks], "duplicate or near-duplicate images"),
    ):
        if pairs:
            message = f"{wording.plural(len(pairs), 'pair')} of {what}"
            yield needs_owner(message, prepared_pointer(change.id), fix=_exclude(change, pairs))


def _exclude(change: DatasetChange, pairs: Sequence[DuplicatePair]) -> str:
    if len(pairs) > NAMED:
        return "review the pairs in the report, then exclude the new images with the command there"
    return f"review the pairs in the report, then `{exclude_command(change.id, pairs)}`"


def versions_are_compared(_: ModelChange) -> Iterator[Diagnostic]:
    """The new and the base version of a model could be measured on the test images that the base was not trained on.

    Only `registry report` runs this check; *not run* names what is missing.

    Why: metrics of two versions that were measured on different images say little about which is better.

    How to fix: run `registry pull`, and retrain a version whose model file is lost.
    """
    yield from ()


def measurement_is_unchanged(change: ModelChange) -> Iterator[Diagnostic]:
    """A change of a model leaves alone how models are measured: the tooling, the task, the gates of the base, and how
    the model file declares that images are cropped and scaled.

    Only `registry report` runs this check. CI measures with the default branch's tooling in any case.

    Why: with another way of measuring, a better number is not a better model, and a gate that was lowered passes.

    How to fix: change the tooling in a pull request of its own, or let an owner decide.
    """
    for fact in change.measuring:
        yield needs_owner(fact, manifest_path(change.id), fix="review it beside the numbers, or change it on its own")


def metrics_are_measured(change: ModelChange) -> Iterator[Diagnostic]:
    """The part of the check `metrics` that needs the model file."""
    for fault in change.disagreements:
        yield wrong(fault, f"{change.id}/metrics.json", fix=REPRO.format(change.id))


def gates_hold_against_base(change: ModelChange) -> Iterator[Diagnostic]:
    """The part of `gates_hold` that needs the predictions of both versions."""
    path = manifest_path(change.id)
    for gate in change.gates:
        if gate.state is GateState.FAILED:
            yield wrong(gate.message, path, gate.line, IMPROVE)
        elif gate.state is GateState.NOT_EVALUATED:
            yield needs_owner(gate.message, path, gate.line, "decide whether the model may pass without this gate")


def results_are_accepted(refusals: Sequence[Refusal]) -> Iterator[Diagnostic]:
    """Every model that has to be trained was, and what the training job handed over is data that a training writes.

    That is `dvc.lock`, and files for uncached metrics and plots with known endings, sizes and forms, of models that the
    change concerns. The lock was written with the code, the parameters and the data of the branch, and every object
    that it names is in staging or production. Only the job that judges a pull request runs this check; what it refuses
    does not reach the branch, and the branch is judged as it is.

    Why: code of the pull request wrote these files, and a file that DVC, Python or a person obeys would act for it.

    How to fix: correct the pipeline in `dvc.yaml`, or see the log of the training job, and push again.
    """
    for one in refusals:
        yield wrong(one.message, one.path, fix=one.fix)


def jobs_succeeded(refusals: Sequence[Refusal]) -> Iterator[Diagnostic]:
    """Every job of the judged run of `pull-request.yml` succeeded, and none that the change needs was left out.

    A change that touches programs (`registry ci scope`) needs the project's own tests. Only the job that judges a pull
    request runs this check, by the default branch's table of files and what GitHub says of the run.

    Why: a pull request can change the workflow that runs it, and with it which jobs there are.

    How to fix: see the log of the job that failed, or restore the job that is missing, and push again.
    """
    for one in refusals:
        yield wrong(one.message, one.path, fix=one.fix)
