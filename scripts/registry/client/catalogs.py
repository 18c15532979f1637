"""A registry without Git: the `registry.json` of its catalog says what is released, and where the objects are.

The file is read over plain HTTP, or from a folder. Only what is used of it is looked at, so that a later catalog may
say more; each value has the grammar that a tag, a pointer or a path has elsewhere.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from registry.client.products import Known, Product
from registry.core import documents, layout, names, parts, tombstones
from registry.core.digests import MD5, object_key
from registry.core.erasures import Erased
from registry.core.references import Reference
from registry.core.settings import Remote
from registry.core.values import Kind, Output, Tag
from registry.errors import InvalidData, InvalidDocument, NotFound, StorageFailed
from registry.storage.open import open_store

NAME = "registry.json"
SCHEMA = 1
MAX_BYTES = 256 << 20
_FIX = "check the address of that file, which `registry catalog build` writes"


def read(place: str) -> bytes | None:
    """The bytes of a `registry.json`, at its address or that of the folder or site it is in; None for no such place.

    Raises NotFound for an address that ends with its name and has none, and StorageFailed.
    """
    folder, _, name = place.rpartition("/")
    if Path(place).is_dir() or Path(place).is_file():
        file = Path(place, NAME) if Path(place).is_dir() else Path(place)
        return file.read_bytes() if file.is_file() and file.name == NAME else None
    if not place.startswith(("http://", "https://")) or name not in (NAME, ""):
        return None
    try:
        return _fetch(folder)
    except NotFound as error:
        if name:
            raise NotFound(error.message, fix=_FIX) from error
        return None  # the address of a Git repository with a slash at its end


def _fetch(folder: str) -> bytes:
    found = bytearray()
    for chunk in open_store(Remote(folder), Path()).read(NAME):
        found += chunk
        if len(found) > MAX_BYTES:
            raise StorageFailed(f"{folder}/{NAME} has more than {MAX_BYTES:,} bytes", fix=_FIX)
    return bytes(found)


def find(data: bytes, place: str, wanted: Reference) -> Product:
    """The product of the release that a reference names. Raises NotFound, InvalidDocument, InvalidData, StorageFailed.

    `data` is the file, and `place` where it is from.
    """
    catalog = documents.read_json(data, place)
    try:
        if catalog["schema"] != SCHEMA:
            fault = f"schema is {catalog['schema']!r}, expected {SCHEMA}"
            raise InvalidDocument(place, fault, fix="install a newer version of this package")
        rows = _releases(catalog, wanted)
        sound = [tag for tag, row in rows.items() if not row["fault"]]
        withdrawn = {tag: _text(row["withdrawn"]) for tag, row in rows.items() if row["withdrawn"]}
        stages = {_text(stage): tag for tag in sound for stage in rows[tag]["stages"]}
        exact = Tag(wanted.artifact, wanted.version) if wanted.version else None
        if exact and exact in rows and exact not in sound:
            raise InvalidData(f"{exact}: {_text(rows[exact]['fault'])}", (), fix=_FIX)
        known = Known(place, sound, withdrawn, stages)
        tag = known.choose(wanted)
        outputs = _outputs(rows[tag]["products"], tag)
        objects, repository = catalog["objects"], _text(catalog["repository"])
        erased = {_case(row): _erased(row) for row in catalog.get("erased", ())}
    except (AttributeError, IndexError, KeyError, TypeError, names.InvalidName) as error:
        raise InvalidDocument(place, f"not a catalog's {NAME}: {error!r}", fix=_FIX) from error
    if not isinstance(objects, str) or urlsplit(objects).scheme not in ("http", "https"):
        fault = f"{place}: no public place for objects is named"
        raise StorageFailed(fault, fix=f"use --repo {repository}, with a login to its storage")
    store = open_store(Remote(objects), Path())
    return Product(tag, outputs, (store,), withdrawn.get(tag, ""), erased, known.good)


def _releases(catalog: Mapping[str, Any], wanted: Reference) -> Mapping[Tag, Mapping[str, Any]]:
    """The rows of an artifact's releases."""
    rows = [row for one in catalog["artifacts"] if one["artifact"] == str(wanted.artifact) for row in one["releases"]]
    found = {names.parse_tag(row["tag"]): row for row in rows}
    if foreign := [tag for tag in found if tag.artifact != wanted.artifact]:
        raise names.InvalidName(f"{foreign[0]} is listed as a release of {wanted.artifact}")
    return found


def _outputs(rows: Sequence[Mapping[str, Any]], tag: Tag) -> tuple[Output, ...]:
    """The outputs of a release, in the order of the registry: a model's file, then its sidecar."""
    product = layout.product_path(tag.artifact)
    if rows and parts.is_part(_text(rows[0]["path"])):
        return _parts(rows, tag)
    allowed = [product, *([layout.sidecar_path(tag.artifact)] if tag.artifact.kind is Kind.MODEL else [])]
    found = tuple(_output(row) for row in rows)
    if [output.path for output in found] != allowed[: max(len(found), 1)]:
        raise names.InvalidName(f"the products of {tag} are not {product}")
    if any(output.is_dir != (tag.artifact.kind is Kind.DATASET) for output in found):
        raise names.InvalidName(f"the products of {tag} are not those of a {tag.artifact.kind}")
    return found


def _parts(rows: Sequence[Mapping[str, Any]], tag: Tag) -> tuple[Output, ...]:
    """The folders of a version that is tracked in parts."""
    found, start = tuple(map(_output, rows)), f"{layout.product_path(tag.artifact)}/"
    if not all(one.path.startswith(start) and one.is_dir for one in found):
        raise names.InvalidName(f"the products of {tag} are not folders below {start}")
    if fault := parts.find_fault([one.path.removeprefix(start) for one in found]):
        raise names.InvalidName(fault)
    return found


def _output(row: Mapping[str, Any]) -> Output:
    md5, size = _text(row["md5"]), row["bytes"]
    if not MD5.fullmatch(md5) or row["key"] != object_key(md5) or not isinstance(size, int) or size < 0:
        raise names.InvalidName(f"{md5!r} with the key {row['key']!r} is no object")
    return Output(_text(row["path"]), md5, size, row["files"])


def _case(row: Mapping[str, Any]) -> str:
    if not re.fullmatch(tombstones.CASE, name := _text(row["case"])):
        raise names.InvalidName(f"{name!r} is no case")
    return name


def _erased(row: Mapping[str, Any]) -> Erased:
    """The hashes of a case."""
    return Erased(frozenset(map(_text, row["items"])), frozenset(map(_text, row["objects"])))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
