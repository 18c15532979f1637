"""Ways in which an object of DVC's cache, or a file that is linked to it, comes not to match its MD5.

Each takes the object, whose content it changes; `WAYS` has them all, by what a person would have done.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Damage = Callable[[Path], None]


@contextmanager
def writable(file: Path) -> Iterator[None]:
    """What editors do with a read-only file that is saved all the same."""
    mode = stat.S_IMODE(file.stat().st_mode)
    file.chmod(0o644)
    yield
    file.chmod(mode)


def other(data: bytes) -> bytes:
    """Other bytes of the same length."""
    return bytes(byte ^ 1 for byte in data)


def in_place(file: Path) -> None:
    """Same length, same inode, read-only again."""
    with writable(file), file.open("r+b") as opened:
        data = opened.read()
        opened.seek(0)
        opened.write(other(data))


def with_the_old_time(file: Path) -> None:
    """The same, and `touch -r` afterwards."""
    before = file.stat()
    in_place(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def left_writable(file: Path) -> None:
    in_place(file)
    file.chmod(0o644)


def truncated(file: Path) -> None:
    with writable(file):
        os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    with writable(file):
        os.truncate(file, 0)


def longer(file: Path) -> None:
    with writable(file), file.open("ab") as opened:
        opened.write(b"more")


def another_inode(file: Path) -> None:
    """Replaced by a copy with another content and the old time, as rsync or an unpacked archive leaves it."""
    before, data = file.stat(), file.read_bytes()
    file.unlink()
    file.write_bytes(other(data))
    file.chmod(0o444)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def a_link_elsewhere(file: Path) -> None:
    elsewhere = file.parent / "elsewhere"
    elsewhere.write_bytes(other(file.read_bytes()))
    file.unlink()
    file.symlink_to(elsewhere)


def a_dangling_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def a_folder(file: Path) -> None:
    data = file.read_bytes()
    file.unlink()
    file.mkdir()
    (file / "inside").write_bytes(other(data))


def another_object(file: Path) -> None:
    """The bytes of its neighbour: what a mistaken `cp` leaves."""
    shutil.copyfile(__file__, file.parent / "copied")
    (file.parent / "copied").chmod(0o444)
    (file.parent / "copied").replace(file)


WAYS: dict[str, Damage] = {
    way.__name__: way
    for way in (
        in_place, with_the_old_time, left_writable, truncated, emptied, longer,
        another_inode, a_link_elsewhere, a_dangling_link, a_folder, another_object,
    )
}  # fmt: skip
