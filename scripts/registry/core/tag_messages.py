"""What the message of a release's tag says for programs: the release manifest that it names."""

import re

LINE = "manifest: sha256:"
_IN_MESSAGE = re.compile(rf"^{LINE}([0-9a-f]{{64}})$", re.MULTILINE)


def find_manifest(message: str) -> str | None:
    """The SHA-256 of the manifest that a tag's message names; None where it names none: no publish made that tag."""
    found = _IN_MESSAGE.findall(message)
    return found[-1] if found else None  # above it are texts that people write
