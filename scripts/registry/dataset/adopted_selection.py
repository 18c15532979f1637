"""What the selection of an adopted dataset has to say of its images: their bytes, and a file name of each."""

from collections.abc import Iterator

from polars import DataFrame, col

from registry.core import item_paths
from registry.core.adoption import BYTES, FILE, MD5
from registry.core.wording import abbreviate, plural

_ENDING = rf"\.(?i:{'|'.join(name for name in item_paths.EXTENSIONS if name.islower())})$"


def find_problems(rows: DataFrame) -> Iterator[str]:
    """What is wrong with the columns file, md5 and bytes, a line for each kind of problem."""
    for fault, is_wrong in (
        ("md5 is not an MD5", ~col(MD5).str.contains("^[0-9a-f]{32}$")),
        ("md5 is that of another row too", col(MD5).is_duplicated()),
        ("file is that of another row too", col(FILE).is_duplicated()),
        ("file has not the extension of a JPEG, PNG or WebP", ~col(FILE).str.contains(_ENDING)),
        ("bytes is negative", col(BYTES) < 0),
    ):
        if len(found := rows.filter(is_wrong.fill_null(value=False))):
            yield f"{plural(len(found), 'row')}: {fault}: {abbreviate(found['uuid'].to_list())}"
