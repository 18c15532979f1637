"""Rules on what follows from a selection: the prepared version, recomputed, and its images in the lake."""

from collections.abc import Iterator

from registry.checks.context import DatasetSubject, Facts, Scope
from registry.checks.findings import Diagnostic, needs_owner, note, wrong
from registry.core import wording
from registry.core.layout import prepared_pointer, raw_pointer
from registry.core.values import ArtifactId
from registry.dataset.differences import Difference, DifferenceKind


def prepared_matches_selection(subject: DatasetSubject, facts: Facts) -> Iterator[Diagnostic]:
    """`prepared` is exactly what `registry build` makes of the selection: recomputed here, not believed.

    Compared are UUIDs, labels, splits, file names, excluded images, the metadata tables, and the counts of images in
    `meta.build`; no image is read. A commit recomputes a dataset whose pointers it changes, `--base` every dataset that
    changed, and `--all` those that differ from their latest release (with `--remote`: all). Where the selection or the
    list of files is in no store, an owner decides; with `--remote` that is *wrong*.

    Why: a pointer is text that anybody can edit, and a list of files that another program wrote can have test images
    among the training images. A review of the pull request does not show it.

    How to fix: run `registry build`, and commit the pointer that it writes.
    """
    found = subject.reproduction
    if found is None:
        return
    path = prepared_pointer(subject.id)
    if found.invalid:
        yield wrong(f"cannot be recomputed: {found.invalid}", path, fix=f"registry select {subject.id}")
    if found.unread:
        message, pull = f"was not recomputed from the selection: {found.unread}", f"registry pull {subject.id}"
        yield _unproven(message, path, pull, facts)
    for difference in found.differences:
        yield _different(subject.id, difference)


def _unproven(message: str, path: str, fix: str, facts: Facts) -> Diagnostic:
    """A commit goes on: what it cannot read here, the pull request recomputes."""
    if facts.scope is Scope.STAGED:
        return note(message, path, fix)
    return needs_owner(message, path, fix=fix) if facts.stored is None else wrong(message, path, fix=fix)


def _different(dataset: ArtifactId, difference: Difference) -> Diagnostic:
    examples = wording.abbreviate(difference.examples, total=difference.count)
    match difference.kind:
        case DifferenceKind.ROWS:
            message = f"meta.selection is not that of the rows of the selection: {examples}"
            return wrong(message, raw_pointer(dataset), fix=f"registry select {dataset}")
        case DifferenceKind.COUNTS:
            message = f"meta.build has other counts than the selection gives: {examples}"
        case DifferenceKind.TABLE:
            tables = wording.plural(difference.count, "metadata table")
            message = f"prepared lists {tables} with other content than the selection gives: {examples}"
        case DifferenceKind.MISSING:
            images = wording.plural(difference.count, "image")
            message = f"{images} of the selection not in prepared: {examples}"
        case kind:
            message = f"prepared lists {wording.plural(difference.count, 'image')} {kind}: {examples}"
    return wrong(message, prepared_pointer(dataset), fix=f"registry build {dataset}")
