"""Folders of objects, and what tests put there."""

from pathlib import Path

from registry.core.digests import object_key
from registry.storage.base import Store
from registry.storage.local import Folder
from support.repositories import md5


def put_bodies(store: Store, *bodies: bytes, suffix: str = "") -> list[str]:
    """Store bodies under their MD5s, with `suffix`; returns these names."""
    names = [md5(body) + suffix for body in bodies]
    for name, body in zip(names, bodies, strict=True):
        store.put(object_key(name), body)
    return names


def damage(store: Folder, name: str, body: bytes) -> None:
    """Replace the content of an object."""
    path = store.path / object_key(name)
    path.unlink()
    path.write_bytes(body)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, also those that are no objects."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
