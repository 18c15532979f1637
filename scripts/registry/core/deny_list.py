"""The deny list: images that no dataset may have. Each is a file of its own, `denied/UUID.yaml`, with the reason.

A file for each image, so that two recalls never conflict, in any order of merges.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from registry.core import documents, erasures, item_paths, schema
from registry.core.erasures import Erased
from registry.core.tree import Tree
from registry.errors import InvalidDocument

FOLDER = "denied"
_PATH = re.compile(rf"{FOLDER}/({item_paths.UUID})\.yaml")

ERASED = "it was erased"


@dataclass(frozen=True, slots=True)
class Denied:
    """What no dataset may have: recalled images, by UUID with the reason, and what was erased. False where nothing."""

    reasons: Mapping[str, str] = field(default_factory=dict)
    erased: Erased = erasures.NOTHING

    def __bool__(self) -> bool:
        return bool(self.reasons or self.erased)

    def find(self, uuids: Iterable[str]) -> dict[str, str]:
        """Those of `uuids` that are denied, sorted, each with the reason."""
        once = sorted(set(uuids))
        found = {uuid: self.reasons[uuid] for uuid in once if uuid in self.reasons}
        found |= dict.fromkeys(self.erased.find_items(once), ERASED)
        return dict(sorted(found.items()))


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
