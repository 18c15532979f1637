"""The files of a tracked folder: DVC's `.dir` objects, read and written byte for byte as DVC does.

A `.dir` object is `json.dumps` of `[{"md5": …, "relpath": …}]` sorted by relpath; its id is the MD5 of these bytes and
`.dir`. Only this canonical form is read: in another one, DVC could see other files than these checks do. Frames have
the columns md5 and relpath, because a version may have a million files.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

import polars as pl
from polars import DataFrame, col

from registry.core import digests
from registry.errors import Refused

SCHEMA = {"md5": pl.String, "relpath": pl.String}
_CHUNK = 4 << 20  # bytes
_QUOTES = 8  # in one entry
# Relative paths that are no file of the folder, in Rust's syntax. `.git` is among them because Git runs its hooks.
_OUTSIDE = r"^$|^/|/$|//|(^|/)(\.{1,2}|(?i:\.git))(/|$)|[\x00-\x1f\\]"
_REBUILD = "build the folder again"


def md5_of(data: bytes) -> str:
    """The id of a `.dir` object with these bytes."""
    return f"{digests.md5(data)}.dir"


def write(files: DataFrame) -> bytes:
    """The `.dir` object of a folder's files, given in any order.

    Raises Refused for names outside printable ASCII: `json.dumps` would escape them.
    """
    if files["relpath"].str.contains(r'[^\x20-\x7e]|["\\]').any():
        raise Refused(
            "file names in a tracked folder must be printable ASCII without quotes and backslashes",
            fix="rename the class",
        )
    entry = pl.concat_str(pl.lit('{"md5": "'), "md5", pl.lit('", "relpath": "'), "relpath", pl.lit('"}'))
    return f"[{files.sort('relpath').select(entry.str.join(', ')).item() or ''}]".encode()


def read(data: bytes, md5: str) -> DataFrame:
    """The files of a `.dir` object, sorted by relpath.

    Raises Refused when the bytes do not match the id, are not in DVC's form, or list a file outside the folder.
    """
    if md5_of(data) != md5:
        raise Refused(digests.describe_mismatch(f"object {md5}", md5_of(data)), fix="registry fsck")
    try:
        frames = [pl.read_json(part, schema=SCHEMA) for part in _chunks(data) if part.strip() != b"[]"]
    except pl.exceptions.PolarsError as error:
        raise Refused(f"object {md5}: not a JSON list of files", fix=_REBUILD) from error
    files = pl.concat([DataFrame(schema=SCHEMA), *frames]).sort("relpath")
    _require_files_of_folder(files, md5)
    # Each entry has four strings and no more: DVC could obey another key.
    if not data.startswith(b"[") or data.count(b'"') - data.count(b'\\"') != _QUOTES * len(files):
        raise Refused(f"object {md5}: not a list of files in the form that DVC writes", fix=_REBUILD)
    return files


def _require_files_of_folder(files: DataFrame, md5: str) -> None:
    """Raise Refused for a path outside the folder, one that is listed twice, or a file that is also a folder."""
    is_outside, is_md5 = col("relpath").str.contains(_OUTSIDE), col("md5").str.contains(r"^[0-9a-f]{32}$")
    if bad := files.filter((is_outside | ~is_md5).fill_null(value=True)).rows():
        raise Refused(f"object {md5}: {bad[0][1]!r} is not a file of its folder, or has no MD5", fix=_REBUILD)
    if repeated := files["relpath"].filter(files["relpath"] == files["relpath"].shift()).to_list():
        raise Refused(f"object {md5}: {repeated[0]!r} is listed twice", fix=_REBUILD)
    if both := files["relpath"].filter(files["relpath"].is_in(_folders(files))).to_list():
        raise Refused(f"object {md5}: {both[0]!r} is listed as a file and as a folder", fix=_REBUILD)


def _folders(files: DataFrame) -> list[str]:
    """Every folder that these files are in."""
    parents = files["relpath"].str.extract("^(.*)/").drop_nulls().unique()
    return list(
        {str(folder) for parent in parents for folder in (PurePosixPath(parent), *PurePosixPath(parent).parents)}
    )


def _chunks(data: bytes) -> Iterator[bytes]:
    """The JSON list in parts that are lists themselves: parsing a million files at once takes 700 MB, so 150 MB."""
    start, opening = 0, b""
    # Inside a string these quotes would be escaped, so these bytes stand between two entries only.
    while (end := data.find(b'"}, {"md5": "', start + _CHUNK)) >= 0:
        yield opening + data[start : end + 2] + b"]"
        start, opening = end + 4, b"["
    yield opening + data[start:]
