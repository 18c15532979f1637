"""Ingest from a lake: read, inspected and stored, by threads or processes."""

from pathlib import Path

import pytest

from registry.core.digests import object_key
from registry.storage.ingest import ingest
from registry.storage.lake_objects import Ingest
from registry.storage.local import Folder
from registry.storage.verify import audit
from support.object_folders import content, damage, put_bodies
from support.repositories import md5


def sound(_key: str, _data: bytes) -> None:
    return None


def fussy(_key: str, data: bytes) -> str | None:
    return "ugly" if data == b"picture 7" else None


def test_ingest_hashes_inspects_and_stores(lake: Folder, staging: Folder, production: Folder) -> None:
    put_bodies(staging, b"picture 1")
    put_bodies(production, b"picture 2")
    objects = lake.list()
    (lake.path / "003.jpg").unlink()  # deleted between the listing and the copy
    done = ingest(Ingest(lake, staging, production, fussy), objects)
    assert done["key"].to_list() == objects["key"].to_list()
    assert done.row(0) == ("000.jpg", 9, md5(b"picture 0"), None, True, True)
    assert done.row(1) == ("001.jpg", 9, md5(b"picture 1"), None, True, False)
    assert done.row(2) == ("002.jpg", 9, md5(b"picture 2"), None, True, False)
    assert done.row(3) == ("003.jpg", 0, None, "missing", False, False)
    assert done.row(7) == ("007.jpg", 9, md5(b"picture 7"), "ugly", True, False)
    stored = set(done.filter("copied")["md5"]) | {md5(b"picture 1")}
    assert set(staging.list()["key"]) == {object_key(name) for name in stored}
    assert len(stored) == 147


def test_what_is_stored_does_not_change_with_the_lake(lake: Folder, staging: Folder, production: Folder) -> None:
    ingest(Ingest(lake, staging, production, sound), lake.list())
    (lake.path / "000.jpg").write_bytes(b"another")
    assert audit(staging, [md5(b"picture 0")])["state"].to_list() == ["present"]


@pytest.mark.parametrize("body", [b"pict", b"PICTURE 5", b""], ids=["shorter", "as long", "empty"])
def test_a_damaged_object_in_staging_is_replaced(
    lake: Folder, staging: Folder, production: Folder, body: bytes
) -> None:
    [name] = put_bodies(staging, b"picture 5")
    damage(staging, name, body)
    done = ingest(Ingest(lake, staging, production, sound), lake.list())
    is_seen = len(body) != len(b"picture 5")  # the ETag of a folder proves nothing
    assert done["copied"].sum() == 150 - (not is_seen)
    assert (staging.get(object_key(name)) == b"picture 5") == is_seen


def test_many_objects_are_taken_by_processes_with_the_same_result(
    lake: Folder, staging: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ingest(Ingest(lake, Folder(tmp_path / "other"), Folder(tmp_path / "none"), fussy), lake.list())
    monkeypatch.setattr("registry.storage.ingest.PROCESSES_FROM", 1)
    done = ingest(Ingest(lake, staging, Folder(tmp_path / "none"), fussy), lake.list())
    assert done.equals(expected)
    assert content(staging.path) == content(tmp_path / "other")


@pytest.mark.parametrize(("most", "expected"), [(1 << 20, 9), (40, 3), (1, 1)])
def test_a_process_takes_fewer_objects_at_once_where_they_are_large(
    lake: Folder, staging: Folder, production: Folder, monkeypatch: pytest.MonkeyPatch, most: int, expected: int
) -> None:
    monkeypatch.setattr("registry.storage.ingest.PROCESSES_FROM", 1)
    monkeypatch.setattr("registry.storage.ingest.TASK_BYTES", most)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    taken = list[int]()
    ingest(Ingest(lake, staging, production, sound), lake.list(), progress=lambda done, _: taken.append(done))
    assert (sum(taken), max(taken)) == (150, expected)
