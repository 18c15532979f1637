"""Verifies DVC's cache as a whole: every object is read, whatever was recorded of it, and damaged ones are replaced."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from polars import col

from registry.core import layout
from registry.core.tree import Tree
from registry.errors import SHOWN
from registry.storage.base import Store
from registry.storage.cache import Cache, DamagedObject, heading
from registry.storage.states import STORED
from registry.storage.transfer import transfer
from registry.sync import inventory

_FOLDER, _NAME = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{30}(?:\.dir)?")


@dataclass(frozen=True, slots=True)
class Audit:
    """The damaged objects of a cache that has `count` in all, each with the path of a file that it is, where known."""

    count: int
    damaged: tuple[DamagedObject, ...]
    paths: dict[str, str]

    def __str__(self) -> str:
        if not self.damaged:
            return f"DVC's cache is intact: {self.count:,} objects read"
        lines = [f"  {self.paths.get(one.md5, 'in no pointer here')}: {one.fault}" for one in self.damaged[:SHOWN]]
        rest = len(self.damaged) - SHOWN
        return "\n".join([f"{heading(self.damaged)}:", *lines, *([f"  … and {rest:,} more"] if rest > 0 else [])])


def audit(cache: Cache, tree: Tree) -> Audit:
    """Read every object; `tree` tells which files of which artifacts they are. Raises StorageFailed."""
    md5s = tuple(_list(cache.path / "files/md5"))
    damaged = cache.find_damaged(md5s)
    return Audit(len(md5s), damaged, _find_paths(cache, tree, damaged) if damaged else {})


def _list(top: Path) -> Iterator[str]:
    """The names of all objects, also of those that are no files."""
    with suppress(FileNotFoundError):
        for folder in sorted(top.iterdir()):
            if _FOLDER.fullmatch(folder.name):
                yield from (f"{folder.name}{file.name}" for file in folder.iterdir() if _NAME.fullmatch(file.name))


def _find_paths(cache: Cache, tree: Tree, damaged: Sequence[DamagedObject]) -> dict[str, str]:
    reached = [one for artifact in layout.find(tree) for one in inventory.reached(tree, artifact)]
    rows = inventory.expand(reached, [cache]).filter(col("md5").is_in([one.md5 for one in damaged]))
    return dict(rows.select("md5", "path").iter_rows())


def repair(cache: Cache, damaged: Sequence[DamagedObject], source: Store) -> tuple[DamagedObject, ...]:
    """Set damaged objects aside, and fetch them; returns those that the source does not have intact."""
    cache.set_aside_damaged(one.md5 for one in damaged)
    done = transfer(source, cache, [one.md5 for one in damaged], known_absent=True)
    stored = set(done.filter(col("state").is_in(STORED))["md5"])
    return tuple(one for one in damaged if one.md5 not in stored)
