"""What a dataset that was adopted from elsewhere keeps of its source: where it was, and the columns of its images.

An adopted image has no key in the lake. Its row in the selection names its bytes (`md5`, `bytes`) and its path in the
source (`file`), so a version follows from the selection alone.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

FILE, MD5, BYTES, GIVEN_SPLIT = "file", "md5", "bytes", "given_split"
REQUIRED: Mapping[str, str] = {FILE: "string", MD5: "string", BYTES: "integer"}  # columns of every adopted dataset
_NAMESPACE = UUID("5b0f6c9e-6f0f-4d59-9b64-4c2c1d2a7e11")  # never changed: the UUIDs of released images follow from it


@dataclass(frozen=True, slots=True)
class Adopted:
    """Where a dataset was adopted from: a repository, a bucket's folder, or the name of a local folder.

    Of a DVC repository also the path of the data in it, the commit (empty where it was read from a folder without
    one), and the md5 of the folder's `.dir` object. It has no login and no path of anybody's machine.
    """

    place: str
    path: str = ""
    commit: str = ""
    md5: str = ""

    def __str__(self) -> str:
        at = f"@{self.commit[:12]}" if self.commit else ""
        return f"{self.place}{at}:{self.path}" if self.path else self.place

    def command(self, artifact: object) -> str:
        """The command that adopts a later state of it; of a local folder only the name is known."""
        known = "://" in self.place or ":" in self.place
        path = f" --path {shlex.quote(self.path)}" if self.path else ""
        return f"registry adopt {artifact} --from {shlex.quote(self.place) if known else 'FOLDER'}{path}"


def uuid_of(md5: str) -> str:
    """The UUID of an image whose file is not named by one: the same bytes always have the same."""
    return str(uuid5(_NAMESPACE, md5))
