"""A picture of each pair of duplicates: both images side by side, as large as a phone shows them."""

from collections.abc import Sequence

from registry.core.artifact_files import Reader
from registry.dataset import thumbnails
from registry.dataset.changes import DuplicatePair, Thumbnail

PICTURED = 12  # pairs; the rest is listed


def render(pairs: Sequence[DuplicatePair], read: Reader) -> tuple[Thumbnail, ...]:
    """The pictures of the first PICTURED pairs, in their order."""
    return tuple(_render(place, pair, read) for place, pair in enumerate(pairs[:PICTURED], 1))


def _render(place: int, pair: DuplicatePair, read: Reader) -> Thumbnail:
    left, right = (f"{item.split}/{item.label}" for item in (pair.first, pair.second))
    alt = f"two images side by side: {left} and {right}"
    return thumbnails.render_pair(f"pair-{place}", alt, (pair.first.md5, pair.second.md5), read)
