"""Folders as stores: files as DVC leaves them, and disks that fail."""

import errno
import os
from pathlib import Path

import pytest

from registry.errors import NotFound, StorageFailed
from registry.storage.local import INCOMING, SAMPLE, Folder
from support.object_folders import content


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", "./a", "..", "a\0"])
def test_no_key_leads_out_of_a_folder(tmp_path: Path, key: str) -> None:
    store = Folder(tmp_path / "store")
    many = (lambda key: store.find_many([key]), lambda key: store.find_many(["a", key, "b"]))
    for ask in (store.get, store.has, lambda key: store.put(key, b""), *many):
        with pytest.raises(StorageFailed, match="invalid object key"):
            ask(key)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_keeps_objects_as_dvc_does(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.put("files/md5/ab/cd", b"body")
    stat = (tmp_path / "files/md5/ab/cd").stat()
    assert (stat.st_mode & 0o777, stat.st_nlink) == (0o444, 1)


def test_the_temporary_file_of_a_killed_writer_is_no_object(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.put("a/b", b"body")
    (tmp_path / f"a/{INCOMING}0123").write_bytes(b"half")
    assert store.list()["key"].to_list() == ["a/b"]


def test_only_regular_files_are_objects(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    os.mkfifo(tmp_path / "b.jpg")
    store = Folder(tmp_path)
    assert store.list().is_empty()
    assert store.find_many(["a.jpg", "b.jpg", "a.jpg/c"]).is_empty()
    with pytest.raises(NotFound):
        store.get("a.jpg")


def test_a_link_to_itself_is_no_object_and_one_that_cannot_be_followed_is_named(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "long").symlink_to("x" * 300)
    store = Folder(tmp_path)
    assert store.find("circle") is None
    assert store.find_many(["circle"]).is_empty()
    for ask in (store.find, lambda key: store.find_many([key])):
        with pytest.raises(StorageFailed, match="long: file name too long"):
            ask("long")


def test_a_file_that_exists_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = Folder(tmp_path), list[str]()
    keys = [f"{number % 3}/{number}" for number in range(900)]
    for key in keys:
        store.put(key, key.encode())
    stat = os.stat
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", lambda path, **where: (asked.append(path), stat(path, **where))[1])
        found = store.find_many(keys)
    assert len(asked) <= len(keys) + 2 * SAMPLE
    assert found.sort("key").equals(store.list())


def test_an_overwritten_file_has_another_etag_even_with_its_old_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    before, times = Folder(tmp_path).head("a"), (tmp_path / "a").stat()
    (tmp_path / "a").write_bytes(b"new")
    os.utime(tmp_path / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    after = Folder(tmp_path).head("a")
    assert (after.size, after.modified) == (before.size, before.modified)
    assert after.etag != before.etag


def test_where_there_is_no_folder_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("nothing", "file", "circle"):
        assert Folder(tmp_path / name).find_many(["a", "b/c"]).is_empty()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed) as caught:
        Folder(tmp_path / "lake").require_readable()
    assert str(caught.value) == (
        f"{tmp_path}/lake: no such file or directory\n  hint: check that path, then run the same command again"
    )


@pytest.mark.parametrize(
    ("code", "words", "fix"),
    [
        (errno.ENOSPC, "no space left on device", "free space, then run the same command again"),
        (errno.EACCES, "permission denied", "get read and write permission for that path"),
        (errno.EIO, "input/output error", "check that path"),
    ],
)
def test_a_disk_that_fails_is_reported_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, fix: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(StorageFailed) as caught:
        Folder(tmp_path).put("files/a", b"body")
    assert caught.value.message == f"{tmp_path}/files/a: {words}"
    assert caught.value.fix.startswith(fix)
    assert content(tmp_path) == {}


def test_a_file_in_the_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "staging").write_bytes(b"")
    with pytest.raises(StorageFailed, match="staging/a: "):
        Folder(tmp_path / "staging").put("a", b"body")
    with pytest.raises(StorageFailed, match="staging: not a directory"):
        Folder(tmp_path / "staging").require_readable()
