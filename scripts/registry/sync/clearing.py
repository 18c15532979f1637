"""Removes the data of an output that the checked-out commit does not have, as far as the cache holds it.

Without DVC: a branch without a registry, such as one of pages, has no `.dvc`, and opening it would make one.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

from registry.core.pointers import object_key
from registry.errors import Refused, StorageFailed
from registry.sync.checkout import Placement


def clear(root: Path, cache: Path, output: str, versions: Sequence[Placement]) -> tuple[str, ...]:
    """Remove what lies at the path of an output that no pointer has any more; returns the files that are kept.

    A file is removed if it is that of a version of which the cache has every object. Folders that are empty then go,
    the artifact's too. Raises Refused where a symbolic link may lead out of the artifact, and StorageFailed.
    """
    _require_inside(root, output)
    complete = [one.files for one in versions if one.files is not None and _has_all(cache, one.files)]
    kept = []
    try:
        for path in list(_walk(root, output)):
            if any(_is_saved(root / path, cache, files.get(path)) for files in complete):
                (root / path).unlink()
            else:
                kept.append(path)
        _remove_empty_folders(root, output)
    except OSError as error:
        fix = "check permissions, then run `registry checkout`: it continues where it stopped"
        raise StorageFailed(f"{error.filename or output}: {(error.strerror or str(error)).lower()}", fix=fix) from error
    return tuple(kept)


def _require_inside(root: Path, output: str) -> None:
    for folder in PurePosixPath(output).parents:
        if (root / folder).is_symlink():
            fault = f"{folder}: is a symbolic link, which may lead out of the artifact"
            raise Refused(fault, fix="delete it, and restore the folder from Git")


def _has_all(cache: Path, files: Mapping[str, str]) -> bool:
    return all((cache / object_key(md5)).is_file() for md5 in files.values())


def _walk(root: Path, output: str) -> Iterator[str]:
    """Every file and symbolic link at or below a path; no link is followed."""
    top = root / output
    if top.is_symlink() or top.is_file():
        yield output
        return
    for folder, folders, names in os.walk(top):
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*names, *linked):
            yield Path(folder, name).relative_to(root).as_posix()


def _is_saved(file: Path, cache: Path, md5: str | None) -> bool:
    """Whether a file is its object in the cache, by a link of any kind, or has its bytes."""
    if md5 is None or not file.is_file():
        return False
    stored = cache / object_key(md5)
    if file.samefile(stored):
        return True
    with suppress(OSError), file.open("rb") as opened:
        return hashlib.file_digest(opened, partial(hashlib.md5, usedforsecurity=False)).hexdigest() == md5
    return False


def _remove_empty_folders(root: Path, output: str) -> None:
    for folder, _, _ in os.walk(root / output, topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()
    for parent in PurePosixPath(output).parents:
        if len(parent.parts) > 1:  # `datasets` and `models` stay
            with suppress(OSError):
                (root / parent).rmdir()
