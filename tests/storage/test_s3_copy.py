"""Copies inside S3: their conditions, faults on the way, and services that ignore a condition."""

from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.demo.seaweedfs import S3Server
from registry.errors import NotFound, StorageFailed
from registry.storage import connection, retry
from registry.storage.open import open_store
from support.patience import FOR_EVER, PATIENCE
from support.repositories import md5
from support.s3_places import OLD, Places, body_of, count_copies
from support.servers import fault_proxy
from support.servers.fault_proxy import Fault, FaultProxy, Reset, only
from support.servers.http_wire import Request
from support.servers.resigning import ABSENT, EVERY, SOURCE, Ignoring

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
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
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
    places.use(client)
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    proxy.add(Fault(deed, only("copy"), times=4))
    assert set(places.state(*names)) <= {"copied", "present"}
    assert {key: places.production.get(key) for key in map(object_key, names)} == {
        object_key(md5(body_of(number))): body_of(number) for number in range(3)
    }


def test_a_request_that_timed_out_is_sent_again(
    places: Places, client: BaseClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "COPY_TIMEOUT", 0.5)
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.0)
    places.use(client)
    name = places.stage(client, md5(b"a"), b"a")

    def is_copy(request: Request) -> bool:
        if request.kind == "copy":
            monkeypatch.setattr(connection, "COPY_TIMEOUT", PATIENCE)  # for the connection of the second try
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
        (fault_proxy.Answer(403, "AccessDenied", "AKIAHUSH"), "access denied (writing, as access key …"),
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
    places.use(client)
    name = places.stage(client, md5(b"a"), b"a")
    proxy.add(Fault(deed, only("copy", key=object_key(name)), times=None))
    with pytest.raises(StorageFailed) as caught:
        places.state(name)
    assert str(caught.value).startswith(f"s3://production/{places.folder}/{object_key(name)}: {words}")
    assert caught.value.fix
    assert "AKIA" not in str(caught.value)
    assert not places.production.has(object_key(name))


def test_a_service_is_asked_without_a_change(places: Places, client: BaseClient) -> None:
    places.use(client)
    key = f"{places.folder}/{object_key(md5(OLD))}"
    before = client.head_object(Bucket="production", Key=key)["LastModified"]
    copier = places.production.copier_from(places.staging)
    assert copier
    assert copier.honours_conditions(object_key(md5(OLD)))
    assert client.head_object(Bucket="production", Key=key)["LastModified"] == before
    assert client.list_objects_v2(Bucket="production", Prefix=f"{places.folder}/")["KeyCount"] == 1


@pytest.mark.parametrize("ignored", [SOURCE, SOURCE | ABSENT], ids=["the source's ETag", "both"])
def test_a_service_that_ignores_the_condition_on_the_source_is_found(
    places: Places,
    client: BaseClient,
    proxy: FaultProxy,
    ignore: Ignoring,
    ignored: frozenset[str],
) -> None:
    places.use(client)
    proxy.add(Fault(ignore(ignored), times=None))
    copier = places.production.copier_from(places.staging)
    assert copier
    assert not copier.honours_conditions(object_key(md5(OLD)))
    assert places.production.get(object_key(md5(OLD))) == OLD


def test_where_a_service_overwrites_the_key_is_looked_up_first(
    places: Places, client: BaseClient, proxy: FaultProxy, ignore: Ignoring
) -> None:
    places.use(client)
    places.fill(client, 2)
    places.staging.put("there", b"there")
    proxy.add(Fault(ignore(ABSENT), times=None))
    copier = places.staging.copier_from(places.lake)
    assert copier
    assert copier.honours_conditions(object_key(md5(OLD)))
    assert copier.copy("00.jpg", "there", md5(body_of(0))) is None
    assert copier.copy("01.jpg", "a", md5(body_of(1))) == md5(body_of(1))
    assert (places.staging.get("there"), places.staging.get("a")) == (b"there", body_of(1))


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_a_service_that_refuses_to_be_asked_copies_nothing_itself(
    places: Places, client: BaseClient, proxy: FaultProxy, status: int
) -> None:
    places.use(client)
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    names.append(places.stage(client, md5(b"right"), b"wrong"))
    proxy.add(Fault(fault_proxy.Answer(status, "NotImplemented", "unknown header"), only("copy"), times=None))
    assert places.state(*names) == ["copied"] * 3 + ["corrupt"]
    assert count_copies(proxy) == 0
    assert not places.production.has(object_key(names[-1]))


@pytest.mark.parametrize("ignored", [SOURCE, SOURCE | ABSENT, ABSENT, EVERY])
def test_all_threads_wait_until_the_service_was_asked(
    places: Places,
    client: BaseClient,
    proxy: FaultProxy,
    ignore: Ignoring,
    ignored: frozenset[str],
) -> None:
    names = [places.stage(client, md5(body_of(number)), b"wrong") for number in range(70)]
    places.stage(client, md5(b"right"), b"right")
    proxy.add(Fault(ignore(ignored), times=None))
    assert places.state(*names) == ["corrupt"] * 70
    assert places.production.list()["key"].to_list() == []
