"""Listings that lag behind writes, as those of some servers do: what is there is never reported as missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from polars import Series

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.demo.seaweedfs import S3Server
from registry.storage import cloud_listing
from registry.storage.base import Store
from registry.storage.open import open_store
from registry.sync import inventory
from support.repositories import md5
from support.servers.fault_proxy import Fault, FaultProxy, Stale, only

pytestmark = pytest.mark.s3

BATCH = 10
EARLY, LATE, NEVER = (
    [md5(b"%s %d" % (name, number)) for number in range(30)] for name in (b"early", b"late", b"never")
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    monkeypatch.setattr(cloud_listing, "ONE_BY_ONE", BATCH)
    monkeypatch.setattr(inventory, "BATCH", BATCH)
    with FaultProxy(server.url) as proxy:
        for name, value in server.env(url=proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy


def lagging(server: S3Server, proxy: FaultProxy, bucket: str) -> Store:
    """A bucket with EARLY and LATE objects, whose listings have the early ones only."""
    client, store = server.client(), open_store(Remote(f"s3://{bucket}"), Path())
    for name in EARLY:
        client.put_object(Bucket=bucket, Key=object_key(name), Body=b"")
    proxy.add(Fault(Stale(), only("list"), times=None))
    for md5s in (EARLY + LATE, EARLY, LATE, EARLY + LATE + NEVER, LATE + NEVER):  # each asks for other pages
        inventory.find_stored(store, Series(md5s))
    for name in LATE:
        client.put_object(Bucket=bucket, Key=object_key(name), Body=b"")
    return store


def test_what_a_listing_lacks_is_asked_for_one_by_one(server: S3Server, proxy: FaultProxy) -> None:
    store, wanted = lagging(server, proxy, "staging"), Series(EARLY + LATE)
    assert set(inventory.find_stored(store, wanted)["md5"]) == set(EARLY), "the listing lags"
    found = inventory.find_stored_surely(store, wanted)
    assert sorted(found["md5"]) == sorted(EARLY + LATE)
    assert set(inventory.find_stored_surely(store, Series(LATE))["md5"]) == set(LATE)


def test_what_is_really_absent_costs_few_requests(server: S3Server, proxy: FaultProxy) -> None:
    store = lagging(server, proxy, "production")
    before = proxy.counts()["head"]
    assert inventory.find_stored_surely(store, Series(NEVER)).height == 0
    assert proxy.counts()["head"] - before <= BATCH
    found = inventory.find_stored_surely(store, Series(EARLY + NEVER[:5]))
    assert set(found["md5"]) == set(EARLY)
