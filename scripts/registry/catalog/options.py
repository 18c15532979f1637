"""How a site is built: what is read, which images it shows, and who is told what could not be read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from registry.core import digests, erasures
from registry.core.artifact_files import Reader
from registry.core.erasures import Erased
from registry.core.settings import CatalogImages
from registry.core.tree import Tree


@dataclass(frozen=True, slots=True)
class Options:
    """`read` gives objects by MD5, `tree` the files of a commit; `hash_cache` is the file of `perceptual_hash`.

    Nothing of what was `erased` is shown. `try_it`: models can be run on their pages, by onnxruntime-web from npm, or
    from the folder `onnxruntime_web`.
    """

    read: Reader
    tree: Callable[[str], Tree]
    hash_cache: Path
    images: CatalogImages
    warn: Callable[[str], None]
    erased: Erased = erasures.NOTHING
    try_it: bool = False
    onnxruntime_web: Path | None = None

    @property
    def erased_key(self) -> str:
        """Another text for each other set of erased items; empty where there are none."""
        return digests.md5(" ".join(sorted(self.erased.items)).encode()) if self.erased.items else ""
