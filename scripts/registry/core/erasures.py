"""What was erased because the law demands it, as hashes of UUIDs and MD5s: whoever meets one of these recognises it.

Both are 122 random bits or more, so that no hash can be guessed back. Where it is written: `tombstones`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field


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


NOTHING = Erased()


def digest_of_item(uuid: str) -> str:
    """What a tombstone has for a UUID."""
    return hashlib.sha256(f"erased item\0{uuid}".encode()).hexdigest()


def digest_of_object(md5: str) -> str:
    """What a tombstone has for an MD5."""
    return hashlib.sha256(f"erased object\0{md5}".encode()).hexdigest()
