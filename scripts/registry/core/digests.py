"""MD5 as DVC uses it: an object's name and key, and the check that its content matches that name."""

import hashlib
import re

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # of no bytes at all
CHECKSUM_MISMATCH = "checksum mismatch: content does not match its MD5"


def md5(data: bytes | memoryview) -> str:
    """The MD5 of bytes, in 32 hexadecimal digits. DVC names objects by it; nothing here relies on it for security."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def object_key(md5: str) -> str:
    """The key of an object in a cache or remote of DVC 3: `files/md5/<2 hex>/<30 hex>[.dir]`."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def object_md5(key: str) -> str | None:
    """The md5 of the object with this key; None for any other key."""
    *_, folder, rest = ["", "", *key.split("/")]
    name = folder + rest
    return name if key == object_key(name) and MD5.fullmatch(name) else None


def matches(data: bytes, name: str) -> bool:
    """Whether an object's bytes have the MD5 that its name is; a name may end in `.dir`."""
    return md5(data) == name.removesuffix(".dir")


def describe_mismatch(place: str, found: str = "") -> str:
    """The message for a damaged object at `place` (store and key); the key shows the expected MD5."""
    return f"{place}: {CHECKSUM_MISMATCH}" + (f" (found {found})" if found else "")
