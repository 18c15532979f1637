"""A picture of each pair of duplicates: both images side by side, as large as a phone shows them."""

from collections.abc import Sequence

from registry.core.artifact_files import Reader
from registry.dataset import contact_sheets
from registry.dataset.changes import DuplicateItem, DuplicatePair, Sheet
from registry.dataset.contact_sheets import CaptionedImage

PICTURED = 12  # pairs; the rest is listed


def render(pairs: Sequence[DuplicatePair], read: Reader) -> tuple[Sheet, ...]:
    """The sheets of the first PICTURED pairs, in their order."""
    return tuple(_render_pair(place, pair, read) for place, pair in enumerate(pairs[:PICTURED], 1))


def _render_pair(place: int, pair: DuplicatePair, read: Reader) -> Sheet:
    images = [_caption(pair.first), _caption(pair.second)]
    return contact_sheets.render(f"pair-{place}", f"Pair {place}", images, len(images), read)


def _caption(item: DuplicateItem) -> CaptionedImage:
    return CaptionedImage(item.md5, (item.label,), f"{item.split}{' · new' * item.is_new}")
