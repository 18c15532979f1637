"""Proves shards on this machine against a release: each byte of them follows from its list of files and its tables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from polars import DataFrame, col

from registry.core import layout
from registry.core.artifact_files import Reader
from registry.core.layout import SPLITS
from registry.core.progress import Progress
from registry.core.values import Tag
from registry.dataset import shard_index, shards
from registry.dataset.shards import Shard
from registry.release import export

_NAME = re.compile(rf"({'|'.join(SPLITS)})-[0-9]{{6,}}\.tar")


class Verified(NamedTuple):
    """The number of shards that are as the release makes them, and of their images; and what is wrong with others."""

    intact: int
    images: int
    problems: tuple[str, ...]


def find(path: Path) -> tuple[Path, ...]:
    """The shards at a path: one file, or those of a folder with nothing else but an index. Empty for others."""
    there = sorted(path.iterdir()) if path.is_dir() else [path]
    found = tuple(one for one in there if _NAME.fullmatch(one.name))
    return found if all(one in found or one.name == shard_index.NAME for one in there) else ()


def lay_out(tag: Tag, listed: DataFrame, read: Reader) -> Mapping[str, Shard]:
    """The shards of a release by name, from its files (`listed`: columns md5, path and size); `read` has the tables.

    Raises NotFound, Refused.
    """
    start = f"{layout.product_path(tag.artifact)}/"
    own = listed.filter(col("path").str.starts_with(start))
    named = own.select("md5", "size", relpath=col("path").str.strip_prefix(start))
    return {shard.name: shard for shard in export.lay_out(named, export.read_tables(named, read))}


def verify(files: tuple[Path, ...], tag: Tag, listed: DataFrame, read: Reader, progress: Progress) -> Verified:
    """Compare shards with a release, whose manifest lists files (`listed`: columns md5, path and size).

    `read` has the tables by MD5. Of the splits that have a shard here, all shards have to be here, if there are several
    files. Raises NotFound, Refused.
    """
    made = lay_out(tag, listed, read)
    intact, images, problems = 0, 0, list[str]()
    for file in files:
        shard = made.get(file.name)
        fault = shards.find_fault(shard.samples(), file.read_bytes()) if shard else "the release has no such shard"
        progress(1, 0)
        if fault or shard is None:
            problems.append(f"{file.name}: {fault}")
        else:
            intact, images = intact + 1, images + shard.rows.height
    names = {file.name for file in files}
    splits = {name.partition("-")[0] for name in names} if len(files) > 1 else set[str]()
    missing = [name for name, shard in made.items() if shard.split in splits and name not in names]
    return Verified(intact, images, (*problems, *(f"{name}: is missing" for name in missing)))
