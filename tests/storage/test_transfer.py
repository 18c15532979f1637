"""Stores (folders, and buckets through obstore) and the moving of many objects between them."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import psutil
import pytest
from obstore.store import MemoryStore

from registry.core.pointers import object_key
from registry.core.settings import Remote
from registry.errors import NotFound, StorageFailed
from registry.storage import cloud
from registry.storage.base import Chunks, Store
from registry.storage.cloud import Bucket
from registry.storage.ingest import Ingest, ingest
from registry.storage.local import INCOMING, Folder
from registry.storage.open import open_store
from registry.storage.transfer import transfer
from registry.storage.verify import audit
from support.patience import PATIENCE


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def keep(store: Store, *bodies: bytes, suffix: str = "") -> list[str]:
    """The bodies as objects of a store; their md5s."""
    names = [md5(body) + suffix for body in bodies]
    for name, body in zip(names, bodies, strict=True):
        store.put(object_key(name), body)
    return names


def damage(store: Folder, name: str, body: bytes) -> None:
    path = store.path / object_key(name)
    path.unlink()
    path.write_bytes(body)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, also those that a store would not show."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_folder(path: Path) -> Folder:
    return Folder(path / "store")


def a_bucket(_: Path) -> Bucket:
    return Bucket("memory://", MemoryStore(), can_list=True)


@pytest.fixture(params=[a_folder, a_bucket])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind; the folder does not exist yet."""
    return request.param(tmp_path)


@pytest.fixture
def lake(tmp_path: Path) -> Folder:
    """A folder with 150 files of their own bytes each."""
    folder = tmp_path / "lake"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number:03}.jpg").write_bytes(b"picture %d" % number)
    return Folder(folder)


@pytest.fixture
def staging(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "staging")


@pytest.fixture
def production(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "production")


def sound(_key: str, _data: bytes) -> None:
    return None


# --- any store --------------------------------------------------------------------------------------------------------


def test_a_store_that_holds_nothing_has_nothing(store: Store) -> None:
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


def test_an_object_that_is_there_stays(store: Store) -> None:
    assert store.put("a", b"first")
    assert not store.put("a", b"second")
    assert store.get("a") == b"first"


@pytest.mark.parametrize("at_once", [1 << 20, 4])
def test_an_object_is_invisible_until_it_is_whole_and_nothing_when_it_breaks_off(
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


def test_an_object_of_many_chunks_is_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("base", "local", "cloud"):
        monkeypatch.setattr(f"registry.storage.{module}.CHUNK", 1000)
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", 2000)
    body = random.Random(1).randbytes(123_456)
    assert store.put("weights", body)
    assert not store.put("weights", b"others")
    assert store.get("weights") == body


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", "./a", "..", "a\0"])
def test_no_key_leads_out_of_a_folder(tmp_path: Path, key: str) -> None:
    store = Folder(tmp_path / "store")
    for ask in (store.get, store.has, lambda key: store.put(key, b""), lambda key: store.find_many([key])):
        with pytest.raises(StorageFailed, match="invalid object key"):
            ask(key)
    assert list(tmp_path.iterdir()) == []


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_keeps_objects_as_dvc_does(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.put("files/md5/ab/cd", b"body")
    stat = (tmp_path / "files/md5/ab/cd").stat()
    assert (stat.st_mode & 0o777, stat.st_nlink) == (0o444, 1)


def test_what_a_killed_writer_left_is_no_object(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.put("a/b", b"body")
    (tmp_path / f"a/{INCOMING}0123").write_bytes(b"half")
    assert store.list()["key"].to_list() == ["a/b"]


def test_what_is_no_file_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    os.mkfifo(tmp_path / "b.jpg")
    store = Folder(tmp_path)
    assert store.list().is_empty()
    assert store.find_many(["a.jpg", "b.jpg", "a.jpg/c"]).is_empty()
    with pytest.raises(NotFound):
        store.get("a.jpg")


def test_an_overwritten_file_has_another_etag_even_with_its_old_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    before, times = Folder(tmp_path).head("a"), (tmp_path / "a").stat()
    (tmp_path / "a").write_bytes(b"new")
    os.utime(tmp_path / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    after = Folder(tmp_path).head("a")
    assert (after.size, after.modified) == (before.size, before.modified)
    assert after.etag != before.etag


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
def test_a_disk_that_fails_is_told_and_nothing_is_left(
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


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "staging").write_bytes(b"")
    with pytest.raises(StorageFailed, match="staging/a: "):
        Folder(tmp_path / "staging").put("a", b"body")
    with pytest.raises(StorageFailed, match="staging: not a directory"):
        Folder(tmp_path / "staging").require_readable()


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["lake", "{root}/lake", "file://{root}/lake"])
def test_a_folder_is_named_by_its_path(tmp_path: Path, url: str) -> None:
    store = open_store(Remote(url.format(root=tmp_path)), tmp_path)
    assert isinstance(store, Folder)
    assert store.url == str(tmp_path / "lake")


@pytest.mark.parametrize("url", ["ftp://host/a", "s3://", "lake://x", "http:///a"])
def test_an_address_of_no_store_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageFailed, match="not the URL of a store"):
        open_store(Remote(url), tmp_path)


@pytest.mark.parametrize(
    "url", ["s3://bucket/a", "gs://bucket/a", "az://bucket/a", "azure://bucket/a", "https://host/a"]
)
def test_every_kind_of_address_opens_without_asking_anything(tmp_path: Path, url: str) -> None:
    remote = Remote(url, {"account_name": "us", "region": "eu-central-1", "jobs": "4"})
    assert open_store(remote, tmp_path).url == url.replace("azure:", "az:")


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    """A plain web server over the folder `public`; what is in `secret/` it refuses."""
    (tmp_path / "public").mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            return self.send_error(403) if "secret" in self.path else super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with serve(partial(Handler, directory=tmp_path / "public")) as address:
        yield address


class serve:  # noqa: N801 - reads as a function
    """A web server on 127.0.0.1 while the block runs."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        Thread(target=self.server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_plain_http_is_read_and_never_listed(tmp_path: Path, http: str, staging: Folder) -> None:
    [name] = keep(Folder(tmp_path / "public"), b"body")
    store = open_store(Remote(f"http://me:hush@{http}?token=hush"), tmp_path)
    assert store.url == f"http://{http}"
    assert store.find_many([object_key(name), "none"])["size"].to_list() == [4]
    assert transfer(store, staging, [name, "0" * 32])["state"].to_list() == ["missing", "copied"]
    with pytest.raises(StorageFailed, match="cannot be listed"):
        store.list()
    with pytest.raises(StorageFailed) as caught:
        store.get("secret/a")
    assert str(caught.value).startswith(f"http://{http}/secret/a: access denied")
    assert "hush" not in str(caught.value)


def test_s3_is_asked_with_the_remotes_own_options_and_failures_show_no_secret(tmp_path: Path) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"<Error><AWSAccessKeyId>KEYID</AWSAccessKeyId><StringToSign>HUSH</StringToSign></Error>")

        def log_message(self, *_: object) -> None:
            pass

    with serve(Handler) as address:
        options = {
            "endpointurl": f"http://{address}",
            "access_key_id": "KEYID",
            "secret_access_key": "HUSH",
            "region": "r1",
        }
        store = open_store(Remote("s3://bucket/prefix", options), tmp_path)
        for ask in (partial(store.get, "key"), store.require_readable, partial(store.head, "key")):
            with pytest.raises(StorageFailed) as caught:
                ask()
            assert "access denied" in str(caught.value)
            assert "KEYID" not in str(caught.value)
            assert "HUSH" not in str(caught.value)
            assert caught.value.__suppress_context__
    assert asked[0][0] == "/bucket/prefix/key"
    assert "Credential=KEYID/" in asked[0][1]
    assert "/r1/s3/" in asked[0][1]


# --- between stores ---------------------------------------------------------------------------------------------------


def test_transfer_returns_a_state_for_each_object(staging: Folder, production: Folder) -> None:
    names = keep(staging, b"here", b"damaged", b"there")
    damage(staging, names[1], b"DAMAGED")
    keep(production, b"there")
    gone, listing = md5(b"gone"), f"{md5(b'listing')}.dir"
    keep(staging, b"listing", suffix=".dir")
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

    names = keep(staging, *(b"%d" % number for number in range(200)))
    lists = keep(staging, b"list one", b"list two", suffix=".dir")
    done = transfer(staging, Watched(tmp_path / "other"), [*lists, *names])
    assert set(done["state"]) == {"copied"}
    assert {key.rpartition(".")[2] for key in committed[-2:]} == {"dir"}
    assert len(committed) == 202


def test_an_object_that_is_there_is_neither_read_nor_replaced(staging: Folder, production: Folder) -> None:
    [name] = keep(staging, b"body")
    damage(staging, name, b"evil")
    keep(production, b"body")
    assert transfer(staging, production, [name]).rows() == [(name, 0, "present")]
    assert production.get(object_key(name)) == b"body"


def test_audit_reads_objects_where_they_are(staging: Folder) -> None:
    names = keep(staging, b"right", b"wrong")
    damage(staging, names[1], b"WRONG")
    found = audit(staging, [*names, "0" * 32])
    assert dict(found.select("md5", "state").rows()) == {names[0]: "present", names[1]: "corrupt", "0" * 32: "missing"}


def test_progress_counts_every_object_and_byte(staging: Folder, production: Folder) -> None:
    names, told = keep(staging, *(b"%03d" % number for number in range(300))), []
    transfer(staging, production, names, progress=lambda objects, size: told.append((objects, size)))
    assert [sum(column) for column in zip(*told, strict=True)] == [300, 900]
    assert len(told) > 1


def test_other_executors_do_the_same(staging: Folder, production: Folder) -> None:
    names = keep(staging, *(b"%d" % number for number in range(20)))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert transfer(staging, production, names, executor=pool)["state"].to_list() == ["copied"] * 20
        assert audit(production, names, executor=pool)["state"].to_list() == ["present"] * 20


def test_a_failing_store_ends_the_run_and_what_was_stored_stays(staging: Folder, tmp_path: Path) -> None:
    class Full(Folder):
        def write(self, key: str, chunks: Chunks) -> bool:
            if len(self.list()) >= 100:
                raise StorageFailed("the disk is full")
            return super().write(key, chunks)

    names = keep(staging, *(b"%d" % number for number in range(500)))
    with pytest.raises(StorageFailed, match="the disk is full"):
        transfer(staging, Full(tmp_path / "full"), names)
    stored = Folder(tmp_path / "full").list()["key"]
    assert 100 <= len(stored) < 200
    assert set(transfer(staging, Folder(tmp_path / "full"), names)["state"]) == {"copied", "present"}


# --- from the lake ----------------------------------------------------------------------------------------------------


def fussy(_key: str, data: bytes) -> str | None:
    return "ugly" if data == b"picture 7" else None


def test_ingest_learns_proves_and_stores(lake: Folder, staging: Folder, production: Folder) -> None:
    keep(staging, b"picture 1")
    keep(production, b"picture 2")
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


def test_a_damaged_object_in_a_store_is_told(lake: Folder, staging: Folder, production: Folder) -> None:
    [name] = keep(staging, b"picture 5")
    damage(staging, name, b"pict")
    with pytest.raises(StorageFailed) as caught:
        ingest(Ingest(lake, staging, production, sound), lake.list())
    assert caught.value.message == (f"{staging.url}/{object_key(name)}: size is 4 bytes, expected 9")
    assert caught.value.fix.startswith("delete that object")


def test_many_objects_are_taken_by_processes_with_the_same_result(
    lake: Folder, staging: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ingest(Ingest(lake, Folder(tmp_path / "other"), Folder(tmp_path / "none"), fussy), lake.list())
    monkeypatch.setattr("registry.storage.ingest.PROCESSES_FROM", 1)
    done = ingest(Ingest(lake, staging, Folder(tmp_path / "none"), fussy), lake.list())
    assert done.equals(expected)
    assert content(staging.path) == content(tmp_path / "other")


SLOW = """
import sys, time
from pathlib import Path
from registry.storage import ingest
from registry.storage.local import Folder

def slow(key, data):
    print("reading", flush=True)
    time.sleep(3600)

if __name__ == "__main__":
    ingest.PROCESSES_FROM = 1
    lake, other = map(Folder, map(Path, sys.argv[1:]))
    ingest.ingest(ingest.Ingest(lake, other, other, slow), lake.list())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_a_killed_parent(lake: Folder, tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, tmp_path / "slow.py", lake.url, tmp_path / "staging"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout.readline() == b"reading\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        os.kill(parent.pid, how)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert len(children) >= 2
        assert alive == []
