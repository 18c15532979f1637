"""Rules on a dataset's query."""

from collections.abc import Iterator

from registry.checks.context import DatasetSubject, Facts
from registry.checks.findings import Diagnostic, needs_owner, note
from registry.core.delivery_places import Place
from registry.core.looker_dates import RelativeFilter
from registry.core.values import DatasetManifest, Export, Manifest
from registry.dataset import provenance, relative_dates
from registry.errors import InvalidDocument


def dates_are_absolute(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """No filter of the query is relative to the time of the query, unless an owner wants it so.

    `7 days`, `last month` and `today` move: with each refresh images leave the dataset and others enter it. `before
    2 weeks ago` only gains images. `after 2025-01-01` stays. A text counts as a date for a field of dates: a column of
    type date or datetime, or a field that is named like one (`images.captured_date`). For a Look, the query that it had
    when it was selected is read. A filter that the latest release has too has been approved.

    Why: a version never changes, but its successor would silently lose what the last one was trained on; each removal
    is a major version.

    How to fix: filter by fixed dates, such as `after 2025-01-01`, and let `expectations` say how many images are
    needed. Where a moving window is intended, an owner approves it.
    """
    approved = _released(subject)
    manifest = subject.files.manifest
    for found in relative_dates.find(subject.manifest, subject.selection.query if subject.selection else None):
        key = ("filters", found.field) if found.field else ("filter_expression",)
        if found.movement.leave and found not in approved:
            line = manifest.line("source", "looker", *key)
            yield needs_owner(str(found), manifest.path, line, "filter by fixed dates, such as after 2025-01-01")
        else:
            yield note(str(found), manifest.path)


def deliveries_stay(subject: DatasetSubject, _: Facts) -> Iterator[Diagnostic]:
    """`source.export.from` is the place that the latest release has, or an owner confirms the new one.

    The first place of a dataset needs an owner, too.

    Why: the weekly refresh reads that place with the permissions of its role, and whoever can write there decides what
    the dataset has. No check and no workflow of a pull request reads it.

    How to fix: let an owner approve the pull request. Give the role of the refresh read access to that folder alone.
    """
    place, latest = _place(subject.manifest), subject.releases.latest
    released = _place(latest.content.manifest) if latest and latest.content else None
    if place and place != released:
        message = f"rows are read from {place}" + (f", before from {released}" if released else "")
        line = subject.line("source", "export", "from")
        yield needs_owner(
            message, subject.path, line, "confirm that the refresh may read there, and who can write there"
        )


def _place(manifest: Manifest) -> Place | None:
    source = manifest.source if isinstance(manifest, DatasetManifest) else None
    return source.place if isinstance(source, Export) else None


def _released(subject: DatasetSubject) -> tuple[RelativeFilter, ...]:
    """The relative filters of the latest release."""
    latest = subject.releases.latest
    if latest is None or latest.content is None or not isinstance(latest.content.manifest, DatasetManifest):
        return ()
    raw = latest.files.raw if latest.files else None
    try:
        query = provenance.parse(raw.document).query if raw and raw.document else None
    except InvalidDocument:
        query = None
    return relative_dates.find(latest.content.manifest, query)
