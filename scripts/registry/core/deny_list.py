"""The deny list: images that no dataset may have. Each is a file of its own, `denied/UUID.yaml`, with the reason.

A file for each image, so that two recalls never conflict, in any order of merges.
"""

import re
from collections.abc import Mapping

from registry.core import documents, item_paths, schema
from registry.core.tree import Tree
from registry.errors import InvalidDocument

FOLDER = "denied"
_PATH = re.compile(rf"{FOLDER}/({item_paths.UUID})\.yaml")

Denied = Mapping[str, str]  # UUID → reason


def path_of(uuid: str) -> str:
    """The file of an image."""
    return f"{FOLDER}/{uuid}.yaml"


def read(tree: Tree) -> dict[str, str]:
    """The images that a tree denies, each with the reason. Raises InvalidDocument, also for other files beside them."""
    return dict(_read(tree, entry.path) for entry in tree.list(FOLDER))


def _read(tree: Tree, path: str) -> tuple[str, str]:
    match = _PATH.fullmatch(path)
    if not match:
        raise InvalidDocument(path, f"expected {path_of('UUID')}", fix="rename it, or delete it")
    document = documents.read_yaml(tree.read(path), path)
    schema.require(document, "denied")
    return match[1], document.data["why"]


def write(why: str) -> bytes:
    """The bytes of an image's file. Raises InvalidDocument for a reason that is not one line."""
    data = documents.write_yaml({"schema": 1, "why": why})
    schema.require(documents.read_yaml(data, path_of("UUID")), "denied")
    return data
