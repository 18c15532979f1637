"""The rule on images that no dataset may have."""

from collections.abc import Iterator

from registry.checks.context import Facts
from registry.checks.findings import Diagnostic, needs_owner, wrong
from registry.core import wording
from registry.core.deny_list import ERASED
from registry.core.layout import prepared_pointer


def denied_images_are_left_out(facts: Facts) -> Iterator[Diagnostic]:
    """No dataset has an image of the deny list, the files `denied/UUID.yaml` of the default branch and of this tree.

    Every dataset is looked at, whatever the change touches; a commit does not look.

    Why: an image that was recalled, because a person asked for it or because it is wrong, must not come back with the
    next selection or with a branch that is older than the recall.

    How to fix: run `registry build`, which excludes denied images, and commit what it writes. To allow an image again,
    delete its file in `denied/` in a pull request of its own.
    """
    for one in facts.denied or ():
        path = prepared_pointer(one.dataset)
        if one.unread:
            message = f"was not compared with the deny list: {one.unread}"
            yield needs_owner(message, path, fix=f"registry pull {one.dataset}")
            continue
        uuid, why = next(iter(one.images.items()))
        count = wording.plural(len(one.images), "denied image")
        fix = f"registry build {one.dataset}"
        if why == ERASED:
            fix = "merge the default branch, which has the next version without it"
        yield wrong(f"has {count}, such as {uuid}: {why}", path, fix=fix)
