import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.core.atomic_write import clear_leftovers, write_atomically
from registry.errors import StorageFailed


@contextmanager
def small_disk() -> Iterator[None]:
    """No file of this process may grow over 1,000 bytes; for a moment only, as pytest's own output may be one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_is_written_with_its_folder_and_mode(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a/b/c", b"whole", mode=0o444)
    assert (tmp_path / "a/b/c").read_bytes() == b"whole"
    assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o444


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    said = r"file cannot be written: File too large\n  hint: free disk space"
    with small_disk(), pytest.raises(StorageFailed, match=said):
        write_atomically(tmp_path / "file", b"new" * 1000)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_links_are_replaced_and_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "cached").write_bytes(b"shared")
    os.link(tmp_path / "cached", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("cached")
    write_atomically(tmp_path / "hard", b"mine")
    write_atomically(tmp_path / "soft", b"mine")
    assert (tmp_path / "cached").read_bytes() == b"shared"
    assert not (tmp_path / "soft").is_symlink()


def test_a_folder_that_is_a_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(StorageFailed, match=r"folder/file cannot be written: (File exists|Not a directory)"):
        write_atomically(tmp_path / "folder/file", b"new")


def test_only_what_killed_writes_to_a_file_left_is_cleared(tmp_path: Path) -> None:
    for name in (".raw.dvc.x1.tmp", ".raw.dvc.x2.tmp", ".other.x1.tmp", "raw.dvc", "raw.dvc.tmp"):
        (tmp_path / name).write_bytes(b"")
    clear_leftovers(tmp_path / "raw.dvc")
    clear_leftovers(tmp_path / "nowhere/raw.dvc")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.x1.tmp", "raw.dvc", "raw.dvc.tmp"]
