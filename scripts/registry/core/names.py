"""The grammar of ids, versions and tags, written once; `parse(str(x)) == x` for each.

A tag is GTO's: `datasets/cats_dogs@v1.2.0` (annotated; the `v` is mandatory; no dot in the name).
"""

import re
from dataclasses import dataclass

from registry.core.values import ArtifactId, Kind, Tag, Version
from registry.errors import RegistryError

NAME = r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*"
NUMBER = r"(?:0|[1-9][0-9]{0,8})"
VERSION = rf"{NUMBER}\.{NUMBER}\.{NUMBER}"
MAX_NAME = 64

# GTO's, 1.10: the number counts the tags of an artifact, and `!` ends what the tag says.
_STAGE = re.compile(
    rf"(?P<artifact>(?:datasets|models)/{NAME})#(?P<stage>[A-Za-z0-9](?:[A-Za-z0-9/_-]*[A-Za-z0-9])?)"
    r"(?P<ends>!)?(?:#[0-9]+)?"
)
_CANCELLED = re.compile(
    rf"((?:datasets|models)/{NAME}(?:@v{VERSION}(?=!)|(?=@deprecated)))(?:!|@deprecated)(?:#[0-9]+)?"
)
_ID = re.compile(rf"(datasets|models)/({NAME})")
_VERSION = re.compile(rf"({NUMBER})\.({NUMBER})\.({NUMBER})")


class InvalidName(RegistryError):
    """A string is not an id, version, tag or path."""


def parse_name(text: str) -> str:
    """An artifact's name, validated: lower-case ASCII letters and digits in words joined by `_` or `-`."""
    if not re.fullmatch(NAME, text) or len(text) > MAX_NAME:
        raise InvalidName(
            f"{text!r} is not a valid name",
            fix=f"use lower-case letters and digits, words joined by _ or -, at most {MAX_NAME} characters: cats_dogs",
        )
    return text


def parse_id(text: str) -> ArtifactId:
    """`datasets/cats_dogs` → its id. A trailing slash, as a shell completes it, is allowed."""
    match = _ID.fullmatch(text.removesuffix("/"))
    if not match or len(match[2]) > MAX_NAME:
        raise InvalidName(
            f"{text!r} is not an artifact id", fix="write datasets/NAME or models/NAME, such as datasets/cats_dogs"
        )
    return ArtifactId(Kind.DATASET if match[1] == "datasets" else Kind.MODEL, match[2])


def parse_version(text: str) -> Version:
    """`1.2.0` → its version. Pre-releases and build numbers are refused: GTO would take them for the latest version."""
    match = _VERSION.fullmatch(text)
    if not match:
        raise InvalidName(f"{text!r} is not a version", fix="write MAJOR.MINOR.PATCH, such as 1.2.0")
    return Version(*map(int, match.groups()))


def parse_tag(text: str) -> Tag:
    """`datasets/cats_dogs@v1.2.0` → its tag."""
    artifact, at, version = text.partition("@v")
    if not at:
        raise InvalidName(f"{text!r} is not a tag", fix="write ID@vVERSION, such as datasets/cats_dogs@v1.2.0")
    return Tag(parse_id(artifact), parse_version(version))


def find_tags(names: list[str] | tuple[str, ...]) -> tuple[Tag, ...]:
    """The release tags among a repository's tag names, sorted; other tags are ignored."""
    found: list[Tag] = []
    for name in names:
        try:
            tag = parse_tag(name)
        except InvalidName:
            continue
        if str(tag) == name:
            found.append(tag)
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class StageTag:
    """A tag that gives an artifact's stage to the version of its commit, or takes it away: `models/pets#prod#3`."""

    artifact: ArtifactId
    stage: str
    is_end: bool


def find_stage(name: str) -> StageTag | None:
    """What a tag says of a stage; None for any other tag."""
    match = _STAGE.fullmatch(name)
    if not match or len(match["artifact"].partition("/")[2]) > MAX_NAME:
        return None
    return StageTag(parse_id(match["artifact"]), match["stage"], bool(match["ends"]))


def find_cancelled(name: str) -> str | None:
    """What a tag of `gto deprecate` cancels, a release's tag or an artifact's id; None for any other tag."""
    match = _CANCELLED.fullmatch(name)
    return match[1] if match else None
