"""Which splits and classes of a version lack images: told by a build, and judged by `registry check`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from registry.core import wording
from registry.core.layout import SPLITS
from registry.core.values import Counts, DatasetManifest, SplitExpectations


@dataclass(frozen=True, slots=True)
class Gap:
    """A split that has no image (`classes` empty), or none of these classes, each with its images in all splits.

    `share` is the split's ratio in the manifest.
    """

    split: str
    share: float
    classes: Mapping[str, int]

    def __str__(self) -> str:
        if self.classes:
            missing = wording.abbreviate([f"{name} (0 of {total:,})" for name, total in self.classes.items()])
            return f"{self.split} has no image of {missing}"
        if not self.share:
            return f"{self.split} has no image: its share in split.ratios is 0"
        return f"{self.split} has no image, although its share in split.ratios is {self.share:g}"


def find_gaps(manifest: DatasetManifest, counts: Counts) -> Iterator[Gap]:
    """The splits without any image, and those without an image of a class that has images elsewhere.

    Left out are val and train where their share is 0, and what the manifest has a number for in `expectations.splits`:
    `expectations` are judged by those.
    """
    totals = {name: sum(counts.get(split, {}).get(name, 0) for split in SPLITS) for name in manifest.classes}
    for split in SPLITS if any(totals.values()) else ():
        limits = manifest.expectations.splits.get(split, SplitExpectations())
        found, share = counts.get(split, {}), float(manifest.split.ratios[split])
        if not any(found.values()):
            if limits.min_images is None and (share or split == "test"):
                yield Gap(split, share, {})
        elif limits.min_per_class is None:
            missing = {name: total for name, total in totals.items() if total and not found.get(name)}
            if missing:
                yield Gap(split, share, missing)
