"""Copies inside S3: their conditions, faults on the way, and servers that ignore a condition."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.core.pointers import object_key
from registry.core.settings import Remote
from registry.demo.seaweedfs import S3Server
from registry.errors import NotFound, StorageFailed
from registry.storage import retry, s3_copy, s3_credentials, s3_signing
from registry.storage.base import Copier
from registry.storage.open import open_store
from support.patience import FOR_EVER, PATIENCE
from support.repositories import md5
from support.s3_places import Places, body_of
from support.servers import fault_proxy
from support.servers.fault_proxy import Fault, FaultProxy, Reset, only
from support.servers.http_wire import Request

pytestmark = pytest.mark.s3


def test_a_copy_is_made_only_of_that_etag_and_never_overwrites(places: Places, client: BaseClient) -> None:
    places.fill(client, 2)
    copier = places.staging.copier_from(places.lake)
    assert copier.copy("00.jpg", "a b/ü+~", md5(body_of(0))) == md5(body_of(0))
    assert places.staging.get("a b/ü+~") == body_of(0)
    assert copier.copy("01.jpg", "a b/ü+~", md5(body_of(1))) is None
    assert copier.copy("01.jpg", "other", md5(body_of(0))) is None
    assert places.staging.get("a b/ü+~") == body_of(0)
    assert not places.staging.has("other")
    with pytest.raises(NotFound, match=r"lake/.*/02\.jpg does not exist"):
        copier.copy("02.jpg", "other", md5(body_of(0)))


def test_a_copy_has_only_the_bytes_of_the_original(places: Places, client: BaseClient) -> None:
    key = f"{places.folder}/a"
    client.put_object(Bucket="lake", Key=key, Body=b"a", Metadata={"photographer": "Ana"}, ContentType="text/html")
    places.staging.copier_from(places.lake).copy("a", "a", md5(b"a"))
    copy = client.head_object(Bucket="staging", Key=key)
    assert (copy["Metadata"], copy["ContentType"] == "text/html") == ({}, False)


def test_only_buckets_of_one_endpoint_and_one_login_copy_between_themselves(
    places: Places, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = server.credentials("early")
    other = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key}
    assert places.staging.copier_from(places.lake)
    assert not Places("x", **other).staging.copier_from(places.lake)
    assert not Places("x", endpointurl=server.url).staging.copier_from(places.lake)
    assert not Places("x", allow_anonymous_login="true").staging.copier_from(
        Places("x", allow_anonymous_login="true").lake
    )
    assert not places.staging.copier_from(open_store(Remote("lake"), tmp_path))
    assert not open_store(Remote("lake"), tmp_path).copier_from(places.staging)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert not places.staging.copier_from(places.lake)


@pytest.mark.parametrize(
    "deed",
    [
        fault_proxy.SLOW_DOWN,
        fault_proxy.INTERNAL_ERROR,
        fault_proxy.COPY_FAILED,
        Reset(),
        Reset(served=True),
        fault_proxy.Truncate(),
    ],
    ids=["slow down", "500", "an error in a 200", "reset", "reset when done", "half an answer"],
)
def test_transient_faults_are_retried(
    places: Places, client: BaseClient, proxy: FaultProxy, deed: fault_proxy.Deed
) -> None:
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    proxy.add(Fault(deed, only("copy"), times=2))
    assert set(places.state(*names)) <= {"copied", "present"}
    assert {key: places.production.get(key) for key in map(object_key, names)} == {
        object_key(md5(body_of(number))): body_of(number) for number in range(3)
    }


def test_a_request_that_timed_out_is_sent_again(
    places: Places, client: BaseClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_copy, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.0)
    name = places.stage(client, md5(b"a"), b"a")

    def is_copy(request: Request) -> bool:
        if request.kind == "copy":
            monkeypatch.setattr(s3_copy, "READ_TIMEOUT", PATIENCE)  # for the connection of the second try
        return request.kind == "copy"

    proxy.add(Fault(fault_proxy.Wait(FOR_EVER), is_copy))
    assert places.state(name) == ["copied"]


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (fault_proxy.COPY_FAILED, "the server responded with 200 InternalError"),
        (fault_proxy.SLOW_DOWN, "the server limits the rate of requests"),
        (Reset(), "the server could not be reached"),
        (fault_proxy.EXPIRED_TOKEN, "the credentials have expired"),
        (fault_proxy.Answer(403, "RequestTimeTooSkewed", "AKIAHUSH"), "this machine's clock is wrong"),
        (fault_proxy.Answer(403, "AccessDenied", "AKIAHUSH"), "access denied"),
    ],
)
def test_permanent_faults_are_reported_without_secrets(
    places: Places,
    client: BaseClient,
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
    deed: fault_proxy.Deed,
    words: str,
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(retry, "LONGEST_DELAY", 0.1)
    name = places.stage(client, md5(b"a"), b"a")
    proxy.add(Fault(deed, only("copy"), times=None))
    with pytest.raises(StorageFailed) as caught:
        places.state(name)
    assert str(caught.value).startswith(f"s3://production/{places.folder}/{object_key(name)}: {words}\n  hint: ")
    assert "AKIA" not in str(caught.value)
    assert not places.production.has(object_key(name))


class OldServer:
    """S3 that knows no If-None-Match of a copy: it answers `refusal` to it, or copies all the same."""

    def __init__(self, client: BaseClient, refusal: int) -> None:
        self.asked: list[Mapping[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                outer.asked.append(self.headers)
                if refusal and "if-none-match" in self.headers:
                    self._say(refusal, b"<Error><Code>NotImplemented</Code></Error>")
                    return
                bucket, _, key = self.path[1:].partition("/")
                etag = self.headers["x-amz-copy-source-if-match"]
                source = self.headers["x-amz-copy-source"][1:]
                client.copy_object(Bucket=bucket, Key=key, CopySource=source, CopySourceIfMatch=etag)
                self._say(200, f"<CopyObjectResult><ETag>&quot;{etag[1:-1]}&quot;</ETag></CopyObjectResult>".encode())

            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "OldServer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def copier(self, places: Places) -> Copier:
        """From the lake to staging, there."""
        lake, staging = (
            s3_signing.S3Location(bucket, places.folder, self.url, "us-east-1", s3_credentials.Login())
            for bucket in ("lake", "staging")
        )
        return s3_copy.ServerSideCopier(lake, staging, places.lake.open, places.staging.has)


@pytest.mark.parametrize("refusal", [501, 400])
def test_where_a_server_rejects_the_condition_the_key_is_looked_up_first(
    places: Places, client: BaseClient, refusal: int
) -> None:
    places.fill(client, 2)
    places.staging.put("there", b"there")
    with OldServer(client, refusal) as old:
        copier = old.copier(places)
        assert copier.copy("00.jpg", "there", md5(body_of(0))) is None
        assert copier.copy("00.jpg", "a", md5(body_of(0))) == md5(body_of(0))
        assert copier.copy("01.jpg", "b", md5(body_of(1))) == md5(body_of(1))
        assert copier.copy("01.jpg", "there", md5(body_of(1))) is None
        assert [("if-none-match" in asked) for asked in old.asked] == [True, True, False, False]
    assert [places.staging.get(key) for key in ("there", "a", "b")] == [b"there", body_of(0), body_of(1)]


def test_a_server_that_ignores_the_condition_is_detected(places: Places, client: BaseClient) -> None:
    places.fill(client, 1)
    places.staging.put("there", b"there")
    with OldServer(client, refusal=0) as old:
        copier = old.copier(places)
        assert copier.copy("00.jpg", "a", md5(body_of(0))) == md5(body_of(0))
        assert copier.copy("00.jpg", "there", md5(body_of(0))) is None
    assert places.staging.get("there") == b"there"
