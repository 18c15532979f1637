"""Writing files so that a kill, a full disk or a second writer never leaves half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from registry.errors import StorageFailed

TEMPORARY = ".tmp"


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `path`, whose folder is made when it is missing; readers see the old file or the new one, whole.

    A symbolic or hard link at `path` is replaced, never written through. `mode` is the new file's. Raises StorageFailed
    when the disk is full or the folder cannot be written; nothing is left behind then.
    """
    with _faults_told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, because a rename is atomic only within one file system.
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(mode)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def is_leftover(path: Path, of: str) -> bool:
    """Whether a write to the file name `of` was killed and left `path` behind."""
    return path.name.startswith(f".{of}.") and path.name.endswith(TEMPORARY)


def clear_leftovers(path: Path) -> None:
    """Remove what killed writes to `path` left beside it. Another write to it that is going on now fails."""
    with _faults_told(path):
        for other in path.parent.iterdir() if path.parent.is_dir() else ():
            if is_leftover(other, path.name):
                other.unlink(missing_ok=True)


@contextmanager
def _faults_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{path} cannot be written: {error.strerror or error}",
            fix="free space or give yourself the right to write there, then run the same command again",
        ) from error
