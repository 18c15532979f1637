"""The items of dataset versions on this machine: one table for each list of files, found by UUID or MD5 in one pass.

A list of files never changes under its MD5, so a table that was written once is right for good. Losing it costs time
alone.
"""

from collections.abc import Callable, Collection, Iterable
from io import BytesIO
from pathlib import Path

import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.atomic_write import write_atomically
from registry.core.layout import SPLITS
from registry.core.progress import Progress
from registry.dataset import items
from registry.storage.parquet_cache import Schema
from registry.sync import dir_listing

FOLDER = ".dvc/tmp/registry/items.1"
SCHEMA: Schema = {"uuid": pl.String, "split": pl.Enum(SPLITS), "label": pl.String, "md5": pl.String}


class ItemIndex:
    """Tables below `folder`; a list of files is read through `read` when it is first asked for."""

    def __init__(self, folder: Path, read: Reader) -> None:
        self._folder, self._read = folder, read

    def add(self, lists: Iterable[str], advance: Progress = lambda _objects, _size: None) -> tuple[str, ...]:
        """Write the tables of lists (MD5s of `.dir` objects) that have none; returns the lists that no store has.

        Raises Refused for a list with names that no dataset has.
        """
        absent: list[str] = []
        for md5 in lists:
            if not self._is_whole(md5):
                if (data := self._read(md5)) is None:
                    absent.append(md5)
                else:
                    self._write(md5, items.parse(dir_listing.read(data, md5)).frame.select(list(SCHEMA)))
            advance(1, 0)
        return tuple(absent)

    def find(self, lists: Collection[str], uuids: Collection[str], md5s: Collection[str]) -> DataFrame:
        """The items with one of these UUIDs or MD5s in lists that were added: the columns of SCHEMA, and `list`."""
        wanted = col("uuid").is_in(list(uuids)) | col("md5").is_in(list(md5s))
        return self._scan(lists, lambda frame: frame.filter(wanted))

    def images(self, lists: Collection[str]) -> DataFrame:
        """Every item in lists that were added: the columns of SCHEMA, and `list`."""
        return self._scan(lists, lambda frame: frame)

    def _scan(self, lists: Collection[str], select: Callable[[pl.LazyFrame], pl.LazyFrame]) -> DataFrame:
        frames = [select(pl.scan_parquet(self._path(md5))).with_columns(list=pl.lit(md5)) for md5 in sorted(set(lists))]
        empty = pl.LazyFrame(schema={**SCHEMA, "list": pl.String})
        return pl.concat([empty, *frames]).collect()

    def _path(self, md5: str) -> Path:
        return self._folder / f"{md5}.parquet"

    def _is_whole(self, md5: str) -> bool:
        try:
            return dict(pl.read_parquet_schema(self._path(md5))) == SCHEMA
        except (OSError, pl.exceptions.PolarsError):
            return False

    def _write(self, md5: str, frame: DataFrame) -> None:
        out = BytesIO()
        frame.sort("uuid").write_parquet(out, compression="zstd", compression_level=1)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path(md5), out.getvalue())
