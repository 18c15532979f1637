"""Every kind of store: a folder and a bucket."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from registry.errors import NotFound
from registry.storage import cloud
from registry.storage.base import Store
from registry.storage.cloud import Bucket
from registry.storage.local import Folder


def a_folder(path: Path) -> Folder:
    return Folder(path / "store")


def a_bucket(_: Path) -> Bucket:
    return Bucket("memory://", MemoryStore(), can_list=True)


@pytest.fixture(params=[a_folder, a_bucket])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind; the folder does not exist yet."""
    return request.param(tmp_path)


def test_an_empty_store(store: Store) -> None:
    assert store.list().is_empty()
    assert store.find_many(["a"]).is_empty()
    assert not store.has("a")
    with pytest.raises(NotFound, match="a does not exist"):
        store.get("a")
    with pytest.raises(NotFound, match="a does not exist"):
        store.head("a")


def test_what_is_stored_is_listed_and_read(store: Store) -> None:
    before = time.time()
    assert store.put("deep/er/two", b"22")
    assert store.put("deep/one", b"1")
    assert store.put("deeper", b"333")
    assert store.list()["key"].to_list() == ["deep/er/two", "deep/one", "deeper"]
    assert store.list("deep").select("key", "size").rows() == [("deep/er/two", 2), ("deep/one", 1)]
    assert store.list("de").is_empty()
    assert store.find_many(["deeper", "nothing", "deep/one", "deep"])["key"].sort().to_list() == ["deep/one", "deeper"]
    assert store.head("deeper").size == 3
    assert store.has("deep/one")
    assert not store.has("deep")
    assert store.get("deep/er/two") == b"22"
    assert before - 1 <= store.head("deeper").modified / 1e6 <= time.time() + 1


def test_an_existing_object_is_unchanged(store: Store) -> None:
    assert store.put("a", b"first")
    assert not store.put("a", b"second")
    assert store.get("a") == b"first"


@pytest.mark.parametrize("at_once", [1 << 20, 4])
def test_an_object_is_invisible_until_it_is_complete_and_absent_after_a_failure(
    store: Store, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", at_once)
    seen = []

    def half() -> Iterator[bytes]:
        yield b"half "
        seen.append((store.has("a"), len(store.list())))
        yield b"whole"

    def broken() -> Iterator[bytes]:
        yield from half()
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        store.write("a", broken)
    assert store.list().is_empty()
    assert store.write("a", half)
    assert store.get("a") == b"half whole"
    assert seen == [(False, 0)] * 2
    assert not store.write("a", half)


def test_an_object_of_many_chunks_is_complete(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("base", "local", "cloud"):
        monkeypatch.setattr(f"registry.storage.{module}.CHUNK", 1000)
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", 2000)
    body = random.Random(1).randbytes(123_456)
    assert store.put("weights", body)
    assert not store.put("weights", b"others")
    assert store.get("weights") == body
