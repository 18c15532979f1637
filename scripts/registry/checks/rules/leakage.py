"""The rule on images that several datasets of a registry share."""

from collections.abc import Iterator

from registry.checks.context import DatasetSubject, Facts, Scope, SharedImages
from registry.checks.findings import Diagnostic, needs_owner, note
from registry.core import wording
from registry.core.layout import prepared_pointer


def test_images_are_tests_everywhere(subject: DatasetSubject, facts: Facts) -> Iterator[Diagnostic]:
    """No test image of one dataset is a train or validation image of another one of this registry.

    Images are the same if their UUIDs or their bytes are. `--base` compares the datasets that changed with all others,
    `--all` every dataset with every other; a commit does not compare.

    Why: a model that was trained on one dataset and evaluated on the other has seen test images in its training. Inside
    one dataset the split rule excludes that; two datasets with different rules assign the same image differently.

    How to fix: give both datasets the same `split.salt`, `ratios` and `group_by` (`registry new dataset
    --same-split-as`; for a released dataset the change is major), or exclude the images in one of them.
    """
    path = prepared_pointer(subject.id)
    for shared in subject.shared_images or ():
        if shared.unread:
            message = f"was not compared with {shared.other}: {shared.unread}"
            fix = f"registry pull {shared.other}"
            is_asked = facts.scope is Scope.BASE or facts.stored is not None
            yield needs_owner(message, path, fix=fix) if is_asked else note(message, path, fix)
        else:
            fix = "give both the same split.salt, ratios and group_by (major), or exclude the images in one of them"
            yield needs_owner(_describe(shared), path, fix=fix)


def _describe(shared: SharedImages) -> str:
    parts, other = [], shared.other
    if shared.tested_here:
        parts.append(f"{shared.tested_here:,} of {shared.tests_here:,} test images are train or val images of {other}")
    if shared.tested_there:
        count = f"{shared.tested_there:,} of {shared.tests_there:,}"
        parts.append(f"{count} test images of {other} are train or val images here")
    total = shared.tested_here + shared.tested_there
    return f"{' and '.join(parts)}: {wording.abbreviate(shared.examples, total=max(total, len(shared.examples)))}"
