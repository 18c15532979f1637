"""Tombstones: what was erased because the law demands it, each case a file `erased/CASE.yaml` with nothing personal.

A tombstone has hashes (`erasures`): whoever meets what was erased recognises it, and the file does not tell it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from registry.core import documents, schema, wording
from registry.core.erasures import NOTHING, Erased
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
