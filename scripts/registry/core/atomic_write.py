"""Writing files atomically: a killed process, a full disk or a second writer never leaves a partial file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from registry.errors import StorageFailed

TEMPORARY = ".tmp"


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` to `path`, as `writing`."""
    with writing(path, mode=mode) as file:
        file.write(data)


@contextmanager
def writing(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file that becomes `path` when all is written; its folder is created. Readers see the complete old file or the
    complete new one.

    A symbolic or hard link at `path` is replaced, never followed. `mode` is the new file's. Raises StorageFailed when
    the disk is full or the folder is not writable; nothing is left behind.
    """
    with _report_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, because a rename is atomic only within one file system.
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY, delete=False) as file:
            temporary = Path(file.name)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(mode)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def is_leftover(path: Path, of: str) -> bool:
    """Whether `path` is the temporary file of a killed write to the file name `of`."""
    return path.name.startswith(f".{of}.") and path.name.endswith(TEMPORARY)


def clear_leftovers(path: Path) -> None:
    """Delete the temporary files of killed writes to `path`. A concurrent write to it fails."""
    with _report_failure(path):
        for other in path.parent.iterdir() if path.parent.is_dir() else ():
            if is_leftover(other, path.name):
                other.unlink(missing_ok=True)


@contextmanager
def _report_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{path} cannot be written: {error.strerror or error}",
            fix="free disk space or correct the permissions, then run the same command again",
        ) from error
