"""Ingest from a lake on S3: a sample is read, the rest is copied, and wrong ETags are found."""

import pytest
from botocore.client import BaseClient

from registry.storage.ingest import SAMPLE, sample_order
from support.repositories import md5
from support.s3_places import Places, body_of, count_copies, hide_md5s
from support.servers import fault_proxy
from support.servers.fault_proxy import Fault, FaultProxy, Rewrite
from support.servers.http_wire import Request

pytestmark = pytest.mark.s3


def test_of_a_lake_with_plain_etags_a_sample_is_read(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    places.fill(client, 30)
    rows = places.ingest()
    assert [(key, name) for key, name, *_ in rows] == [(f"{n:02}.jpg", md5(body_of(n))) for n in range(30)]
    assert [sum(column) for column in zip(*(row[2:] for row in rows), strict=True)] == [SAMPLE, 30]
    assert proxy.moved("get") == (0, SAMPLE * len(body_of(0)))
    assert count_copies(proxy) == 30 - SAMPLE
    assert places.staged(client) == {md5(body_of(number)): md5(body_of(number)) for number in range(30)}
    proxy.clear()
    assert sum(copied for *_, copied in places.ingest()) == 0
    assert (proxy.counts()["get"], proxy.counts()["copy"]) == (SAMPLE, 0)


def test_of_a_lake_whose_etags_only_look_like_md5s_everything_is_read(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    places.fill(client, 20)
    proxy.add(Fault(Rewrite(hide_md5s), lambda request: request.bucket == "lake", times=None))
    rows = places.ingest()
    assert [(name, inspected) for _, name, inspected, _ in rows] == [(md5(body_of(n)), True) for n in range(20)]
    assert proxy.counts()["copy"] == 0
    assert places.staged(client) == {md5(body_of(number)): md5(body_of(number)) for number in range(20)}


def test_one_wrong_etag_is_detected_by_the_copy(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
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


def test_an_image_that_is_changed_or_deleted_after_the_listing(
    places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
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
