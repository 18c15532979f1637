"""A release manifest as it is written, and its list of files as a table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC

import polars as pl
from polars import DataFrame, col

from registry.core import canonical_json, tag_messages
from registry.core.documents import Document
from registry.core.values import Output, Tag
from registry.dataset import provenance
from registry.errors import InvalidData, InvalidDocument, NotFound, StorageFailed
from registry.release.release_manifests import (
    FORMAT,
    Read,
    ReleaseManifest,
    files_key,
    hash_of,
    key,
    read,
    require,
)
from registry.storage.base import Store
from registry.sync.inventory import Tracked

FILES = pl.Schema({"md5": pl.String, "path": pl.String, "sha256": pl.String, "size": pl.Int64})


# --- writing ----------------------------------------------------------------------------------------------------------


def write_files(files: DataFrame) -> bytes:
    """The list of files (columns of FILES, in any order): a JSON object a line, sorted by path."""
    rows = files.select(list(FILES)).sort("path").iter_rows(named=True)
    return "".join(f"{canonical_json.write(row)}\n" for row in rows).encode()


@dataclass(frozen=True, slots=True)
class Written:
    """A manifest and its list of files, as bytes."""

    tag: Tag
    manifest: bytes
    files: bytes

    @property
    def line(self) -> str:
        """The line of the tag's message that names it."""
        return f"{tag_messages.LINE}{hash_of(self.manifest)}\n"

    @property
    def objects(self) -> Mapping[str, bytes]:
        """Both by their keys, the list first."""
        listed = {files_key(self.tag, hash_of(self.files)): self.files}
        return listed | {key(self.tag, hash_of(self.manifest)): self.manifest}

    def store(self, production: Store) -> None:
        """Store both. Raises StorageFailed, also for a checksum mismatch there."""
        for place, data in self.objects.items():
            if not production.put(place, data) and production.get(place) != data:
                fix = f"ask an administrator to delete that object ({production.removal(place)}), then publish again"
                raise StorageFailed(f"{production.url}/{place}: content does not match its SHA-256", fix=fix)


def write(tag: Tag, commit: str, content: Tracked, facts: Mapping[str, object], files: DataFrame) -> Written:
    """The manifest of a version; `facts` are further keys that its schema has, `files` has the columns of FILES."""
    data = write_files(files)
    counted = dict(zip(("count", "size", "without_sha256"), _count(files), strict=True))
    listed = {"sha256": hash_of(data), **counted}
    found = {
        "format": FORMAT,
        "tag": str(tag),
        "commit": commit,
        "outputs": [_describe(out) for out in content.outputs],
        "inputs": [_describe(out) for out in content.inputs],
        "files": listed,
        **facts,
    }
    return Written(tag, f"{canonical_json.write(found)}\n".encode(), data)


def _describe(out: Output) -> dict[str, object]:
    found: dict[str, object] = {"path": out.path, "md5": out.md5, "size": out.size}
    return found | ({"files": out.nfiles} if out.nfiles is not None else {})


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


def read_files(manifest: ReleaseManifest, fetch: Read) -> DataFrame:
    """Its list of files: the columns of FILES, sorted by path. Raises as `read`."""
    place = files_key(manifest.tag, manifest.files)
    data = require(place, manifest.files, fetch)
    try:
        found = pl.read_ndjson(data, schema=FILES) if data else DataFrame(schema=FILES)
    except pl.exceptions.PolarsError as error:
        raise InvalidDocument(place, "not a list of files") from error
    if write_files(found) != data or found["path"].is_duplicated().any():
        raise InvalidDocument(place, "not in the canonical form of a list of files")
    if (manifest.count, manifest.size, manifest.unhashed) != _count(found):
        raise InvalidDocument(place, "has other files or bytes than its manifest counts")
    return found


def _count(files: DataFrame) -> tuple[int, int, int]:
    """The number of files, of their bytes, and of those without a SHA-256."""
    return files.height, int(files["size"].sum()), files["sha256"].null_count()


def known_sha256(production: Store, earlier: Iterable[tuple[Tag, str]]) -> DataFrame:
    """The SHA-256 by MD5 in the manifests of releases (with their tags' messages): columns md5 and sha256.

    What cannot be read is not known: its objects are read again.
    """
    frames = [DataFrame(schema={"md5": pl.String, "sha256": pl.String})]
    for tag, message in earlier:
        if sha256 := tag_messages.find_manifest(message):
            try:
                manifest = read(tag, sha256, production.get)
                frames.append(read_files(manifest, production.get).select("md5", "sha256"))
            except (NotFound, InvalidData, InvalidDocument):
                continue
    return pl.concat(frames).filter(col("sha256").is_not_null()).unique("md5", maintain_order=True)
