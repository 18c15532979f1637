"""Google Cloud Storage: what its emulator guarantees, logins, and answers that are said for what they are."""

import json
import pickle
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import gcsfs
import pytest

from registry.core.settings import Remote
from registry.errors import NotFound, StorageFailed
from registry.storage import cloud, cloud_config, retry
from registry.storage.base import Store
from registry.storage.open import open_store
from support.repositories import md5
from support.servers import google_storage
from support.servers.fault_proxy import Answer, Deed, Fault, FaultProxy, Page, always
from support.servers.google_storage import GoogleStorage

MISSING = "files/md5/00/1"
REQUESTS: dict[str, Callable[[Store], object]] = {
    "find": lambda store: store.find(MISSING),
    "get": lambda store: store.get(MISSING),
    "list": lambda store: store.list(),
    "find many": lambda store: store.find_many([MISSING]),
    "put": lambda store: store.put("new", b"new"),
    "replace": lambda store: store.replace("new", lambda: iter([b"new"])),
    "require": lambda store: store.require_readable(),
}


@pytest.fixture
def service() -> Iterator[GoogleStorage]:
    with google_storage.serve(GoogleStorage({"data": {}})) as service:
        yield service
    assert service.unknown == []


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.0)
    monkeypatch.setitem(cloud_config.RETRIES, "max_retries", 1)
    monkeypatch.setitem(cloud_config.RETRIES, "retry_timeout", timedelta(seconds=1))


def open_gs(url: str, credentials: Path | str, bucket: str = "data/ü b") -> Store:
    options = {"endpointurl": url, **({"credentialpath": str(credentials)} if credentials else {})}
    return open_store(Remote(f"gs://{bucket}", options, "staging"), Path())


# --- the service ------------------------------------------------------------------------------------------------------


def test_objects_are_created_once_and_deleted_as_often_as_one_likes(service: GoogleStorage, tmp_path: Path) -> None:
    store = open_gs(service.url, service.account(tmp_path, "writer"))
    assert [store.put("a+é 1", body) for body in (b"first", b"second")] == [True, False]
    assert (store.get("a+é 1"), store.head("a+é 1").etag) == (b"first", md5(b"first"))
    store.replace("a+é 1", lambda: iter([b"third"]))
    store.put("b", b"")
    assert store.list()["key"].to_list() == ["a+é 1", "b"]
    store.delete(["gone", "a+é 1", "gone too", "b"])
    store.delete(["b"])
    assert store.list().height == 0
    with pytest.raises(NotFound):
        store.get("b")


def test_an_erasure_takes_all_generations_and_no_other_object(service: GoogleStorage, tmp_path: Path) -> None:
    service.versioned.add("data")
    store = open_gs(service.url, service.account(tmp_path, "eraser"))
    for body in (b"first", b"second"):
        store.replace("a", lambda body=body: iter([body]))
    store.put("ab", b"another")
    store.delete(["a"])
    assert [one.data for one in service.generations("data", "ü b/a")] == [b"first", b"second", b"another"]
    store.erase(["a", "gone"])
    assert [one.data for one in service.generations("data", "ü b/")] == [b"another"]


def test_what_soft_delete_keeps_is_told_with_its_end(service: GoogleStorage, tmp_path: Path) -> None:
    service.soft.add("data")
    store = open_gs(service.url, service.account(tmp_path, "eraser"))
    store.put("a", b"an image")
    with pytest.raises(StorageFailed, match="soft delete keeps 1 deleted object, the last one until 2030-01-08"):
        store.erase(["a"])
    assert service.generations("data", "") == []
    with pytest.raises(StorageFailed, match="soft delete keeps 1 deleted object"):
        store.erase(["a"])  # a second run does not say that it is finished


def test_an_erasure_with_a_login_that_may_only_read(service: GoogleStorage, tmp_path: Path) -> None:
    open_gs(service.url, service.account(tmp_path, "writer")).put("a", b"an image")
    store = open_gs(service.url, service.account(tmp_path, "reader", may_write=False))
    with pytest.raises(StorageFailed, match="could not be erased: Google answered 403"):
        store.erase(["a"])
    assert len(service.generations("data", "")) == 1


def test_a_large_object_goes_in_parts_and_comes_back_whole(
    service: GoogleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", 1 << 20)
    body = bytes(range(256)) * 48_000  # 12 MB
    store = open_gs(service.url, service.account(tmp_path, "writer"))
    pieces = [body[start : start + (1 << 20)] for start in range(0, len(body), 1 << 20)]
    assert store.write("large", lambda: iter(pieces))
    assert store.get("large") == body
    assert store.head("large").etag != md5(body)  # what came in parts has no MD5
    assert not store.write("large", lambda: iter(pieces))


def test_listings_of_many_pages(service: GoogleStorage, tmp_path: Path) -> None:
    service.page = 7
    for number in range(40):
        service.put("data", f"ü b/files/{number:02} &<", b"%d" % number)
    found = open_gs(service.url, service.account(tmp_path, "reader", may_write=False)).list("files")
    assert found["key"].to_list() == [f"files/{number:02} &<" for number in range(40)]


def test_gcsfs_reads_what_obstore_wrote_and_the_other_way_round(
    service: GoogleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = service.account(tmp_path, "writer")
    store, other = open_gs(service.url, file), gcsfs.core.GCSFileSystem(token=str(file), endpoint_url=service.url)
    store.put("a+é", b"\n\r\nof obstore\r\n")
    other.pipe_file("data/ü b/b", b"\r\nof gcsfs\n")
    assert other.cat_file("data/ü b/a+é") == b"\n\r\nof obstore\r\n"
    assert store.get("b") == b"\r\nof gcsfs\n"
    assert other.find("data") == ["data/ü b/a+é", "data/ü b/b"]


def test_a_workload_identity_logs_in(service: GoogleStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file that GitHub Actions' login writes, as DVC takes it: from the environment."""
    service.account(tmp_path, "publisher")
    file = service.accounts[0].write_federated(tmp_path / "federated.json", f"{service.url}/token")
    with pytest.raises(StorageFailed, match="DVC accepts the type external_account from the environment only"):
        open_gs(service.url, file)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    store = pickle.loads(pickle.dumps(open_gs(service.url, "")))
    assert (store.put("a", b"a"), store.get("a")) == (True, b"a")
    service.accounts.clear()
    service.account(tmp_path, "another")
    again = service.accounts[0].write_federated(tmp_path / "stale.json", f"{service.url}/token")
    again.with_suffix(".token").write_text("stale")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(again))
    with pytest.raises(StorageFailed, match="no valid credentials"):
        open_gs(service.url, "").find("a")


# --- logins -----------------------------------------------------------------------------------------------------------


def edited(file: Path, **changes: str) -> Path:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return file


def with_text(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


LOGINS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no file": (lambda file: file.with_name("nothing.json"), "No such file or directory"),
    "folder": (lambda file: file.parent, "Is a directory"),
    "web page": (lambda file: with_text(file, "<html>hush</html>"), "not a JSON file"),
    "cut off": (lambda file: with_text(file, file.read_text()[:200]), "not a JSON file"),
    "in UTF-16": (lambda file: file.write_bytes(file.read_text().encode("utf-16")) and file, "not a JSON file"),
    "empty": (lambda file: with_text(file, ""), "not a JSON file"),
    "a list": (lambda file: with_text(file, "[]"), "not a file of credentials"),
    "an OAuth client": (lambda file: with_text(file, '{"installed": {"client_secret": "hush"}}'), "not a file of cred"),
    "key that is none": (lambda file: edited(file, private_key="hush"), "no valid credentials"),
    "another account": (lambda file: edited(file, client_email="hush@acme.example"), "no valid credentials"),
}


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_that_cannot_work_is_said_for_what_it_is(service: GoogleStorage, tmp_path: Path, login: str) -> None:
    make, words = LOGINS[login]
    file, wrong = make(service.account(tmp_path, "writer")), []
    for name, request in REQUESTS.items():
        with pytest.raises(StorageFailed) as caught:
            request(open_gs(service.url, file))
        said = str(caught.value)
        is_right = words in said and "staging credentialpath FILE" in (caught.value.fix or "") and "{" not in said
        wrong += [] if is_right and "hush" not in said and "PRIVATE" not in said else [f"{name}: {said}"]
    assert wrong == []


def test_no_login_and_one_that_may_only_read(service: GoogleStorage, tmp_path: Path) -> None:
    reader = service.account(tmp_path, "reader", may_write=False)
    with pytest.raises(StorageFailed, match=r"new: access denied \(writing\)"):
        open_gs(service.url, reader).put("new", b"")
    with pytest.raises(StorageFailed, match=r"access denied \(deleting\)"):
        open_gs(service.url, reader).delete(["new"])
    options = {"endpointurl": service.url, "allow_anonymous_login": "true"}
    with pytest.raises(StorageFailed, match="no valid credentials"):
        open_store(Remote("gs://data", options, "staging"), Path()).get("a")


# --- answers ----------------------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
NO_STORE = "does not answer as an object store"
ANSWERS: dict[str, tuple[Deed, str]] = {
    "web page": (Page(200, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "page not found": (Page(404, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "page of a proxy": (Page(403, HTML, {"Content-Type": "text/html"}), NO_STORE),
    "login page": (Page(302, b"", {"Location": "/login"}), NO_STORE),
    "JSON": (Page(403, b'{"error": {"code": 403}}', {}), NO_STORE),
    "denied": (Answer(403, "AccessDenied", "hush"), "access denied ("),
    "rate": (Answer(429, "SlowDown", "no"), "the server limits the rate"),
    "billing": (Answer(403, "UserProjectAccountProblem", "no"), "without billing"),
    "hold": (Answer(403, "ObjectUnderActiveHold", "no"), "a retention policy or a hold refuses this"),
    "clock": (Answer(403, "RequestTimeTooSkewed", "no"), "this machine's clock is wrong"),
    "no bucket": (Answer(404, "NoSuchBucket", "no"), "the bucket does not exist"),
    "unknown": (Answer(418, "Teapot", "no"), "the server responded with 418 Teapot"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_said_for_what_it_is(service: GoogleStorage, tmp_path: Path, answer: str) -> None:
    deed, words = ANSWERS[answer]
    file, wrong = service.account(tmp_path, "writer"), []
    with FaultProxy(service.url) as proxy:
        proxy.add(Fault(deed, always, times=None))
        for name, request in REQUESTS.items():
            with pytest.raises(StorageFailed) as caught:
                request(open_gs(proxy.url, file))
            said = str(caught.value)
            is_right = words in said and said.startswith("gs://") and caught.value.fix and "{" not in said
            wrong += [] if is_right and "hush" not in said and "profile NAME" not in said else [f"{name}: {said}"]
    assert wrong == []
