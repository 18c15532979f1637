"""How a site is built: what is read, which images it shows, and who is told what could not be read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from registry.core.artifact_files import Reader
from registry.core.settings import CatalogImages
from registry.core.tree import Tree


class Erased(NamedTuple):
    """The items that must not be shown any more, by UUID; another `key` for each other set of them."""

    key: str = ""
    has: Callable[[str], bool] = lambda _: False


NOTHING_ERASED = Erased()


@dataclass(frozen=True, slots=True)
class Options:
    """`read` gives objects by MD5, `tree` the files of a commit; `hash_cache` is the file of `perceptual_hash`."""

    read: Reader
    tree: Callable[[str], Tree]
    hash_cache: Path
    images: CatalogImages
    warn: Callable[[str], None]
    erased: Erased = NOTHING_ERASED
