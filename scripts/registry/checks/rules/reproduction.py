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
        case DifferenceKind.WHOLE:
            message = "meta.build.whole is not the md5 that DVC gives prepared"
        case DifferenceKind.TABLE:
            tables = wording.plural(difference.count, "metadata table")
            message = f"prepared lists {tables} with other content than the selection gives: {examples}"
        case DifferenceKind.MISSING:
            images = wording.plural(difference.count, "image")
            message = f"{images} of the selection not in prepared: {examples}"
        case kind:
            message = f"prepared lists {wording.plural(difference.count, 'image')} {kind}: {examples}"
    return wrong(message, prepared_pointer(dataset), fix=f"registry build {dataset}")


def images_match_lake(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """The images that are new since the latest release have the bytes that the lake has under their UUIDs.

    `--remote` and the report run this check. Bytes are compared by the lake's ETags where these are MD5s, by what a
    build on this machine read, and in a folder by reading. Under SSE-KMS and for uploads in parts an ETag proves
    nothing: an owner decides. A login that may list the lake is enough where ETags are MD5s.

    Why: a list of files can name any object in staging. An image whose bytes are not those of the lake was put there by
    another program than `registry build`.

    How to fix: run `registry build`, which takes the images from the lake.
    """
    found, path, fix = subject.lake, prepared_pointer(subject.id), f"registry build {subject.id}"
    if found is None:
        return
    if found.different or found.missing:
        counts = ((found.different, "with other bytes than the lake has"), (found.missing, "missing from the lake"))
        parts = [f"{wording.plural(count, 'image')} {what}" for count, what in counts if count]
        examples = wording.abbreviate(found.examples, total=found.different + found.missing)
        yield wrong(f"{wording.join(parts)}: {examples}", path, fix=fix)
    if found.unproven:
        images = wording.plural(found.unproven, "image was", "images were")
        message = f"{images} not compared with the lake: its ETags are no MD5s (SSE-KMS, or an upload in parts)"
        yield needs_owner(message, path, fix=f"{fix} on a machine that can read the lake: the pointer must not change")
    if found.unread:
        message = f"images were not compared with the lake: {found.unread}"
        yield needs_owner(message, path, fix=found.fix or "check again with read access to the lake")
