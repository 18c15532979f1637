"""How a consumer names a version: `datasets/pets@v1.0.0`, `datasets/pets@latest`, `models/pets#prod`."""

import re
from dataclasses import dataclass

from registry.core import names
from registry.core.names import InvalidName
from registry.core.values import ArtifactId, Version

LATEST = "latest"
_STAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9/_-]*[A-Za-z0-9])?")  # GTO's, 1.10
_EXAMPLES = "v1.0.0, latest, or #STAGE"


@dataclass(frozen=True, slots=True)
class Reference:
    """A version of an artifact: an exact one, the one in a stage, or, without both, the latest.

    `parse(str(x)) == x`.
    """

    artifact: ArtifactId
    version: Version | None = None
    stage: str = ""

    def __str__(self) -> str:
        if self.stage:
            return f"{self.artifact}#{self.stage}"
        return f"{self.artifact}@v{self.version}" if self.version else f"{self.artifact}@{LATEST}"


def parse(text: str) -> Reference:
    """`ID@vVERSION`, `ID@latest` or `ID#STAGE`. Raises InvalidName."""
    if "#" in text:
        artifact, _, stage = text.partition("#")
        return of(artifact, f"#{stage}")
    artifact, at, version = text.partition("@")
    if not at:
        raise InvalidName(f"{text!r} names no version", fix=f"write {text}@latest, {text}@v1.0.0 or {text}#STAGE")
    return of(artifact, version)


def of(artifact: str, version: str) -> Reference:
    """The reference of an id and `v1.0.0`, `latest` or `#STAGE`. Raises InvalidName."""
    found = names.parse_id(artifact)
    if version == LATEST:
        return Reference(found)
    if version.startswith("#"):
        if not _STAGE.fullmatch(version[1:]):
            raise InvalidName(f"{version[1:]!r} is not a stage", fix=f"write {artifact}#prod")
        return Reference(found, stage=version[1:])
    if not version.startswith("v"):
        raise InvalidName(f"{version!r} is not a version", fix=f"write {_EXAMPLES}")
    return Reference(found, names.parse_version(version[1:]))
