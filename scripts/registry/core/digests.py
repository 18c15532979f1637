"""MD5 as DVC uses it: an object's name, and the check that its content matches that name."""

import hashlib

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # of no bytes at all
CHECKSUM_MISMATCH = "checksum mismatch: content does not match its MD5"


def md5(data: bytes | memoryview) -> str:
    """The MD5 of bytes, in 32 hexadecimal digits. DVC names objects by it; nothing here relies on it for security."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def matches(data: bytes, name: str) -> bool:
    """Whether an object's bytes have the MD5 that its name is; a name may end in `.dir`."""
    return md5(data) == name.removesuffix(".dir")


def describe_mismatch(place: str, found: str = "") -> str:
    """The message for a damaged object at `place` (store and key); the key shows the expected MD5."""
    return f"{place}: {CHECKSUM_MISMATCH}" + (f" (found {found})" if found else "")
