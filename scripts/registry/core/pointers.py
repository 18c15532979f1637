"""What DVC's tools write: `.dvc` files and `dvc.lock`, read and written byte for byte as DVC does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from typing import Any

from registry.core import bounds, documents, schema
from registry.core.documents import Document
from registry.core.values import Build, Output
from registry.errors import InvalidDocument

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def object_key(md5: str) -> str:
    """The key of an object in a cache or remote of DVC 3: `files/md5/<2 hex>/<30 hex>[.dir]`."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def object_md5(key: str) -> str | None:
    """The md5 of the object with this key; None for any other key."""
    *_, folder, rest = ["", "", *key.split("/")]
    name = folder + rest
    return name if key == object_key(name) and MD5.fullmatch(name) else None


def read_pointer(data: bytes, path: str) -> Output:
    """The one output of a `.dvc` file, its path made relative to the root. Raises InvalidDocument."""
    document = documents.read_yaml(data, path)
    schema.require(document, "pointer")
    return parse_pointer(document)


def parse_pointer(document: Document) -> Output:
    """The one output of a document that is valid by the schema of pointers."""
    out = document.data["outs"][0]
    return Output(join(dirname(document.path), out["path"]), out["md5"], out["size"], out.get("nfiles"))


def parse_build(document: Document) -> Build | None:
    """How the output of a pointer was built; None where the document, valid by its schema, has no `meta.build`.

    Raises InvalidDocument for a `meta.build` in another form than `registry build` writes.
    """
    build = document.data.get("meta", {}).get("build")
    if build is None:
        return None
    try:
        counts = {
            str(split): {str(label): bounds.count(number) for label, number in classes.items()}
            for split, classes in build["counts"].items()
        }
        return Build(str(build["selection"]), str(build["rule"]), bounds.count(build["images"]), counts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        line = document.line(("meta", "build"))
        fault = "meta.build is not in the form that `registry build` writes"
        if isinstance(error, ValueError):
            fault = f"{fault}: {error}"
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


@dataclass(frozen=True, slots=True)
class LockedFiles:
    """The outputs and dependencies of all stages in a `dvc.lock`, with paths relative to the registry's root."""

    outs: tuple[Output, ...]
    deps: tuple[Output, ...]


def read_lock(data: bytes, path: str) -> LockedFiles:
    """The outputs and dependencies that a `dvc.lock` names. Raises InvalidDocument."""
    return parse_lock(documents.read_yaml(data, path))


def parse_lock(document: Document) -> LockedFiles:
    """The outputs and dependencies of a document. Raises InvalidDocument where it is no `dvc.lock`."""
    path = document.path
    outs: list[Output] = []
    deps: list[Output] = []
    try:
        for stage in document.data["stages"].values():
            outs += [_locked(item, path) for item in stage.get("outs", [])]
            deps += [_locked(item, path) for item in stage.get("deps", [])]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fault = f"not in the form of a dvc.lock{f': {error}' if isinstance(error, ValueError) else ''}"
        raise InvalidDocument(path, fault, fix="dvc repro") from error
    return LockedFiles(tuple(outs), tuple(deps))


def _locked(item: Mapping[str, Any], path: str) -> Output:
    place = normpath(join(dirname(path), item["path"]))
    if place.startswith(("../", "/")) or not MD5.fullmatch(item.get("md5", "")) or item.get("hash") != "md5":
        raise InvalidDocument(
            path, f"the entry {item['path']} is outside the registry, or has no MD5 of DVC 3", fix="dvc repro"
        )
    nfiles = bounds.count(item["nfiles"]) if "nfiles" in item else None
    return Output(place, item["md5"], bounds.size(item["size"]), nfiles)
