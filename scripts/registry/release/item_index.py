"""The items of dataset versions on this machine: one table for each list of files, found by UUID or MD5 in one pass.

A list of files never changes under its MD5, so a table that was written once is right for good. Losing it costs time
alone.
"""

from collections.abc import Callable, Collection, Iterable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.atomic_write import write_atomically
from registry.core.layout import SPLITS
from registry.core.progress import Progress
from registry.dataset import items
from registry.storage.parquet_cache import Schema

FOLDER = ".dvc/tmp/registry/items.1"
SCHEMA: Schema = {"uuid": pl.String, "split": pl.Enum(SPLITS), "label": pl.String, "md5": pl.String}


class Listed(NamedTuple):
    """A list of files (the MD5 of a `.dir` object), and the part of a version that it is of."""

    md5: str
    part: str = ""

    @property
    def name(self) -> str:
        """The name of its table: two parts may have the same files."""
        return f"{self.part.replace('/', '-')}-{self.md5}" if self.part else self.md5


class ItemIndex:
    """Tables below `folder`; a list of files is read through `read` when it is first asked for."""

    def __init__(self, folder: Path, read: Reader) -> None:
        self._folder, self._read = folder, read

    def add(self, lists: Iterable[Listed], advance: Progress = lambda _objects, _size: None) -> tuple[Listed, ...]:
        """Write the tables of lists that have none; returns the lists that no store has.

        Raises Refused for a list with names that no dataset has.
        """
        absent: list[Listed] = []
        for listed in lists:
            if not self._is_whole(listed):
                if self._read(listed.md5) is None:
                    absent.append(listed)
                else:
                    found = items.read({listed.part: listed.md5}, self._read)
                    self._write(listed, found.frame.select(list(SCHEMA)))
            advance(1, 0)
        return tuple(absent)

    def find(self, lists: Collection[Listed], uuids: Collection[str], md5s: Collection[str]) -> DataFrame:
        """The items with one of these UUIDs or MD5s in lists that were added: columns of SCHEMA, and `list`, a name."""
        wanted = col("uuid").is_in(list(uuids)) | col("md5").is_in(list(md5s))
        return self._scan(lists, lambda frame: frame.filter(wanted))

    def images(self, lists: Collection[Listed]) -> DataFrame:
        """Every item in lists that were added: the columns of SCHEMA, and `list`."""
        return self._scan(lists, lambda frame: frame)

    def _scan(self, lists: Collection[Listed], select: Callable[[pl.LazyFrame], pl.LazyFrame]) -> DataFrame:
        frames = [
            select(pl.scan_parquet(self._path(one))).with_columns(list=pl.lit(one.name)) for one in sorted(set(lists))
        ]
        empty = pl.LazyFrame(schema={**SCHEMA, "list": pl.String})
        return pl.concat([empty, *frames]).collect()

    def _path(self, listed: Listed) -> Path:
        return self._folder / f"{listed.name}.parquet"

    def _is_whole(self, listed: Listed) -> bool:
        try:
            return dict(pl.read_parquet_schema(self._path(listed))) == SCHEMA
        except (OSError, pl.exceptions.PolarsError):
            return False

    def _write(self, listed: Listed, frame: DataFrame) -> None:
        out = BytesIO()
        frame.sort("uuid").write_parquet(out, compression="zstd", compression_level=1)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(listed), out.getvalue())
