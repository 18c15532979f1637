"""The release manifest of a version: what its tag promises, and the SHA-256 of every file.

It is two objects in production, each named by the SHA-256 of its bytes: the manifest, a small JSON document, and the
list of files, a JSON document a line. The tag's message has the manifest's SHA-256, the manifest has the list's. So a
reader needs Git for the tag alone, and any storage for the rest. Both have one form: other bytes are refused.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import polars as pl
from polars import DataFrame, col

from registry.core import documents, names, schema
from registry.core.documents import Document
from registry.core.values import Output, Tag
from registry.dataset import provenance
from registry.errors import InvalidData, InvalidDocument, NotFound, StorageFailed
from registry.storage.base import Store
from registry.sync.inventory import Tracked

FORMAT = 1
FILES = pl.Schema({"md5": pl.String, "path": pl.String, "sha256": pl.String, "size": pl.Int64})
_LINE = "manifest: sha256:"
_IN_MESSAGE = re.compile(rf"^{_LINE}([0-9a-f]{{64}})$", re.MULTILINE)

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


# --- writing ----------------------------------------------------------------------------------------------------------


def write_files(files: DataFrame) -> bytes:
    """The list of files (columns of FILES, in any order): a JSON object a line, sorted by path."""
    rows = files.select(list(FILES)).sort("path").iter_rows(named=True)
    return "".join(f"{_canonical(row)}\n" for row in rows).encode()


@dataclass(frozen=True, slots=True)
class Written:
    """A manifest and its list of files, as bytes."""

    tag: Tag
    manifest: bytes
    files: bytes

    @property
    def line(self) -> str:
        """The line of the tag's message that names it."""
        return f"{_LINE}{hash_of(self.manifest)}\n"

    def store(self, production: Store) -> None:
        """Store both, the list first. Raises StorageFailed, also for a checksum mismatch there."""
        for place, data in (
            (files_key(self.tag, hash_of(self.files)), self.files),
            (key(self.tag, hash_of(self.manifest)), self.manifest),
        ):
            if not production.put(place, data) and production.get(place) != data:
                fix = f"ask an administrator to delete that object ({production.removal(place)}), then publish again"
                raise StorageFailed(f"{production.url}/{place}: content does not match its SHA-256", fix=fix)


def write(tag: Tag, commit: str, content: Tracked, facts: Mapping[str, object], files: DataFrame) -> Written:
    """The manifest of a version; `facts` are further keys that its schema has, `files` has the columns of FILES."""
    data = write_files(files)
    listed = {
        "sha256": hash_of(data),
        "count": files.height,
        "size": int(files["size"].sum()),
        "without_sha256": files["sha256"].null_count(),
    }
    found = {
        "format": FORMAT,
        "tag": str(tag),
        "commit": commit,
        "outputs": [_describe(out) for out in content.outputs],
        "inputs": [_describe(out) for out in content.inputs],
        "files": listed,
        **facts,
    }
    return Written(tag, f"{_canonical(found)}\n".encode(), data)


def hash_of(data: bytes) -> str:
    """The SHA-256 of bytes, in 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _describe(out: Output) -> dict[str, object]:
    found: dict[str, object] = {"path": out.path, "md5": out.md5, "size": out.size}
    return found | ({"files": out.nfiles} if out.nfiles is not None else {})


def _canonical(value: object) -> str:
    """JSON in one form: keys sorted, no spaces, characters as they are; NaN is an error."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def selection_facts(raw: Document | None) -> Mapping[str, object] | None:
    """Where a dataset's rows are from: the hashes in `raw.dvc`; None where it has none."""
    try:
        found = provenance.parse(raw) if raw else None
    except InvalidDocument:
        return None
    if found is None:
        return None
    facts = {
        "origin": found.origin,
        "selected_at": found.selected_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "rows": found.rows,
        "rows_hash": found.rows_hash,
        "source_hash": found.source_hash,
        "query_hash": found.query_hash,
        "sql_hash": found.sql_hash,
        "file_hash": found.file_hash,
    }
    return {key: value for key, value in facts.items() if value is not None}


# --- reading ----------------------------------------------------------------------------------------------------------


def key(tag: Tag, sha256: str) -> str:
    """Where production has a manifest: `releases/datasets/pets/1.0.0/<sha256>.json`."""
    return f"releases/{tag.artifact}/{tag.version}/{sha256}.json"


def files_key(tag: Tag, sha256: str) -> str:
    """Where production has a manifest's list of files."""
    return f"releases/{tag.artifact}/{tag.version}/{sha256}.files.jsonl"


def find(message: str) -> str | None:
    """The SHA-256 of the manifest that a tag's message names; None where it names none."""
    found = _IN_MESSAGE.findall(message)
    return found[-1] if found else None  # above it are texts that people write


def read(tag: Tag, sha256: str, fetch: Read) -> ReleaseManifest:
    """The manifest with this SHA-256. Raises NotFound, InvalidData for other bytes, InvalidDocument."""
    place = key(tag, sha256)
    return parse(_require(place, sha256, fetch), place)


def read_files(manifest: ReleaseManifest, fetch: Read) -> DataFrame:
    """Its list of files: the columns of FILES, sorted by path. Raises as `read`."""
    place = files_key(manifest.tag, manifest.files)
    data = _require(place, manifest.files, fetch)
    try:
        found = pl.read_ndjson(data, schema=FILES) if data else DataFrame(schema=FILES)
    except pl.exceptions.PolarsError as error:
        raise InvalidDocument(place, "not a list of files") from error
    if write_files(found) != data or found["path"].is_duplicated().any():
        raise InvalidDocument(place, "not in the canonical form of a list of files")
    return found


def _require(place: str, sha256: str, fetch: Read) -> bytes:
    data = fetch(place)
    if data is None:
        raise NotFound(f"{place} is in no storage that can be read", fix="get read access to the registry's storage")
    if (found := hash_of(data)) != sha256:
        raise InvalidData(f"{place}: SHA-256 is {found}, expected {sha256}", ())
    return data


def parse(data: bytes, place: str) -> ReleaseManifest:
    """A manifest in its one form. Raises InvalidDocument."""
    found: Any = documents.read_json(data, place)
    schema.require(Document(place, found, {}), "release")
    if f"{_canonical(found)}\n".encode() != data:
        raise InvalidDocument(place, "not in the canonical form of a release manifest")
    listed = found["files"]
    outputs = tuple(Output(one["path"], one["md5"], one["size"], one.get("files")) for one in found["outputs"])
    tag, counted = names.parse_tag(found["tag"]), (listed["count"], listed["size"], listed["without_sha256"])
    return ReleaseManifest(tag, found["commit"], outputs, listed["sha256"], *counted, data)


def known_sha256(production: Store, earlier: Iterable[tuple[Tag, str]]) -> DataFrame:
    """The SHA-256 by MD5 in the manifests of releases (with their tags' messages): columns md5 and sha256.

    What cannot be read is not known: its objects are read again.
    """
    frames = [DataFrame(schema={"md5": pl.String, "sha256": pl.String})]
    for tag, message in earlier:
        if sha256 := find(message):
            try:
                manifest = read(tag, sha256, production.get)
                frames.append(read_files(manifest, production.get).select("md5", "sha256"))
            except (NotFound, InvalidData, InvalidDocument):
                continue
    return pl.concat(frames).filter(col("sha256").is_not_null()).unique("md5", maintain_order=True)
