"""Removes the data of an output that the checked-out commit does not have, as far as the cache holds it.

Without DVC: a branch without a registry, such as one of pages, has no `.dvc`, and opening it would make one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from registry.errors import Refused, StorageFailed
from registry.storage.cache import Cache
from registry.sync.checkout import Placement


def clear(root: Path, cache: Cache, output: str, versions: Sequence[Placement]) -> tuple[str, ...]:
    """Remove what lies at the path of an output that no pointer has any more; returns the files that are kept.

    A file is removed if it is that of a version of which the cache has every object, intact. Folders that are empty
    then go, the artifact's too. Raises Refused where a symbolic link may lead out of the artifact, and StorageFailed.
    """
    _require_inside(root, output)
    intact = cache.prove(md5 for one in versions for md5 in (one.files or {}).values())
    complete = [one.files for one in versions if one.files is not None and intact.keys() >= set(one.files.values())]
    kept = []
    try:
        present = list(_walk(root, output))
        states = {str(root / path): (root / path).stat() for path in present if (root / path).is_file()}
        md5s = cache.proofs.hash(states).md5s
        for path in present:
            md5 = md5s.get(str(root / path))
            if md5 and any(files.get(path) == md5 for files in complete):
                (root / path).unlink()
                cache.record_released({md5: states[str(root / path)]})
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


def _remove_empty_folders(root: Path, output: str) -> None:
    for folder, _, _ in os.walk(root / output, topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()
    for parent in PurePosixPath(output).parents:
        if len(parent.parts) > 1:  # `datasets` and `models` stay
            with suppress(OSError):
                (root / parent).rmdir()
