"""Copies inside S3, on a real server: what they move, what they verify, and what passes when a server cheats."""

import io
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from random import Random

import pytest
from botocore.client import BaseClient
from botocore.credentials import ReadOnlyCredentials
from PIL import Image

from registry.core.pointers import object_key
from registry.core.settings import Remote
from registry.dataset import build
from registry.demo.seaweedfs import S3Server
from registry.errors import NotFound, StorageFailed
from registry.storage import cloud, retry, s3_copy, s3_credentials, s3_signing
from registry.storage.base import Copier
from registry.storage.ingest import SAMPLE, Ingest, ingest, sample_order
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.storage.transfer import transfer
from support import release_auditor, repositories
from support.patience import FOR_EVER, PATIENCE
from support.repositories import Run, md5
from support.servers import fault_proxy
from support.servers.fault_proxy import Corrupt, Fault, FaultProxy, Reset, Rewrite, only
from support.servers.http_wire import Request

pytestmark = pytest.mark.s3

PART = 5 << 20  # bytes, the smallest part of an upload in parts
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3"), policies={"early": EVERYTHING, "late": EVERYTHING}) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """What everybody but the tests themselves takes for the server."""
    with FaultProxy(server.url) as proxy:
        for name, value in server.env(url=proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def client(server: S3Server) -> BaseClient:
    """The server itself, not through the proxy."""
    return server.client()


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """The place in each bucket that this test has for itself."""
    return re.sub(r"\W+", "-", request.node.name).strip("-")


class Places:
    """A lake, staging and production, through the proxy."""

    def __init__(self, folder: str, **options: str) -> None:
        self.folder = folder
        self.lake, self.staging, self.production = (
            open_store(Remote(f"s3://{bucket}/{folder}", options), Path())
            for bucket in ("lake", "staging", "production")
        )

    def stage(self, client: BaseClient, name: str, body: bytes) -> str:
        """A body in staging under a name, be it right or wrong."""
        client.put_object(Bucket="staging", Key=f"{self.folder}/{object_key(name)}", Body=body)
        return name

    def state(self, *names: str) -> list[str]:
        """What `transfer` says of them, in their order."""
        done = dict(transfer(self.staging, self.production, names).select("md5", "state").rows())
        return [done[name] for name in names]

    def fill(self, client: BaseClient, count: int) -> None:
        """A lake of so many images."""
        for number in range(count):
            client.put_object(Bucket="lake", Key=f"{self.folder}/{number:02}.jpg", Body=body_of(number))

    def ingest(self) -> list[tuple[str, str | None, bool, bool]]:
        """key, md5, whether it was inspected, and copied: all of the lake."""
        job = Ingest(self.lake, self.staging, self.production, lambda _key, _data: None)
        return ingest(job, self.lake.list()).select("key", "md5", "inspected", "copied").rows()

    def staged(self, client: BaseClient) -> dict[str, str]:
        """Each object of staging by its name, and the MD5 of what it holds."""
        found = client.list_objects_v2(Bucket="staging", Prefix=f"{self.folder}/").get("Contents", [])
        bodies = {one["Key"]: client.get_object(Bucket="staging", Key=one["Key"])["Body"].read() for one in found}
        return {"".join(key.split("/")[-2:]): md5(body) for key, body in bodies.items()}


@pytest.fixture
def places(proxy: FaultProxy, folder: str) -> Places:
    return Places(folder)


def body_of(number: int) -> bytes:
    return b"picture %02d" % number


def copied(proxy: FaultProxy) -> int:
    """How many copies the server made."""
    return sum(one.kind == "copy" and one.status == 200 for one in proxy.exchanges)


def put_in_parts(client: BaseClient, key: str, body: bytes) -> str:
    """Upload to staging in parts; the ETag, which is no MD5."""
    upload = {"Bucket": "staging", "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(body), PART), 1):
        etag = client.upload_part(PartNumber=number, Body=body[start : start + PART], **upload)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    return client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)["ETag"]


def disguised(data: bytes) -> bytes:
    """An answer in which each MD5 is another, as under SSE-KMS."""
    return re.sub(rb"\b[0-9a-f]{32}\b(?![/.])", lambda found: md5(b"kms" + found[0]).encode(), data)


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "a/token+of=STS"])
def test_requests_are_signed_as_botocore_signs_them(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore import auth
    from botocore.awsrequest import AWSRequest

    now, keys = datetime(2026, 1, 31, 12, 34, 56, tzinfo=UTC), ReadOnlyCredentials("AKIA", "hush", token)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now.replace(tzinfo=None))
    place = s3_signing.S3Location(
        "bucket", "a b/ü", "https://s3.example.com:9000", "eu-central-1", s3_credentials.Login()
    )
    headers = {"x-amz-copy-source": "/lake/a%20b.jpg", "if-none-match": "*"}
    request = AWSRequest("PUT", place.address + place.path("k+y~.jpg"), headers)
    auth.S3SigV4Auth(keys, "s3", place.region).add_auth(request)
    theirs = dict(re.findall(r"(Credential|Signature)=([^,]+)", request.headers["Authorization"]))
    ours = s3_signing.sign_put(keys, place, "k+y~.jpg", headers, now)
    found = dict(re.findall(r"(Credential|Signature)=([^,]+)", ours["authorization"]))
    assert (found, ours["x-amz-date"]) == (theirs, request.headers["X-Amz-Date"])


def test_a_copy_is_made_only_of_these_bytes_and_only_where_nothing_is(places: Places, client: BaseClient) -> None:
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


def test_a_copy_has_nothing_of_the_original_but_its_bytes(places: Places, client: BaseClient) -> None:
    key = f"{places.folder}/a"
    client.put_object(Bucket="lake", Key=key, Body=b"a", Metadata={"photographer": "Ana"}, ContentType="text/html")
    places.staging.copier_from(places.lake).copy("a", "a", md5(b"a"))
    copy = client.head_object(Bucket="staging", Key=key)
    assert (copy["Metadata"], copy["ContentType"] == "text/html") == ({}, False)


def test_only_buckets_of_one_service_and_one_identity_copy_between_themselves(
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


# --- faults on the way ------------------------------------------------------------------------------------------------


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
def test_what_passes_is_tried_again(
    places: Places, client: BaseClient, proxy: FaultProxy, deed: fault_proxy.Deed
) -> None:
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    proxy.add(Fault(deed, only("copy"), times=2))
    assert set(places.state(*names)) <= {"copied", "present"}
    assert {key: places.production.get(key) for key in map(object_key, names)} == {
        object_key(md5(body_of(number))): body_of(number) for number in range(3)
    }


def test_a_request_that_times_out_is_repeated(
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
def test_what_stays_is_told_in_bounded_time_and_shows_no_secret(
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
def test_where_a_server_knows_no_such_condition_the_place_is_asked_before(
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


def test_a_server_that_copies_in_spite_of_the_condition_is_found_out(places: Places, client: BaseClient) -> None:
    places.fill(client, 1)
    places.staging.put("there", b"there")
    with OldServer(client, refusal=0) as old:
        copier = old.copier(places)
        assert copier.copy("00.jpg", "a", md5(body_of(0))) == md5(body_of(0))
        assert copier.copy("00.jpg", "there", md5(body_of(0))) is None
    assert places.staging.get("there") == b"there"


# --- from staging to production ---------------------------------------------------------------------------------------


def test_a_transfer_reads_nothing(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    listing = b"[]"
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(20)]
    names.append(places.stage(client, f"{md5(listing)}.dir", listing))
    assert places.state(*names) == ["copied"] * 21
    assert (proxy.counts()["get"], copied(proxy)) == (0, 21)
    assert [one.key for one in proxy.exchanges if one.kind == "copy"][-1].endswith(".dir")
    proxy.clear()
    assert places.state(*names) == ["present"] * 21
    assert set(proxy.counts()) <= {"head", "list"}


def test_a_wrong_body_under_a_right_name_does_not_get_through(places: Places, client: BaseClient) -> None:
    right = places.stage(client, md5(b"right"), b"right")
    wrong = places.stage(client, md5(b"what it should be"), b"what it is")
    parts = md5(b"what the parts should be")
    put_in_parts(client, f"{places.folder}/{object_key(parts)}", b"evil" * (PART // 3))
    held = places.stage(client, f"{md5(b'[]')}.dir", b"[]")
    gone = md5(b"gone")
    assert places.state(right, wrong, parts, gone, held) == ["copied", "corrupt", "corrupt", "missing", "skipped"]
    assert places.production.list()["key"].to_list() == [object_key(right)]


def test_copies_can_be_made_by_other_processes(places: Places, client: BaseClient) -> None:
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        done = transfer(places.staging, places.production, names, executor=pool)
    assert done["state"].to_list() == ["copied"] * 3


def test_a_body_that_is_swapped_between_the_check_and_the_copy_does_not_get_through(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    name = places.stage(client, md5(b"right"), b"right")

    def swap(request: Request) -> bool:
        if request.kind == "copy":
            places.stage(client, name, b"wrong")
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, swap))
    assert places.state(name) == ["corrupt"]
    assert not places.production.has(object_key(name))


def test_a_body_that_is_swapped_after_it_was_read_does_not_get_through(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    body = bytes(2 * PART)
    name, key = md5(body), f"{places.folder}/{object_key(md5(body))}"
    put_in_parts(client, key, body)
    kinds: list[str] = []

    def swap(request: Request) -> bool:
        if request.kind == "copy" and "get" in kinds:
            places.stage(client, name, b"wrong")
        kinds.append(request.kind)
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, swap))
    assert places.state(name) == ["corrupt"]
    assert kinds.count("copy") > 1
    assert not places.production.has(object_key(name))


def test_what_was_uploaded_in_parts_is_read_and_then_copied(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    body = b"weights." * (PART // 4)
    name = md5(body)
    assert "-2" in put_in_parts(client, f"{places.folder}/{object_key(name)}", body)
    proxy.clear()
    assert places.state(name) == ["copied"]
    assert (proxy.moved("get"), proxy.moved("put", "part")) == ((0, len(body)), (0, 0))
    assert places.production.get(object_key(name)) == body


def test_what_is_too_large_to_be_copied_comes_through_here(
    places: Places, client: BaseClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_copy.ServerSideCopier, "max_bytes", PART)
    body = b"weights." * (PART // 4)
    name = md5(body)
    put_in_parts(client, f"{places.folder}/{object_key(name)}", body)
    proxy.clear()
    assert places.state(name) == ["copied"]
    assert proxy.moved("put", "part") == (len(body), 0)
    assert places.production.get(object_key(name)) == body


def test_what_comes_in_parts_through_here_is_whole_or_not_there(
    places: Places, client: BaseClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_copy.ServerSideCopier, "max_bytes", PART)
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", PART)
    right, wrong = b"weights." * (PART // 2), b"weigh..." * (PART // 2)
    put_in_parts(client, f"{places.folder}/{object_key(md5(right))}", right)
    put_in_parts(client, f"{places.folder}/{object_key('0' * 32)}", wrong)
    proxy.clear()
    assert places.state(md5(right), "0" * 32) == ["copied", "corrupt"]
    assert proxy.moved("put") == (0, 0)
    assert places.production.get(object_key(md5(right))) == right
    assert not places.production.has(object_key("0" * 32))
    begun = client.list_multipart_uploads(Bucket="production", Prefix=places.folder)
    assert begun.get("Uploads", []) == []


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An object's body that is read in many ranges."""
    monkeypatch.setattr(cloud, "CHUNK", 1000)
    return Random(1).randbytes(123_456)


def test_a_large_object_is_read_in_parts_at_a_time(
    places: Places, client: BaseClient, proxy: FaultProxy, in_parts: bytes
) -> None:
    name = places.stage(client, md5(in_parts), in_parts)
    proxy.clear()
    assert places.staging.get(object_key(name)) == in_parts
    assert [one.status for one in proxy.exchanges] == [200] + [206] * 124


def test_a_large_object_that_is_swapped_while_it_is_read_is_told(
    places: Places, client: BaseClient, in_parts: bytes
) -> None:
    name = places.stage(client, md5(in_parts), in_parts)
    chunks = places.staging.read(object_key(name))
    assert next(chunks) == in_parts[:1000]
    places.stage(client, name, in_parts[::-1])
    with pytest.raises(StorageFailed, match="the object changed while it was read\n  hint: run the same command again"):
        list(chunks)


def test_a_large_object_of_which_a_part_is_damaged_on_its_way_is_read_again(
    places: Places, client: BaseClient, proxy: FaultProxy, in_parts: bytes, tmp_path: Path
) -> None:
    name = places.stage(client, md5(in_parts), in_parts)
    proxy.add(Fault(Corrupt(), lambda request: request.kind == "get", after=50))
    done = transfer(places.staging, Folder(tmp_path), [name])
    assert done.rows() == [(name, len(in_parts), "copied")]
    assert Folder(tmp_path).get(object_key(name)) == in_parts


def test_where_production_hides_its_etags_every_copy_is_read(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    parts = bytes(2 * PART)
    put_in_parts(client, f"{places.folder}/{object_key(md5(parts))}", parts)
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    in_production = lambda request: request.bucket == "production" and request.kind in {"copy", "head"}  # noqa: E731
    proxy.add(Fault(Rewrite(disguised), in_production, times=None))
    assert places.state(*names, md5(parts)) == ["copied"] * 4
    assert sorted(one.bucket for one in proxy.exchanges if one.kind == "get") == ["production"] * 4 + ["staging"]


def test_a_copy_that_the_store_made_wrong_is_told(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    name = places.stage(client, md5(b"right"), b"right")

    def spoil(data: bytes) -> bytes:
        client.put_object(Bucket="production", Key=f"{places.folder}/{object_key(name)}", Body=b"wrong")
        return disguised(data)

    proxy.add(Fault(Rewrite(spoil), only("copy")))
    with pytest.raises(StorageFailed, match="checksum mismatch"):
        places.state(name)


def test_what_is_in_production_is_never_overwritten(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    name = places.stage(client, md5(b"right"), b"right")
    key = f"{places.folder}/{object_key(name)}"

    def race(request: Request) -> bool:
        if request.kind == "copy" and request.number:
            client.put_object(Bucket="production", Key=key, Body=b"right", Metadata={"by": "another"})
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, race))
    assert places.state(name) == ["present"]
    assert client.head_object(Bucket="production", Key=key)["Metadata"] == {"by": "another"}


# --- from the lake ----------------------------------------------------------------------------------------------------


def test_of_a_lake_with_plain_etags_a_sample_is_read(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    places.fill(client, 30)
    rows = places.ingest()
    assert [(key, name) for key, name, *_ in rows] == [(f"{n:02}.jpg", md5(body_of(n))) for n in range(30)]
    assert [sum(column) for column in zip(*(row[2:] for row in rows), strict=True)] == [SAMPLE, 30]
    assert proxy.moved("get") == (0, SAMPLE * len(body_of(0)))
    assert copied(proxy) == 30 - SAMPLE
    assert places.staged(client) == {md5(body_of(number)): md5(body_of(number)) for number in range(30)}
    proxy.clear()
    assert sum(copied for *_, copied in places.ingest()) == 0
    assert (proxy.counts()["get"], proxy.counts()["copy"]) == (SAMPLE, 0)


def test_of_a_lake_whose_etags_only_look_like_md5s_everything_is_read(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    places.fill(client, 20)
    proxy.add(Fault(Rewrite(disguised), lambda request: request.bucket == "lake", times=None))
    rows = places.ingest()
    assert [(name, inspected) for _, name, inspected, _ in rows] == [(md5(body_of(n)), True) for n in range(20)]
    assert proxy.counts()["copy"] == 0
    assert places.staged(client) == {md5(body_of(number)): md5(body_of(number)) for number in range(20)}


def test_one_etag_that_lies_is_found_out_by_the_copy(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    places.fill(client, 20)
    lots = sorted((sample_order(f"{number:02}.jpg"), number) for number in range(20))
    liar = lots[-1][1]  # surely not in the sample
    told = {md5(body_of(liar)).encode(): md5(b"kms").encode()}

    def lie(data: bytes) -> bytes:
        return data.replace(*next(iter(told.items())))

    proxy.add(Fault(Rewrite(lie), lambda request: request.bucket == "lake", times=None))
    rows = places.ingest()
    assert [name for _, name, *_ in rows] == [md5(body_of(number)) for number in range(20)]
    assert (sum(inspected for _, _, inspected, _ in rows), rows[liar][2]) == (SAMPLE + 1, True)
    assert places.staged(client) == {md5(body_of(number)): md5(body_of(number)) for number in range(20)}


def test_an_image_that_changes_or_goes_after_the_listing(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    places.fill(client, 20)
    *_, changed, gone = (number for _, number in sorted((sample_order(f"{n:02}.jpg"), n) for n in range(20)))

    def change(request: Request) -> bool:
        if request.kind == "copy":
            client.put_object(Bucket="lake", Key=f"{places.folder}/{changed:02}.jpg", Body=b"changed it")
            client.delete_object(Bucket="lake", Key=f"{places.folder}/{gone:02}.jpg")
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, change))
    rows = places.ingest()
    assert rows[changed][1:] == (md5(b"changed it"), True, True)
    assert rows[gone][1:] == (None, False, False)
    assert md5(body_of(gone)) not in places.staged(client)


# --- the commands -----------------------------------------------------------------------------------------------------

MANIFEST = """\
schema: 1
name: pets
version: 1.0.0
title: Pets
description: Pets at home.
owners: ["@acme/vision"]
license: CC-BY-4.0
source: {export: by hand}
image: "photos/{uuid}.jpg"
columns: {uuid: {type: uuid}, label: {type: string}}
classes: [cat, dog]
split: {salt: pets, ratios: {train: 0.6, val: 0.2, test: 0.2}}
"""


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012x}"


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 9), (number, 7, 0)).save(out, "JPEG", comment=b"%d" % number)
    return out.getvalue()


@pytest.fixture
def desk(registry_repo: Path, run_registry: Run, places: Places, client: BaseClient) -> Path:
    """A registry on S3 whose lake has 40 photos, all of them selected; another lake is a folder with the same."""
    pets, lake = registry_repo / "datasets/pets", registry_repo / ".registry/lake/photos"
    pets.mkdir(parents=True)
    lake.mkdir(parents=True)
    (pets / "dataset.yaml").write_text(MANIFEST)
    for number in range(40):
        client.put_object(Bucket="lake", Key=f"{places.folder}/photos/{uuid(number)}.jpg", Body=picture(number))
        (lake / f"{uuid(number)}.jpg").write_bytes(picture(number))
    rows = [f"{uuid(number)},{['cat', 'dog'][number % 2]}\n" for number in range(40)]
    (registry_repo / "export.csv").write_text("uuid,label\n" + "".join(rows))
    assert run_registry(registry_repo, "select", "datasets/pets", "--from", "export.csv").code == 0
    edit(registry_repo / "registry.yaml", ".registry/lake", places.lake.url)
    for store in (places.staging, places.production):
        edit(registry_repo / ".dvc/config", f"../.registry/{store.url.split('/')[2]}", store.url)
    return registry_repo


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def images_read(proxy: FaultProxy) -> tuple[int, int]:
    """How many images came through here, and their bytes."""
    sizes = {md5(picture(number)): len(picture(number)) for number in range(40)}
    found = [one for one in proxy.exchanges if one.kind == "get"]
    images = [one for one in found if one.key.endswith(".jpg") or "".join(one.key.split("/")[-2:]) in sizes]
    return len(images), sum(one.received for one in images)


def test_a_build_moves_a_sample_through_here_and_the_images_check_the_rest(
    desk: Path, run_registry: Run, proxy: FaultProxy, client: BaseClient, places: Places
) -> None:
    broken = picture(7)[:-20]
    client.put_object(Bucket="lake", Key=f"{places.folder}/photos/{uuid(7)}.jpg", Body=broken)
    proxy.clear()
    built = run_registry(desk, "build", "datasets/pets")
    assert built.out.startswith(
        "40 images: 0 validated before, 8 validated now, 32 not validated, 40 new in staging (25.5 kB)\n"
        "32 images were copied server-side and not validated; run `registry check --images`\n"
    )
    count, size = images_read(proxy)
    assert (count, size // len(picture(1))) == (SAMPLE, SAMPLE)
    assert copied(proxy) == 32
    run_registry(desk, "check", "--fix")
    proxy.clear()
    checked = run_registry(desk, "check", "--images")
    assert f"{uuid(7)}.jpg: truncated" in checked.out
    # The truncated one goes uncounted, and so do those of the sample that were old enough to be remembered.
    assert images_read(proxy)[0] in range(31, 40)
    proxy.clear()
    again = run_registry(desk, "check", "--images")
    assert f"{uuid(7)}.jpg: truncated" in again.out
    assert images_read(proxy)[0] == 0
    assert "hint: registry build datasets/pets --exclude-faulty" in again.out
    assert "1 images are excluded now" in run_registry(desk, "build", "datasets/pets", "--exclude-faulty").out
    assert "not sound" not in run_registry(desk, "check", "--images").out


def test_a_build_on_s3_gives_the_pointer_of_a_build_in_folders(desk: Path, run_registry: Run, places: Places) -> None:
    assert run_registry(desk, "build", "datasets/pets").code == 0
    pointer = desk / "datasets/pets/prepared.dvc"
    on_s3 = pointer.read_bytes()
    pointer.unlink()
    edit(desk / "registry.yaml", places.lake.url, ".registry/lake")
    assert run_registry(desk, "build", "datasets/pets").out.startswith("40 images: 0 known, 40 read, 0 of them new")
    assert pointer.read_bytes() == on_s3


def test_images_that_the_listing_alone_refuses_are_not_read(
    desk: Path,
    run_registry: Run,
    proxy: FaultProxy,
    client: BaseClient,
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build.image_validation, "MAX_BYTES", 2000)
    for number, body in ((3, b""), (4, picture(4) + bytes(2000))):
        client.put_object(Bucket="lake", Key=f"{places.folder}/photos/{uuid(number)}.jpg", Body=body)
    proxy.clear()
    done = run_registry(desk, "build", "datasets/pets")
    assert f"{uuid(3)} (photos/{uuid(3)}.jpg): empty file\n" in done.err
    assert f"photos/{uuid(4)}.jpg): file has {len(picture(4)) + 2000:,} bytes, the limit is 2,000\n" in done.err
    assert not [one for one in proxy.exchanges if one.kind == "get" and uuid(3)[:-1] in one.key and one.key[-5] in "34"]
    assert not (desk / "datasets/pets/prepared.dvc").exists()


def test_publish_copies_inside_the_store_and_again_asks_little(
    desk: Path, run_registry: Run, proxy: FaultProxy, client: BaseClient, places: Places
) -> None:
    assert run_registry(desk, "build", "datasets/pets").code == 0
    repositories.commit(desk, "pets")
    proxy.clear()
    done = run_registry(desk, "publish")
    assert done.out.splitlines()[-1] == "published: 46 objects copied, 0 bytes of them through here"
    assert (images_read(proxy), copied(proxy), proxy.counts()["put"]) == ((0, 0), 46, 0)
    assert set(places.production.list()["key"]) == set(places.staging.list()["key"])
    assert list(release_auditor.releases(desk)) == ["datasets/pets@v1.0.0"]
    proxy.clear()
    assert run_registry(desk, "publish").out == "datasets/pets@v1.0.0: already published\n"
    assert sum(proxy.counts().values()) <= 3


def test_an_attackers_body_in_staging_is_named_and_nothing_is_tagged(
    desk: Path, run_registry: Run, client: BaseClient, places: Places
) -> None:
    assert run_registry(desk, "build", "datasets/pets").code == 0
    repositories.commit(desk, "pets")
    victim = md5(picture(5))
    places.stage(client, victim, picture(6)[: len(picture(5))])
    done = run_registry(desk, "publish")
    assert done.refused(f"{places.staging.url}/{object_key(victim)}: checksum mismatch")
    assert release_auditor.releases(desk) == {}
    assert not places.production.has(object_key(victim))


# --- who signs --------------------------------------------------------------------------------------------------------

ISSUER = """
import datetime, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "asked").open("a") as file:
    file.write("x")
asked = len((folder / "asked").read_text())
keys = json.loads((folder / "keys").read_text())[min(asked, 3) // 3]
lasts = datetime.timedelta(minutes=9)  # less than botocore keeps keys for: it asks again at each request
until = datetime.datetime.now(datetime.UTC) + lasts
print(json.dumps({"Version": 1, **keys, "Expiration": until.isoformat()}))
"""


def test_keys_that_expire_in_the_middle_are_renewed(
    server: S3Server,
    proxy: FaultProxy,
    client: BaseClient,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identities = [server.credentials(name) for name in ("early", "late")]
    found = [{"AccessKeyId": one.access_key, "SecretAccessKey": one.secret_key} for one in identities]
    (tmp_path / "keys").write_text(json.dumps(found))
    (tmp_path / "issuer.py").write_text(ISSUER)
    process = f"credential_process = {sys.executable} {tmp_path}/issuer.py {tmp_path}"
    (tmp_path / "config").write_text(f"[profile acme]\nregion = us-east-1\n{process}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    places = Places(folder, profile="acme", configpath=str(tmp_path / "config"))
    seen = []
    proxy.add(Fault(fault_proxy.SLOW_DOWN, lambda request: bool(seen.append(request))))
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(6)]
    assert places.state(*names) == ["copied"] * 6
    signers = {request.headers["authorization"].split("=")[1].split("/")[0] for request in seen}
    assert signers == {one.access_key for one in identities}


@pytest.mark.parametrize(
    ("profile", "program"),
    [
        ("acme", "import sys; print('AKIAHUSH', file=sys.stderr); sys.exit('AKIAHUSH')"),
        ("acme", "print('AKIAHUSH')"),
        ("acme", ""),
        ("gone", ""),
        ("unknown", ""),
    ],
    ids=["it fails", "it says nonsense", "it says nothing", "it is not there", "no such profile"],
)
def test_unavailable_credentials_are_reported_without_output_of_programs(
    proxy: FaultProxy, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, program: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "program.py").write_text(program)
    commands = {"acme": f"{sys.executable} {tmp_path}/program.py", "gone": f"{tmp_path}/gone"}
    sections = (f"[profile {name}]\ncredential_process = {command}\n" for name, command in commands.items())
    (tmp_path / "config").write_text("".join(sections))
    places = Places(folder, profile=profile, configpath=str(tmp_path / "config"))
    copier = places.production.copier_from(places.staging)
    for ask in (lambda: places.staging.get("a"), lambda: copier.copy("a", "b", md5(b"a"))):
        with pytest.raises(StorageFailed, match="no valid credentials") as caught:
            ask()
        assert "AKIA" not in f"{caught.value}{caught.value.__cause__}"
    assert proxy.exchanges == ()
