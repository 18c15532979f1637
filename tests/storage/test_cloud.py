"""Buckets of a real S3 server, found as people find theirs: by the environment, or by `.dvc/config`."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.demo.seaweedfs import S3Server
from registry.errors import NotFound, StorageFailed
from registry.storage import cloud, cloud_config, cloud_listing
from registry.storage.base import Store, StoredObject
from registry.storage.open import open_store
from registry.storage.transfer import transfer
from support.repositories import md5

pytestmark = pytest.mark.s3

BODIES = (b"a cat", b"a dog", b"a fox")


@pytest.fixture(autouse=True)
def _environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server and the keys by environment variables; nothing in them says that plain HTTP is fine."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ALLOW_HTTP")


def bucket(name: str, test: pytest.FixtureRequest, **options: str) -> Store:
    """A place in a bucket that no other test uses."""
    return open_store(Remote(f"s3://{name}/{test.node.name}", options), Path())


def test_a_bucket_is_written_once_listed_and_read(request: pytest.FixtureRequest) -> None:
    store = bucket("lake", request)
    assert [store.put(f"images/{number}.jpg", body) for number, body in enumerate(BODIES)] == [True] * 3
    assert not store.put("images/0.jpg", b"another cat")
    assert store.get("images/0.jpg") == b"".join(store.read("images/0.jpg")) == b"a cat"
    assert store.list("images").select("key", "size", "etag").rows() == [
        (f"images/{number}.jpg", 5, md5(body)) for number, body in enumerate(BODIES)
    ]
    assert store.find_many(["images/1.jpg", "images/9.jpg"])["key"].to_list() == ["images/1.jpg"]


@pytest.mark.parametrize("page", [1, 4, 1000])
def test_many_objects_are_listed_as_far_as_that_is_cheaper(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(cloud_listing, "ONE_BY_ONE", 4)
    monkeypatch.setattr(cloud_listing, "PAGE", page)
    store = bucket("lake", request)
    there = [f"{folder}{number}.jpg" for folder in ("", "a/", "a/b/", "c/") for number in range(8)]
    for key in there:
        store.put(key, key.encode())
    asked = [key for key in there if key != "c/0.jpg"]
    lost = ["8.jpg", "a/8.jpg", "a/b/8.jpg", "d/0.jpg", "d/1.jpg", "d/2.jpg", "e/0.jpg"]
    found = store.find_many([*lost, *asked, *asked])
    assert sorted(found["key"]) == sorted(asked)
    assert found["size"].to_list() == [len(key) for key in found["key"]]
    assert store.find_many(lost).is_empty()


def test_a_listing_begins_at_the_first_folder_that_is_asked_for(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ONE_BY_ONE": 4, "FEW_IN_FOLDER": 0, "PAGE": 4, "PAGE_COST": 0}.items():
        monkeypatch.setattr(cloud_listing, name, value)
    store = bucket("lake", request)
    there = [f"objects/{folder}/{number}" for folder in ("00", "0f", "10", "1a", "1b") for number in range(3)]
    for key in there:
        store.put(key, key.encode())
    listed, pages = set[str](), cloud.Bucket._list_pages

    def record(*args: Any, **more: Any) -> Iterator[list[StoredObject]]:
        for page in pages(*args, **more):
            listed.update(one.key for one in page)
            yield page

    monkeypatch.setattr(cloud.Bucket, "_list_pages", record)
    assert sorted(store.find_many([*there[6:12], "objects/11/0"])["key"]) == there[6:12]
    assert listed.isdisjoint(there[:6])
    assert sorted(store.find_many(there[:9])["key"]) == there[:9]


def test_a_missing_object_is_not_found_and_a_missing_bucket_is_a_failure(request: pytest.FixtureRequest) -> None:
    store = bucket("lake", request)
    assert not store.has("images/0.jpg")
    for ask in (store.get, store.head):
        with pytest.raises(NotFound, match=r"images/0\.jpg does not exist"):
            ask("images/0.jpg")
    with pytest.raises(StorageFailed, match=r"s3://nobodys.*: the bucket does not exist"):
        bucket("nobodys", request).require_readable()


def test_objects_move_between_two_buckets(request: pytest.FixtureRequest) -> None:
    staging, production = bucket("staging", request), bucket("production", request)
    names = [md5(body) for body in BODIES]
    for name, body in zip(names, BODIES, strict=True):
        staging.put(object_key(name), body)
    damaged = md5(b"what it should be")
    staging.put(object_key(damaged), b"what it is")
    done = dict(transfer(staging, production, [*names, damaged]).select("md5", "state").rows())
    assert done == {**dict.fromkeys(names, "copied"), damaged: "corrupt"}
    assert set(production.list()["key"]) == set(map(object_key, names))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "endpointurl"])
def test_the_endpoint_is_where_dvc_finds_it(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, variable: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # the weakest of the three
    options = {"endpointurl": server.url} if variable == "endpointurl" else {}
    if not options:
        monkeypatch.setenv(variable, server.url)
    assert bucket("lake", request, **options).put("a", b"here")


def test_a_wrong_secret_is_reported_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    store = bucket("lake", request)
    for ask in (store.require_readable, lambda: store.get("a"), lambda: store.has("a"), lambda: store.put("a", b"")):
        with pytest.raises(StorageFailed, match="the signature does not match") as caught:
            ask()
        assert "hush" not in f"{caught.value}{caught.value.__cause__}"


def test_an_unreachable_server_is_reported(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    backoff = cloud_config.RETRIES["backoff"]
    waits = [
        backoff["init_backoff"] * backoff["base"] ** number for number in range(cloud_config.RETRIES["max_retries"])
    ]
    assert sum(min(wait, backoff["max_backoff"]).total_seconds() for wait in waits) < 15
    quick = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    monkeypatch.setattr(cloud_config, "RETRIES", {**cloud_config.RETRIES, "backoff": quick})
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    store = bucket("lake", request, endpointurl=f"http://127.0.0.1:{port}")
    with pytest.raises(StorageFailed, match="the connection was refused: no server listens at that port"):
        store.get("a")
