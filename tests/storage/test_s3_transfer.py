"""Transfers inside S3: what they read, what they prove, and what an attacker cannot get through."""

import pytest
from botocore.client import BaseClient

from registry.core.digests import object_key
from registry.errors import StorageFailed
from support.repositories import md5
from support.s3_places import OLD, PART, Places, body_of, count_copies, hide_md5s, put_multipart
from support.servers import fault_proxy
from support.servers.fault_proxy import Fault, FaultProxy, Rewrite, only
from support.servers.http_wire import Request

pytestmark = pytest.mark.s3


def test_a_transfer_reads_nothing(used_places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    listing = b"[]"
    names = [used_places.stage(client, md5(body_of(number)), body_of(number)) for number in range(20)]
    names.append(used_places.stage(client, f"{md5(listing)}.dir", listing))
    assert used_places.state(*names) == ["copied"] * 21
    assert (proxy.counts()["get"], count_copies(proxy)) == (0, 21)
    assert [one.key for one in proxy.exchanges if one.kind == "copy"][-1].endswith(".dir")
    proxy.clear()
    assert used_places.state(*names) == ["present"] * 21
    assert set(proxy.counts()) <= {"head", "list"}


def test_a_wrong_body_under_a_right_name_is_not_copied(used_places: Places, client: BaseClient) -> None:
    right = used_places.stage(client, md5(b"right"), b"right")
    wrong = used_places.stage(client, md5(b"what it should be"), b"what it is")
    parts = md5(b"what the parts should be")
    put_multipart(client, f"{used_places.folder}/{object_key(parts)}", b"evil" * (PART // 3))
    held = used_places.stage(client, f"{md5(b'[]')}.dir", b"[]")
    gone = md5(b"gone")
    assert used_places.state(right, wrong, parts, gone, held) == ["copied", "corrupt", "corrupt", "missing", "skipped"]
    assert used_places.production.list()["key"].to_list() == sorted(map(object_key, (right, md5(OLD))))


def test_a_body_replaced_between_check_and_copy_is_not_copied(
    used_places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    name = used_places.stage(client, md5(b"right"), b"right")

    def swap(request: Request) -> bool:
        if request.kind == "copy":
            used_places.stage(client, name, b"wrong")
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, swap))
    assert used_places.state(name) == ["corrupt"]
    assert not used_places.production.has(object_key(name))


def test_a_body_replaced_after_it_was_read_is_not_copied(
    used_places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    body = bytes(2 * PART)
    name, key = md5(body), f"{used_places.folder}/{object_key(md5(body))}"
    put_multipart(client, key, body)
    kinds: list[str] = []

    def swap(request: Request) -> bool:
        if request.kind == "copy" and "get" in kinds:
            used_places.stage(client, name, b"wrong")
        kinds.append(request.kind)
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, swap))
    assert used_places.state(name) == ["corrupt"]
    assert kinds.count("copy") > 1
    assert not used_places.production.has(object_key(name))


def test_where_production_hides_its_etags_every_copy_is_read(
    used_places: Places, client: BaseClient, proxy: FaultProxy
) -> None:
    parts = bytes(2 * PART)
    put_multipart(client, f"{used_places.folder}/{object_key(md5(parts))}", parts)
    names = [used_places.stage(client, md5(body_of(number)), body_of(number)) for number in range(3)]
    in_production = lambda request: request.bucket == "production" and request.kind in {"copy", "head"}  # noqa: E731
    proxy.add(Fault(Rewrite(hide_md5s), in_production, times=None))
    assert used_places.state(*names, md5(parts)) == ["copied"] * 4
    assert sorted(one.bucket for one in proxy.exchanges if one.kind == "get") == ["production"] * 4 + ["staging"]


def test_a_corrupt_copy_is_reported(used_places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    name = used_places.stage(client, md5(b"right"), b"right")

    def spoil(data: bytes) -> bytes:
        client.put_object(Bucket="production", Key=f"{used_places.folder}/{object_key(name)}", Body=b"wrong")
        return hide_md5s(data)

    proxy.add(Fault(Rewrite(spoil), only("copy")))
    with pytest.raises(StorageFailed, match="checksum mismatch"):
        used_places.state(name)


def test_what_is_in_production_is_never_overwritten(used_places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    name = used_places.stage(client, md5(b"right"), b"right")
    key = f"{used_places.folder}/{object_key(name)}"

    def race(request: Request) -> bool:
        if request.kind == "copy" and request.number:
            client.put_object(Bucket="production", Key=key, Body=b"right", Metadata={"by": "another"})
        return False

    proxy.add(Fault(fault_proxy.SLOW_DOWN, race))
    assert used_places.state(name) == ["present"]
    assert client.head_object(Bucket="production", Key=key)["Metadata"] == {"by": "another"}
