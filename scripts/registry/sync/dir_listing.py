"""The files of a tracked folder: DVC's `.dir` objects, read and written byte for byte as DVC does.

A `.dir` object is `json.dumps` of `[{"md5": …, "relpath": …}]` sorted by relpath; its id is the MD5 of these bytes and
`.dir`. Only this canonical form is read: in another one, DVC could see other files than these checks do. Frames have
the columns md5 and relpath, because a version may have a million files.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import PurePosixPath
from typing import TypeVar

import polars as pl
from polars import DataFrame, col

from registry.core import digests, output_names
from registry.errors import Refused

T = TypeVar("T")
Result = TypeVar("Result")

SCHEMA = {"md5": pl.String, "relpath": pl.String}
READERS = 16  # lists that are read at the same time: a bucket takes as long for sixteen as for one
_CHUNK = 4 << 20  # bytes that are read at once
_ROWS = 65_536  # files that are written or checked at once: a million in one piece take 300 MB more
_QUOTES = 8  # in one entry
# Relative paths that are no file of the folder, in Rust's syntax. `.git` is among them because Git runs its hooks.
_OUTSIDE = r"^$|^/|/$|//|(^|/)(\.{1,2}|(?i:\.git))(/|$)|[\x00-\x1f\\]"
_INVISIBLE = r"[\p{C}\p{Zl}\p{Zp}]"  # control characters, and those that show a name otherwise than it is
_ODD = f"{output_names.UNSAFE}|{output_names.OBEYED}"
_REBUILD = "build the folder again"


def map_lists(work: Callable[[T], Result], todo: Iterable[T], is_short: Callable[[T], bool]) -> Iterator[Result]:
    """`work` of each of `todo`, in order, which reads a list of files; results that are not taken yet are few.

    Short lists, as the parts of a version have, are read side by side. Two of a million files would take a gigabyte.
    """
    with ThreadPoolExecutor(READERS) as pool:
        ahead = deque[Callable[[], Result]]()
        for one in todo:
            ahead.append(pool.submit(work, one).result if is_short(one) else partial(work, one))
            if len(ahead) == READERS:
                yield ahead.popleft()()
        while ahead:
            yield ahead.popleft()()


def md5_of(data: bytes) -> str:
    """The id of a `.dir` object with these bytes."""
    return f"{digests.md5(data)}.dir"


def write(files: DataFrame) -> bytes:
    """The `.dir` object of a folder's files, given in any order.

    Raises Refused for names outside printable ASCII, which `json.dumps` would escape, and for what `read` refuses.
    """
    if files["relpath"].str.contains(r'[^\x20-\x7e]|["\\]').any():
        raise Refused(
            "file names in a tracked folder must be printable ASCII without quotes and backslashes",
            fix="rename the class",
        )
    files = files.sort("relpath")
    if fault := _find_unsafe(files):
        raise Refused(fault, fix="rename the class")
    entry = pl.concat_str(pl.lit('{"md5": "'), "md5", pl.lit('", "relpath": "'), "relpath", pl.lit('"}'))
    out = BytesIO()
    for part in files.iter_slices(_ROWS):
        out.write(b", " if out.tell() else b"[")
        out.write(part.select(entry.str.join(", ")).item().encode())
    out.write(b"]" if out.tell() else b"[]")
    return out.getvalue()


def read(data: bytes, md5: str) -> DataFrame:
    """The files of a `.dir` object, sorted by relpath.

    Raises Refused when the bytes do not match the id, are not in DVC's form, or list a file outside the folder, one
    that a tool would obey there, or two that are one file on some systems.
    """
    files = read_foreign(data, md5)
    if fault := _find_unsafe(files):
        raise Refused(f"object {md5}: {fault}", fix=_REBUILD)
    return files


def read_foreign(data: bytes, md5: str) -> DataFrame:
    """The same for a list of which no file will lie where the list says: any names are allowed below the folder."""
    if md5_of(data) != md5:
        raise Refused(digests.describe_mismatch(f"object {md5}", md5_of(data)), fix="registry fsck")
    try:
        frames = [pl.read_json(part, schema=SCHEMA) for part in _chunks(data) if part.strip() != b"[]"]
    except pl.exceptions.PolarsError as error:
        raise Refused(f"object {md5}: not a JSON list of files", fix=_REBUILD) from error
    files = pl.concat([DataFrame(schema=SCHEMA), *frames]).sort("relpath")
    if fault := _find_outside(files):
        raise Refused(f"object {md5}: {fault}", fix=_REBUILD)
    # Each entry has four strings and no more: DVC could obey another key.
    if not data.startswith(b"[") or data.count(b'"') - data.count(b'\\"') != _QUOTES * len(files):
        raise Refused(f"object {md5}: not a list of files in the form that DVC writes", fix=_REBUILD)
    return files


def _find_outside(files: DataFrame) -> str:
    """A path outside the folder, one that is listed twice, or a file that is also a folder."""
    is_outside, is_md5 = col("relpath").str.contains(_OUTSIDE), col("md5").str.contains(r"^[0-9a-f]{32}$")
    if bad := files.filter((is_outside | ~is_md5).fill_null(value=True)).rows():
        return f"{bad[0][1]!r} is not a file of its folder, or has no MD5"
    if repeated := files["relpath"].filter(files["relpath"] == files["relpath"].shift()).to_list():
        return f"{repeated[0]!r} is listed twice"
    if both := files["relpath"].filter(files["relpath"].is_in(_folders(files))).to_list():
        return f"{both[0]!r} is listed as a file and as a folder"
    return ""


def _find_unsafe(files: DataFrame) -> str:
    """A name that a tool obeys, that not all systems take, or that some take for another one of these."""
    path = col("relpath")
    is_ascii = path.str.len_bytes() == path.str.len_chars()
    is_odd = path.str.contains(_ODD) | (~is_ascii & path.str.contains(_INVISIBLE))
    if odd := files.filter(is_odd)["relpath"].head(1).to_list():
        is_obeyed = re.search(output_names.OBEYED, odd[0])
        return f"{odd[0]!r} is {'a file that Git, DVC or Python obeys' if is_obeyed else 'read differently elsewhere'}"
    for name in files.filter(path.str.len_bytes() > output_names.MAX_BYTES)["relpath"]:
        if fault := output_names.find_excess(name):
            return f"{name[:40]!r}… {fault}"
    names = pl.concat([files.select(path), DataFrame({"relpath": _folders(files)}, {"relpath": pl.String})])
    folded = names.with_columns(folded=path.str.to_lowercase())
    if not names.select(is_ascii.all()).item():
        folded = folded.with_columns(col("folded").str.normalize("NFKC"))
    if folded["folded"].hash().n_unique() == len(names):  # a sixth of the time that the names themselves would take
        return ""
    same = folded.filter(col("folded").is_duplicated()).sort("folded", "relpath")["relpath"].head(2).to_list()
    return f"{same[0]!r} and {same[1]!r} are one name where neither case nor composition matters" if same else ""


def _folders(files: DataFrame) -> list[str]:
    """Every folder that these files are in."""
    parents = files["relpath"].str.replace("[^/]*$", "").unique()  # with a slash at the end; `extract` takes longer
    paths = [PurePosixPath(parent) for parent in parents if parent]
    return list({str(folder) for path in paths for folder in (path, *path.parents)})


def _chunks(data: bytes) -> Iterator[bytes]:
    """The JSON list in parts that are lists themselves: parsing a million files at once takes 700 MB, so 150 MB."""
    start, opening = 0, b""
    # Inside a string these quotes would be escaped, so these bytes stand between two entries only.
    while (end := data.find(b'"}, {"md5": "', start + _CHUNK)) >= 0:
        yield opening + data[start : end + 2] + b"]"
        start, opening = end + 4, b"["
    yield opening + data[start:]
