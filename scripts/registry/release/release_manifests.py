"""The release manifest of a version: what its tag promises, and the SHA-256 of every file; how one is found and read.

It is two objects in production, each named by the SHA-256 of its bytes: the manifest, a small JSON document, and the
list of files, a JSON document a line. The tag's message has the manifest's SHA-256, the manifest has the list's. So a
reader needs Git for the tag alone, and any storage for the rest. Both have one form: other bytes are refused.
`manifest_files` writes both, and reads the list.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from registry.core import canonical_json, documents, names, schema
from registry.core.documents import Document
from registry.core.values import Output, Tag
from registry.errors import InvalidData, InvalidDocument, NotFound

FORMAT = 1

Read = Callable[[str], bytes | None]  # the bytes of an object by its key; None where no store has it


@dataclass(frozen=True, slots=True)
class ReleaseManifest:
    """A release manifest. `files` is the SHA-256 of its list of files, which has `count` rows and `size` bytes.

    `unhashed` files have an MD5 alone. `data` are the manifest's own bytes.
    """

    tag: Tag
    commit: str
    outputs: tuple[Output, ...]
    files: str
    count: int
    size: int
    unhashed: int
    data: bytes

    @property
    def sha256(self) -> str:
        """The SHA-256 of its bytes."""
        return hash_of(self.data)


def hash_of(data: bytes) -> str:
    """The SHA-256 of bytes, in 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def key(tag: Tag, sha256: str) -> str:
    """Where production has a manifest: `releases/datasets/pets/1.0.0/<sha256>.json`."""
    return f"releases/{tag.artifact}/{tag.version}/{sha256}.json"


def files_key(tag: Tag, sha256: str) -> str:
    """Where production has a manifest's list of files."""
    return f"releases/{tag.artifact}/{tag.version}/{sha256}.files.jsonl"


def read(tag: Tag, sha256: str, fetch: Read) -> ReleaseManifest:
    """The manifest with this SHA-256. Raises NotFound, InvalidData for other bytes, InvalidDocument."""
    place = key(tag, sha256)
    return parse(require(place, sha256, fetch), place)


def require(place: str, sha256: str, fetch: Read) -> bytes:
    """The object with this key and SHA-256. Raises NotFound, InvalidData for other bytes."""
    data = fetch(place)
    if data is None:
        raise NotFound(f"{place} is in no storage that can be read", fix="get read access to the registry's storage")
    if (found := hash_of(data)) != sha256:
        raise InvalidData(f"{place}: SHA-256 is {found}, expected {sha256}", ())
    return data


def contradiction(manifest: ReleaseManifest, tag: Tag, commit: str, outputs: tuple[Output, ...]) -> str:
    """What a manifest says otherwise than its tag, on this commit with these outputs; empty where it agrees."""
    if manifest.tag != tag:
        return f"it is the manifest of {manifest.tag}"
    if manifest.commit != commit:
        return f"the tag is on {commit[:10]}, expected {manifest.commit[:10]} by its manifest"
    return "" if manifest.outputs == outputs else "it lists other outputs than the pointers of the tag's commit"


def parse(data: bytes, place: str) -> ReleaseManifest:
    """A manifest in its one form. Raises InvalidDocument."""
    found: Any = documents.read_json(data, place)
    schema.require(Document(place, found, {}), "release")
    if f"{canonical_json.write(found)}\n".encode() != data:
        raise InvalidDocument(place, "not in the canonical form of a release manifest")
    listed = found["files"]
    outputs = tuple(Output(one["path"], one["md5"], one["size"], one.get("files")) for one in found["outputs"])
    tag, counted = names.parse_tag(found["tag"]), (listed["count"], listed["size"], listed["without_sha256"])
    return ReleaseManifest(tag, found["commit"], outputs, listed["sha256"], *counted, data)
