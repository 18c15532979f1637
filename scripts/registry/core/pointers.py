"""What DVC's tools write: `.dvc` files, `dvc.lock` and `.dir` objects, read and written byte for byte as DVC does.

A `.dir` object is `json.dumps` of `[{"md5": …, "relpath": …}]` sorted by relpath; its id is its MD5 and `.dir`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Any

from registry.core import documents, schema
from registry.core.documents import Document
from registry.core.values import Build, Output
from registry.errors import InvalidDocument, Refused

if TYPE_CHECKING:
    import polars

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_PART = 4 << 20  # bytes
_QUOTES = 8  # in an entry of a `.dir` object
# In Rust's syntax; as the path of a file in its folder. Git runs what lies in a folder .git.
_NO_FILE = r"^$|^/|/$|//|(^|/)(\.{1,2}|(?i:\.git))(/|$)|[\x00-\x1f\\]"


def object_key(md5: str) -> str:
    """Where an object lies in a cache or remote of DVC 3: `files/md5/<2 hex>/<30 hex>[.dir]`."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def object_md5(key: str) -> str | None:
    """The md5 whose object a key is; None for any other key."""
    *_, folder, rest = ["", "", *key.split("/")]
    name = folder + rest
    return name if key == object_key(name) and MD5.fullmatch(name) else None


def read_pointer(data: bytes, path: str) -> Output:
    """The one output of a `.dvc` file, its path made relative to the root. Raises InvalidDocument."""
    document = documents.read_yaml(data, path)
    schema.require(document, "pointer")
    return parse_pointer(document)


def parse_pointer(document: Document) -> Output:
    """The one output of a document that keeps the schema of pointers."""
    out = document.data["outs"][0]
    return Output(join(dirname(document.path), out["path"]), out["md5"], out["size"], out.get("nfiles"))


def read_meta(data: bytes, path: str) -> Mapping[str, Any]:
    """The facts under a `.dvc` file's `meta:`."""
    return documents.read_yaml(data, path).data.get("meta", {})


def parse_build(document: Document) -> Build | None:
    """How the output of a document that keeps the schema of pointers was built, None where it does not say.

    Raises InvalidDocument for a `meta.build` in another form than `registry build` writes.
    """
    build = document.data.get("meta", {}).get("build")
    if build is None:
        return None
    try:
        counts = {
            str(split): {str(label): int(number) for label, number in classes.items()}
            for split, classes in build["counts"].items()
        }
        return Build(str(build["selection"]), str(build["rule"]), int(build["images"]), counts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        line = document.line(("meta", "build"))
        fault = "meta.build is not what `registry build` writes"
        raise InvalidDocument(document.path, fault, line=line, fix="registry build") from error


def write_pointer(output: Output, meta: Mapping[str, Any]) -> bytes:
    """A `.dvc` file in DVC's own key order: md5, size, nfiles, hash, path."""
    out = {"md5": output.md5, "size": output.size}
    if output.nfiles is not None:
        out["nfiles"] = output.nfiles
    return documents.write_yaml(
        {
            "outs": [{**out, "hash": "md5", "path": output.path.rsplit("/", 1)[-1]}],
            **({"meta": dict(meta)} if meta else {}),
        }
    )


def read_lock(data: bytes, path: str) -> tuple[tuple[Output, ...], tuple[Output, ...]]:
    """The outputs and dependencies that a `dvc.lock` names, paths made relative to the root. Raises InvalidDocument."""
    return parse_lock(documents.read_yaml(data, path))


def parse_lock(document: Document) -> tuple[tuple[Output, ...], tuple[Output, ...]]:
    """The outputs and dependencies of a document. Raises InvalidDocument where it is no `dvc.lock`."""
    path, outs, deps = document.path, [], []
    try:
        for stage in document.data["stages"].values():
            outs += [_locked(item, path) for item in stage.get("outs", [])]
            deps += [_locked(item, path) for item in stage.get("deps", [])]
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidDocument(path, "not a dvc.lock", fix="run `dvc repro`") from error
    return tuple(outs), tuple(deps)


def _locked(item: Mapping[str, Any], path: str) -> Output:
    place = normpath(join(dirname(path), item["path"]))
    if place.startswith(("../", "/")) or not MD5.fullmatch(item.get("md5", "")) or item.get("hash") != "md5":
        raise InvalidDocument(
            path, f"the entry {item['path']} is not inside the registry or has no DVC 3 hash", fix="run `dvc repro`"
        )
    return Output(place, item["md5"], item["size"], item.get("nfiles"))


def write_dir(files: "polars.DataFrame") -> bytes:
    """The `.dir` object of a frame with the columns md5 and relpath (any order)."""
    import polars as pl

    if files["relpath"].str.contains(r'[^\x20-\x7e]|["\\]').any():
        raise Refused(
            "the names of a folder's files must be plain ASCII, without quotes and backslashes", fix="rename the class"
        )
    item = pl.concat_str(pl.lit('{"md5": "'), "md5", pl.lit('", "relpath": "'), "relpath", pl.lit('"}'))
    return f"[{files.sort('relpath').select(item.str.join(', ')).item() or ''}]".encode()


def read_dir(data: bytes, md5: str) -> "polars.DataFrame":
    """The files of a `.dir` object: columns md5 and relpath, sorted by relpath.

    Raises Refused when the bytes are not those that the id names, or when a file would land outside its folder.
    """
    import polars as pl

    if dir_md5(data) != md5:
        raise Refused(f"the object {md5} holds other bytes than its name says", fix="registry fsck")
    schema = {"md5": pl.String, "relpath": pl.String}
    try:
        frames = [pl.read_json(part, schema=schema) for part in _lists(data) if part.strip() != b"[]"]
    except pl.exceptions.PolarsError as error:
        raise Refused(f"the object {md5} is not a list of files", fix="build the folder again") from error
    files = pl.concat([pl.DataFrame(schema=schema), *frames])
    path, hashed = pl.col("relpath").str.contains(_NO_FILE), pl.col("md5").str.contains(r"^[0-9a-f]{32}$")
    if bad := files.filter((path | ~hashed).fill_null(value=True)).rows():
        raise Refused(
            f"the object {md5} lists {bad[0][1]!r}, which is no file of its folder", fix="build the folder again"
        )
    # Each entry has four texts and no more: another key might tell DVC to look elsewhere.
    if not data.startswith(b"[") or data.count(b'"') - data.count(b'\\"') != _QUOTES * len(files):
        raise Refused(f"the object {md5} is not a list of files as DVC writes it", fix="build the folder again")
    files = files.sort("relpath")
    if (files["relpath"] == files["relpath"].shift()).any():
        raise Refused(f"the object {md5} lists a file twice", fix="build the folder again")
    if (both := files["relpath"].filter(files["relpath"].is_in(_folders(files)))).len():
        fault = f"the object {md5} lists {both[0]!r} as a file and as a folder"
        raise Refused(fault, fix="build the folder again")
    return files


def _folders(files: "polars.DataFrame") -> list[str]:
    """Every folder that these files are in."""
    parents = files["relpath"].str.extract("^(.*)/").drop_nulls().unique()
    return list(
        {str(folder) for parent in parents for folder in (PurePosixPath(parent), *PurePosixPath(parent).parents)}
    )


def _lists(data: bytes) -> Iterator[bytes]:
    """The JSON list in parts that are lists of their own: a million files at once take 700 MB to parse, so 150 MB."""
    start, opening = 0, b""
    # In a text these quotes would be escaped, so that this stands between two files only.
    while (end := data.find(b'"}, {"md5": "', start + _PART)) >= 0:
        yield opening + data[start : end + 2] + b"]"
        start, opening = end + 4, b"["
    yield opening + data[start:]


def dir_md5(data: bytes) -> str:
    """The id of a `.dir` object."""
    return f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}.dir"
