"""Rules on what a change does to an artifact: how its images and predictions compare with those of the base version.

Only `registry report` has these facts.
"""

from collections.abc import Iterator

from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.checks.rules.models import IMPROVE
from registry.core import wording
from registry.core.layout import manifest_path, prepared_pointer
from registry.dataset.changes import DatasetChange
from registry.model.changes import GateState, ModelChange


def images_are_distinct(change: DatasetChange) -> Iterator[Diagnostic]:
    """No image of the dataset is a duplicate or a near-duplicate of a new one, above all not in another split.

    Duplicates have the same bytes. Near-duplicates have nearly the same perceptual hash; they are searched in datasets
    of at most `report.near_duplicates` images (`registry.yaml`). Only `registry report` runs this check.

    Why: an image in train that looks like one in test makes a model look better than it is.

    How to fix: review the pairs in the report, then set `split.group_by`, or exclude one image of each pair.
    """
    leaks = [pair for pair in change.duplicates if pair.first_split != pair.second_split]
    for pairs, what in (
        ([pair for pair in leaks if pair.exact], "duplicate images in different splits"),
        ([pair for pair in leaks if not pair.exact], "near-duplicate images in different splits"),
        ([pair for pair in change.duplicates if pair not in leaks], "duplicate or near-duplicate images"),
    ):
        if pairs:
            fix = "review the pairs in the report, then set split.group_by or exclude one image of each"
            message = f"{wording.plural(len(pairs), 'pair')} of {what}"
            yield needs_owner(message, prepared_pointer(change.id), fix=fix)


def versions_are_compared(_: ModelChange) -> Iterator[Diagnostic]:
    """The new and the base version of a model could be compared on the test images that both have.

    Only `registry report` runs this check; *not run* names what is missing.

    Why: metrics of two versions that were measured on different images say little about which is better.

    How to fix: run `registry pull`, and retrain a version whose predictions or weights are lost.
    """
    yield from ()


def gates_hold_against_base(change: ModelChange) -> Iterator[Diagnostic]:
    """The part of `gates_hold` that needs the predictions of both versions."""
    path = manifest_path(change.id)
    for gate in change.gates:
        if gate.state is GateState.FAILED:
            yield wrong(gate.message, path, gate.line, IMPROVE)
        elif gate.state is GateState.NOT_EVALUATED:
            yield needs_owner(gate.message, path, gate.line, "decide whether the model may pass without this gate")
