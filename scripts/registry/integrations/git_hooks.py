"""What Git tells its hook pre-push: the remote as arguments, and every ref of the push on standard input."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Push:
    """A push to `remote`: the objects that refs are set to, and those that they had at the remote before.

    `remote` is a name, or the URL where a push names one; refs that are deleted send nothing.
    """

    remote: str
    url: str
    tips: tuple[str, ...]
    before: tuple[str, ...] = ()


def parse_pre_push(arguments: Sequence[str], lines: Iterable[str]) -> Push:
    """Read a line "local-ref object remote-ref object" for each ref; an id of zeros is that of no object."""
    remote, url = (*arguments, "origin", "")[:2] if not arguments else (arguments[0], arguments[-1])
    refs = [line.split() for line in lines if line.strip()]
    tips = (fields[1] for fields in refs if fields[1].strip("0"))
    before = (fields[3] for fields in refs if fields[3].strip("0"))
    return Push(remote, url, tuple(dict.fromkeys(tips)), tuple(dict.fromkeys(before)))
