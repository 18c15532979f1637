"""The rule on images that several datasets of a registry share."""

from collections.abc import Iterator

from registry.checks.context import DatasetSubject, Facts, Scope, SharedImages
from registry.checks.findings import Diagnostic, needs_owner, note
from registry.core import wording
from registry.core.layout import prepared_pointer

SHOWN = 3  # other datasets that are told one by one, the worst first


def test_images_are_tests_everywhere(subject: DatasetSubject, facts: Facts) -> Iterator[Diagnostic]:
    """No test image of one dataset is a train or validation image of another one of this registry.

    Images are the same if their UUIDs or their bytes are. `--base` compares the datasets that changed with all others,
    `--all` every dataset with every other; a commit does not compare.

    Why: a model that was trained on one dataset and evaluated on the other has seen test images in its training. Inside
    one dataset the split rule excludes that; two datasets with different rules assign the same image differently.

    How to fix: give both datasets the same `split.salt`, `ratios` and `group_by` (`registry new dataset
    --same-split-as`; for a released dataset the change is major), or exclude the images in one of them.
    """
    path, found = prepared_pointer(subject.id), subject.shared_images or ()
    unread = [shared for shared in found if shared.unread]
    leaks = sorted((shared for shared in found if not shared.unread), key=lambda shared: -shared.total)
    if unread:
        names = wording.abbreviate([str(shared.other) for shared in unread])
        message = f"was not compared with {names}: {unread[0].unread}"
        fix = f"registry pull {' '.join(str(shared.other) for shared in unread[:SHOWN])}"
        is_asked = facts.scope is Scope.BASE or facts.stored is not None
        yield needs_owner(message, path, fix=fix) if is_asked else note(message, path, fix)
    for shared in leaks[:SHOWN]:
        fix = "give both the same split.salt, ratios and group_by (major), or exclude the images in one of them"
        yield needs_owner(_describe(shared), path, fix=fix)
    if rest := leaks[SHOWN:]:
        names = wording.abbreviate([str(shared.other) for shared in rest])
        count = wording.plural(sum(shared.total for shared in rest), "test image")
        shares = wording.plural(len(rest), "more dataset shares", "more datasets share")
        message = f"{shares} {count} with this one across splits: {names}"
        yield needs_owner(message, path, fix="give all of them the same split.salt, ratios and group_by (major)")


def _describe(shared: SharedImages) -> str:
    parts, other = [], shared.other
    if shared.tested_here:
        parts.append(f"{shared.tested_here:,} of {shared.tests_here:,} test images are train or val images of {other}")
    if shared.tested_there:
        count = f"{shared.tested_there:,} of {shared.tests_there:,}"
        parts.append(f"{count} test images of {other} are train or val images here")
    examples = wording.abbreviate(shared.examples, total=max(shared.total, len(shared.examples)))
    return f"{' and '.join(parts)}: {examples}"
