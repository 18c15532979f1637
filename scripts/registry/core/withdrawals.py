"""What is told to whoever takes a withdrawn version: the reason, and the version to take instead."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from registry.core.values import Tag, Version


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawn version with the reason, and the release to take `instead` (None: no other one is left)."""

    tag: Tag
    reason: str
    instead: Tag | None = None

    def __str__(self) -> str:
        """`datasets/pets@v1.0.0 is withdrawn: wrong labels`, with the next step on a second line."""
        hint = f"\n  hint: use {self.instead}" if self.instead else ""
        return f"{self.tag} is withdrawn: {self.reason}{hint}"


def find(tag: Tag, withdrawn: Mapping[Version, str], released: Iterable[Tag]) -> Withdrawal | None:
    """The withdrawal of a version; None for one that is not withdrawn.

    `withdrawn` are the versions that the present manifest withdraws, `released` all releases; the one to take instead
    is the artifact's latest that is not withdrawn.
    """
    if tag.version not in withdrawn:
        return None
    left = [one for one in released if one.artifact == tag.artifact and one.version not in withdrawn]
    return Withdrawal(tag, withdrawn[tag.version], max(left, default=None))
