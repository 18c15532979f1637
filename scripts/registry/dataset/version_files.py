"""The files of a dataset's version, which has one list of them (a `.dir` object) or one for each of its parts.

Frames have the columns md5 and relpath, which is the path below `prepared`.
"""

import hashlib

import polars as pl
from polars import DataFrame, col

from registry.core.artifact_files import Reader
from registry.core.parts import Parts
from registry.storage.reader import require_object
from registry.sync import dir_listing

_KEY = b'"relpath": "'  # in a list of files; inside of a path, its quotes would be escaped


def read(parts: Parts, read_object: Reader, name: str = "") -> DataFrame:
    """The files of a version, sorted by path; messages call the version `name`.

    Raises NotFound where no store has a list, Refused as `dir_listing.read`.
    """

    def read_part(part: str) -> DataFrame:
        place = f"{name}/{part}" if name and part else name
        return below(part, dir_listing.read(require_object(read_object, parts[part], place), parts[part]))

    frames = dir_listing.map_lists(read_part, sorted(parts), is_short=bool)  # "", one folder for all, may be long
    return pl.concat([DataFrame(schema=dir_listing.SCHEMA), *frames], rechunk=False)


def md5(parts: Parts, read_object: Reader) -> str:
    """The md5 that DVC gives the folder of all these parts. Raises NotFound where no store has a list."""
    whole = Whole()
    for part in sorted(parts):
        whole.add(part, require_object(read_object, parts[part]))
    return whole.md5


def below(part: str, files: DataFrame) -> DataFrame:
    """The files of a part, with their paths below `prepared`."""
    if not part:
        return files
    return files.with_columns(relpath=pl.concat_str(pl.lit(f"{part}/"), col("relpath")))


class Whole:
    """The md5 that DVC gives a folder of several outputs: that of the list that one output would have.

    Parts are added in the order of their names, which is that of their files' paths.
    """

    def __init__(self) -> None:
        self._digest = hashlib.md5(b"[", usedforsecurity=False)
        self._separator = b""

    def add(self, part: str, listing: bytes) -> None:
        """Take the list of files of the next part, as `dir_listing.write` makes it."""
        self._digest.update(self._separator)
        self._digest.update(listing[1:-1].replace(_KEY, _KEY + f"{part}/".encode()))
        self._separator = b", "

    @property
    def md5(self) -> str:
        """The md5 of what was added."""
        digest = self._digest.copy()
        digest.update(b"]")
        return f"{digest.hexdigest()}.dir"
