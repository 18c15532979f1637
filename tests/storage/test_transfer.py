"""Transfers between stores: states, order, progress and failures."""

from pathlib import Path

import pytest

from registry.core.digests import object_key
from registry.errors import StorageFailed
from registry.storage.base import Chunks
from registry.storage.local import Folder
from registry.storage.transfer import transfer
from support.object_folders import content, damage, put_bodies
from support.repositories import md5


def test_transfer_returns_the_state_of_each_object(staging: Folder, production: Folder) -> None:
    names = put_bodies(staging, b"here", b"damaged", b"there")
    damage(staging, names[1], b"DAMAGED")
    put_bodies(production, b"there")
    gone, listing = md5(b"gone"), f"{md5(b'listing')}.dir"
    put_bodies(staging, b"listing", suffix=".dir")
    done = transfer(staging, production, [*names, gone, listing, gone])
    assert dict(done.select("md5", "state").rows()) == {
        names[0]: "copied", names[1]: "corrupt", names[2]: "present", gone: "missing", listing: "skipped",
    }  # fmt: skip
    assert content(production.path) == {object_key(names[0]): b"here", object_key(names[2]): b"there"}


def test_a_list_of_files_comes_last(staging: Folder, tmp_path: Path) -> None:
    committed = []

    class Watched(Folder):
        def write(self, key: str, chunks: Chunks) -> bool:
            committed.append(key)
            return super().write(key, chunks)

    names = put_bodies(staging, *(b"%d" % number for number in range(200)))
    lists = put_bodies(staging, b"list one", b"list two", suffix=".dir")
    done = transfer(staging, Watched(tmp_path / "other"), [*lists, *names])
    assert set(done["state"]) == {"copied"}
    assert {key.rpartition(".")[2] for key in committed[-2:]} == {"dir"}
    assert len(committed) == 202


def test_an_existing_object_is_neither_read_nor_replaced(staging: Folder, production: Folder) -> None:
    [name] = put_bodies(staging, b"body")
    damage(staging, name, b"evil")
    put_bodies(production, b"body")
    assert transfer(staging, production, [name]).rows() == [(name, 0, "present")]
    assert production.get(object_key(name)) == b"body"


def test_progress_counts_every_object_and_byte(staging: Folder, production: Folder) -> None:
    names, reported = put_bodies(staging, *(b"%03d" % number for number in range(300))), []
    transfer(staging, production, names, progress=lambda objects, size: reported.append((objects, size)))
    assert [sum(column) for column in zip(*reported, strict=True)] == [300, 900]
    assert len(reported) > 1


def test_a_failing_store_ends_the_run_and_what_was_stored_stays(staging: Folder, tmp_path: Path) -> None:
    class Full(Folder):
        def write(self, key: str, chunks: Chunks) -> bool:
            if len(self.list()) >= 100:
                raise StorageFailed("the disk is full")
            return super().write(key, chunks)

    names = put_bodies(staging, *(b"%d" % number for number in range(500)))
    with pytest.raises(StorageFailed, match="the disk is full"):
        transfer(staging, Full(tmp_path / "full"), names)
    stored = Folder(tmp_path / "full").list()["key"]
    assert 100 <= len(stored) < 200
    assert set(transfer(staging, Folder(tmp_path / "full"), names)["state"]) == {"copied", "present"}
