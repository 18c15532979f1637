"""Tombstones: what was erased because the law demands it, each case a file `erased/CASE.yaml` with nothing personal.

A tombstone has hashes of the UUIDs and MD5s: whoever meets one of these recognises it, and the file tells none. Both
are 122 random bits or more, so that no hash can be guessed back.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from registry.core import documents, schema, wording
from registry.core.tree import Tree
from registry.errors import InvalidDocument

FOLDER = "erased"
CASE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_PATH = re.compile(rf"{FOLDER}/({CASE})\.yaml")


class Reason(StrEnum):
    """Why the law demands an erasure, as a class: a tombstone has no words of its own."""

    CONSENT = "consent withdrawn"
    OBJECTION = "objection"
    UNLAWFUL = "unlawful"
    NOT_NEEDED = "no longer needed"
    OBLIGATION = "legal obligation"
    CONTRACT = "contract ended"


@dataclass(frozen=True, slots=True)
class Erased:
    """All that was erased. It is false where nothing was."""

    items: frozenset[str] = field(default_factory=frozenset)
    objects: frozenset[str] = field(default_factory=frozenset)

    def __bool__(self) -> bool:
        return bool(self.items or self.objects)

    def has_item(self, uuid: str) -> bool:
        """Whether the image of a UUID was erased."""
        return bool(self.items) and digest_of_item(uuid) in self.items

    def has_object(self, md5: str) -> bool:
        """Whether the object of an MD5 was erased."""
        return bool(self.objects) and digest_of_object(md5) in self.objects

    def find_items(self, uuids: Iterable[str]) -> list[str]:
        """Those of `uuids` that were erased, sorted."""
        return sorted({uuid for uuid in uuids if self.has_item(uuid)}) if self.items else []

    def find_objects(self, md5s: Iterable[str]) -> list[str]:
        """Those of `md5s` that were erased, sorted."""
        return sorted({md5 for md5 in md5s if self.has_object(md5)}) if self.objects else []


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What one case erased: hashes of UUIDs (`items`) and of MD5s (`objects`); `approved_by` is an owner's name."""

    case: str
    reason: Reason
    date: str
    approved_by: str
    items: frozenset[str]
    objects: frozenset[str]

    @property
    def path(self) -> str:
        """Its file."""
        return f"{FOLDER}/{self.case}.yaml"

    @property
    def erased(self) -> Erased:
        """What it erased."""
        return Erased(self.items, self.objects)


NOTHING = Erased()


def digest_of_item(uuid: str) -> str:
    """What a tombstone has for a UUID."""
    return hashlib.sha256(f"erased item\0{uuid}".encode()).hexdigest()


def digest_of_object(md5: str) -> str:
    """What a tombstone has for an MD5."""
    return hashlib.sha256(f"erased object\0{md5}".encode()).hexdigest()


def join(tombstones: Iterable[Tombstone]) -> Erased:
    """All that these cases erased."""
    found = tuple(tombstones)
    return Erased(
        frozenset[str]().union(*(one.items for one in found)), frozenset[str]().union(*(one.objects for one in found))
    )


def by_case(tombstones: Iterable[Tombstone]) -> dict[str, Erased]:
    """What each case erased, as `registry.json` has it too."""
    return {one.case: one.erased for one in tombstones}


def name_cases(cases: Iterable[str]) -> str:
    """How a message names cases: «case DSR-1», «cases DSR-1 and DSR-2»."""
    found = sorted(set(cases))
    return f"{'case' if len(found) == 1 else 'cases'} {wording.join(found, 'and')}"


def read(tree: Tree) -> dict[str, Tombstone]:
    """The tombstones of a tree, by case. Raises InvalidDocument, also for other files beside them."""
    found = (parse(tree.read(entry.path), entry.path) for entry in tree.list(FOLDER))
    return {one.case: one for one in found}


def read_valid(tree: Tree) -> Erased:
    """All that a tree says was erased; nothing where one of its tombstones is invalid, which a check reports."""
    try:
        return join(read(tree).values())
    except InvalidDocument:
        return NOTHING


def parse(data: bytes, path: str) -> Tombstone:
    """A tombstone. Raises InvalidDocument."""
    match = _PATH.fullmatch(path)
    if not match:
        raise InvalidDocument(path, f"expected {FOLDER}/CASE.yaml", fix="rename it, or delete it")
    document = documents.read_yaml(data, path)
    schema.require(document, "erased")
    said = document.data
    items, objects = frozenset(said["items"]), frozenset(said["objects"])
    return Tombstone(match[1], Reason(said["reason"]), said["date"], said["approved_by"], items, objects)


def write(tombstone: Tombstone) -> bytes:
    """The bytes of its file. Raises InvalidDocument for a case or an owner that is none."""
    head = {"schema": 1, "reason": tombstone.reason.value, "date": tombstone.date, "approved_by": tombstone.approved_by}
    data = documents.write_yaml({**head, "items": sorted(tombstone.items), "objects": sorted(tombstone.objects)})
    parse(data, tombstone.path)
    return data
