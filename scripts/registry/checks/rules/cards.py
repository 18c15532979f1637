"""Rules on what people write in cards."""

from collections.abc import Iterator

from registry.checks.context import ArtifactSubject, Card, Facts
from registry.checks.findings import Diagnostic, needs_owner
from registry.core.layout import card_path


def limits_are_told(subject: ArtifactSubject, facts: Facts) -> Iterator[Diagnostic]:
    """The card says in its section `Limits of use` what the artifact must not be used for; an owner decides otherwise.

    Why: who finds a dataset or a model in a list knows nothing of how it came about. What it must not be used for is
    the one thing that no number tells.

    How to fix: write it below the heading `## Limits of use` of the card (`README.md` beside the manifest), with the
    reason.
    """
    if not subject.touched:
        return
    path, card = card_path(subject.id), facts.cards.get(subject.id, Card(None, has_limits=False))
    if not card.has_limits:
        what = "the section `Limits of use` is empty" if card.line else "has no section `Limits of use`"
        yield needs_owner(what, path, card.line, "write there what it must not be used for, and why")
