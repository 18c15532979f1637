"""What DVC's tools write: `.dvc` files and `dvc.lock`, read and written byte for byte as DVC does."""

import re
from collections.abc import Mapping
from posixpath import dirname, join, normpath
from typing import Any

from registry.core import documents, schema
from registry.core.documents import Document
from registry.core.values import Build, Output
from registry.errors import InvalidDocument

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


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
