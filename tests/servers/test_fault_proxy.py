"""The proxy that makes faults, with the clients that it is for, in front of a real server."""

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import pytest
from botocore.exceptions import ClientError
from obstore.exceptions import BaseError
from obstore.store import S3Store

from registry.demo.seaweedfs import S3Server
from support.patience import PATIENCE
from support.servers.fault_proxy import (
    COPY_FAILED,
    EXPIRED_TOKEN,
    INTERNAL_ERROR,
    SLOW_DOWN,
    Corrupt,
    Deed,
    Fault,
    FaultProxy,
    Reset,
    Stale,
    Truncate,
    Wait,
    only,
)

BODY = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.url) as proxy:
        yield proxy


def store(server: S3Server, proxy: FaultProxy, *, retries: int = 0, bucket: str = "staging") -> S3Store:
    keys = server.credentials()
    return S3Store(
        bucket,
        endpoint=proxy.url,
        region="us-east-1",
        access_key_id=keys.access_key,
        secret_access_key=keys.secret_key,
        client_options={"allow_http": True, "timeout": timedelta(seconds=PATIENCE)},
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=PATIENCE),
            "backoff": {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2},
        },
    )


def plain_get(server: S3Server, proxy: FaultProxy, key: str, *, timeout: float = PATIENCE) -> tuple[int, bytes]:
    """A GET of a presigned URL by Python's own client: nothing is retried, or checked."""
    signer = server.client(url=proxy.url)
    url = urlsplit(signer.generate_presigned_url("get_object", Params={"Bucket": "staging", "Key": key}))
    connection = http.client.HTTPConnection(url.netloc, timeout=timeout)
    try:
        connection.request("GET", f"{url.path}?{url.query}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def raises_code(code: str) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code


def test_what_passes_is_what_was_sent_and_every_byte_is_counted(server: S3Server, proxy: FaultProxy) -> None:
    through = store(server, proxy)
    obstore.put(through, "plain/a b+ü.jpg", BODY)
    assert bytes(obstore.get(through, "plain/a b+ü.jpg").bytes()) == BODY
    assert obstore.head(through, "plain/a b+ü.jpg")["size"] == len(BODY)
    assert [one["path"] for one in obstore.list(through, "plain").collect()] == ["plain/a b+ü.jpg"]
    obstore.copy(through, "plain/a b+ü.jpg", "plain/copy")
    obstore.delete(through, "plain/copy")
    assert proxy.counts() == {"put": 1, "get": 1, "head": 1, "list": 1, "copy": 1, "delete": 1}
    assert proxy.moved("put") == (len(BODY), 0)
    assert proxy.moved("get") == (0, len(BODY))
    sent, received = proxy.moved("copy", "head")
    assert sent == 0
    assert received < 500  # the words of an answer: no image passed
    assert [(one.kind, one.key, one.status) for one in proxy.exchanges][:2] == [
        ("put", "plain/a b+ü.jpg", 200),
        ("get", "plain/a b+ü.jpg", 200),
    ]


def test_uploads_in_parts_and_botocores_continue_pass(server: S3Server, proxy: FaultProxy) -> None:
    large = BODY * 1200  # 12 MB
    obstore.put(store(server, proxy), "large", large, chunk_size=5 << 20)
    assert proxy.counts() == {"begin": 1, "part": 3, "complete": 1}
    assert proxy.moved("part") == (len(large), 0)
    client = server.client(url=proxy.url)
    client.put_object(Bucket="staging", Key="expects", Body=BODY)  # with Expect: 100-continue
    client.put_object(Bucket="staging", Key="empty", Body=b"")
    assert client.get_object(Bucket="staging", Key="expects")["Body"].read() == BODY
    assert client.get_object(Bucket="staging", Key="large")["Body"].read() == large
    assert client.get_object(Bucket="staging", Key="empty")["Body"].read() == b""


def test_a_signature_still_counts(server: S3Server, proxy: FaultProxy) -> None:
    obstore.put(store(server, proxy), "signed", BODY)
    status, _ = plain_get(server, proxy, "signed")
    url = server.client(url=proxy.url).generate_presigned_url("get_object", Params={"Bucket": "lake", "Key": "x"})
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    connection.request("GET", f"/staging/signed?{urlsplit(url).query}")
    assert (status, connection.getresponse().status) == (200, 403)
    connection.close()


@pytest.mark.parametrize("deed", [INTERNAL_ERROR, SLOW_DOWN, Reset()], ids=["500", "503", "reset"])
def test_faults_that_a_retry_overcomes(server: S3Server, proxy: FaultProxy, deed: Deed) -> None:
    proxy.add(Fault(deed, only("put"), times=2))
    with pytest.raises(BaseError):
        obstore.put(store(server, proxy), "tried", BODY)
    obstore.put(store(server, proxy, retries=3), "tried", BODY)
    assert [one.status > 0 for one in proxy.exchanges] == [not isinstance(deed, Reset)] * 2 + [True]
    assert proxy.exchanges[-1].status == 200
    assert plain_get(server, proxy, "tried") == (200, BODY)


def test_a_reset_comes_before_or_after_the_request_is_served(server: S3Server, proxy: FaultProxy) -> None:
    proxy.add(Fault(Reset(), only(key="before")), Fault(Reset(served=True), only(key="after")))
    for key in ("before", "after"):
        with pytest.raises(BaseError):
            obstore.put(store(server, proxy), key, BODY)
    there = {one["Key"] for one in server.client().list_objects_v2(Bucket="staging")["Contents"]}
    assert there & {"before", "after"} == {"after"}


def test_a_stall_outlasts_patience_and_ends_with_the_proxy(server: S3Server) -> None:
    with FaultProxy(server.url) as proxy:
        obstore.put(store(server, proxy), "slow", BODY)
        proxy.add(Fault(Wait(3600), only("get")))
        with pytest.raises(TimeoutError):
            plain_get(server, proxy, "slow", timeout=0.5)
        assert plain_get(server, proxy, "slow") == (200, BODY)


def test_latency_is_a_short_wait_for_everyone(server: S3Server, proxy: FaultProxy) -> None:
    proxy.add(Fault(Wait(0.01), times=None))
    obstore.put(store(server, proxy), "far", BODY)
    assert plain_get(server, proxy, "far") == (200, BODY)


def test_half_a_body(server: S3Server, proxy: FaultProxy) -> None:
    obstore.put(store(server, proxy), "half", BODY)
    proxy.add(Fault(Truncate(), only("get"), times=2))
    with pytest.raises(http.client.IncompleteRead) as caught:
        plain_get(server, proxy, "half")
    assert caught.value.partial == BODY[: len(BODY) // 2]
    client = store(server, proxy, retries=3)
    assert bytes(obstore.get(client, "half").bytes()) == BODY  # obstore asks for the rest


def test_another_bit_in_a_body(server: S3Server, proxy: FaultProxy) -> None:
    obstore.put(store(server, proxy), "bit", BODY)
    proxy.add(Fault(Corrupt(), only("get")))
    received = bytes(obstore.get(store(server, proxy), "bit").bytes())
    assert len(received) == len(BODY)
    assert sum((one ^ other).bit_count() for one, other in zip(received, BODY, strict=True)) == 1
    assert plain_get(server, proxy, "bit") == (200, BODY)


def test_a_listing_from_before(server: S3Server, proxy: FaultProxy) -> None:
    through = store(server, proxy, bucket="lake")
    obstore.put(through, "old", BODY)
    proxy.add(Fault(Stale(), only("list"), times=None))
    seen = []
    for name in ("new", "newer"):
        seen.append([one["path"] for one in obstore.list(through).collect()])
        obstore.put(through, name, BODY)
    proxy.clear()
    assert seen == [["old"], ["old"]]
    assert [one["path"] for one in obstore.list(through).collect()] == ["new", "newer", "old"]


def test_a_copy_that_fails_after_its_200(server: S3Server, proxy: FaultProxy) -> None:
    client = server.client(url=proxy.url)
    client.put_object(Bucket="lake", Key="image", Body=BODY)
    proxy.add(Fault(COPY_FAILED, only("copy")))
    with raises_code("InternalError"):
        client.copy_object(Bucket="staging", Key="copied", CopySource={"Bucket": "lake", "Key": "image"})
    with raises_code("404"):
        client.head_object(Bucket="staging", Key="copied")


def test_credentials_that_expire_on_the_way(server: S3Server, proxy: FaultProxy) -> None:
    client = server.client(url=proxy.url)
    proxy.add(Fault(EXPIRED_TOKEN, after=3, times=None))
    for number in range(3):
        client.put_object(Bucket="staging", Key=f"expiring/{number}", Body=BODY)
    for _ in range(2):
        with raises_code("ExpiredToken"):
            client.put_object(Bucket="staging", Key="expiring/3", Body=BODY)
    with raises_code("400"):  # a HEAD has no body to say more
        client.head_object(Bucket="staging", Key="expiring/0")


def test_many_at_once_share_the_faults_exactly(server: S3Server, proxy: FaultProxy) -> None:
    proxy.add(Fault(SLOW_DOWN, only("put"), times=7))
    through = store(server, proxy, retries=10)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: obstore.put(through, f"many/{number}", BODY), range(100)))
    assert sorted(one.status for one in proxy.exchanges) == [200] * 100 + [503] * 7
    assert proxy.moved("put")[0] == 107 * len(BODY)


def test_a_dead_server_is_a_broken_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with FaultProxy(f"http://127.0.0.1:{port}") as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=PATIENCE)
        connection.request("GET", "/staging/x")
        with pytest.raises(ConnectionError):
            connection.getresponse()
        connection.close()


def test_nothing_outlives_the_proxy(server: S3Server) -> None:
    before = threading.enumerate()
    with FaultProxy(server.url) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=PATIENCE)
        connection.request("GET", "/")
        connection.getresponse().read()  # and the connection stays open
    assert set(threading.enumerate()) <= set(before)
    assert connection.sock.recv(1) == b""  # closed by the proxy
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(proxy.url).hostname, urlsplit(proxy.url).port))
