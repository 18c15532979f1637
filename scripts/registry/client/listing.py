"""The files of a dataset's version, as DVC's `.dir` object lists them, read without Polars and judged as hostile.

`sync.dir_listing` reads the same objects as frames. Here a file will be written at each path that is listed, so a list
has paths of `core.item_paths` and no others.
"""

import re
from collections.abc import Mapping

from registry.core import digests, documents, item_paths
from registry.errors import InvalidData, InvalidDocument

_MD5 = re.compile(r"[0-9a-f]{32}")
_FIX = "ask the owners of the registry: `registry fsck --deep` there names what is wrong"


def parse(data: bytes, md5: str, what: str, part: str = "") -> Mapping[str, str]:
    """The MD5 of each file by its path in the version, sorted; `md5` is the object's name, `what` names it in messages.

    The list is that of a `part` of the version.

    Raises InvalidData where the bytes have another MD5, are no list of files, or list a path that no dataset has.
    """
    if not digests.matches(data, md5):
        raise InvalidData(digests.describe_mismatch(what, digests.md5(data)), (), fix=_FIX)
    try:
        rows = documents.read_json(data, what)
    except InvalidDocument as error:
        raise InvalidData(error.message, (), fix=_FIX) from error
    if not isinstance(rows, list) or not all(map(_is_entry, rows)):
        raise InvalidData(f"{what}: not a list of files in the form that DVC writes", (), fix=_FIX)
    start = f"{part}/" if part else ""
    files = {f"{start}{row['relpath']}": row["md5"] for row in sorted(rows, key=lambda row: str(row["relpath"]))}
    if fault := item_paths.find_fault([f"{start}{row['relpath']}" for row in rows]):
        raise InvalidData(f"{what}: {fault}", (), fix=_FIX)
    return files


def _is_entry(row: object) -> bool:
    if not isinstance(row, dict) or row.keys() != {"md5", "relpath"}:
        return False
    return isinstance(row["relpath"], str) and isinstance(row["md5"], str) and bool(_MD5.fullmatch(row["md5"]))
