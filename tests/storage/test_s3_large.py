"""Large objects on S3: read in ranges, uploaded in parts, and copied after they were read."""

import errno
import os
from pathlib import Path
from random import Random

import pytest
from botocore.client import BaseClient

from registry.core.digests import object_key
from registry.errors import StorageFailed
from registry.storage import cloud, s3_copy
from registry.storage.local import Folder
from registry.storage.transfer import transfer
from support.object_folders import content
from support.repositories import md5
from support.s3_places import PART, Places, put_multipart
from support.servers.fault_proxy import Corrupt, Fault, FaultProxy, Rewrite

pytestmark = pytest.mark.s3


def test_a_multipart_upload_is_read_and_then_copied(used_places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    body = b"weights." * (PART // 4)
    name = md5(body)
    assert "-2" in put_multipart(client, f"{used_places.folder}/{object_key(name)}", body)
    proxy.clear()
    assert used_places.state(name) == ["copied"]
    assert (proxy.moved("get"), proxy.moved("put", "part")) == ((0, len(body)), (0, 0))
    assert used_places.production.get(object_key(name)) == body


def test_an_object_too_large_for_a_copy_is_read_and_written(
    places: Places, client: BaseClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_copy.ServerSideCopier, "max_bytes", PART)
    body = b"weights." * (PART // 4)
    name = md5(body)
    put_multipart(client, f"{places.folder}/{object_key(name)}", body)
    proxy.clear()
    assert places.state(name) == ["copied"]
    assert proxy.moved("put", "part") == (len(body), 0)
    assert places.production.get(object_key(name)) == body


def test_a_multipart_upload_is_complete_or_absent(
    places: Places, client: BaseClient, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_copy.ServerSideCopier, "max_bytes", PART)
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", PART)
    right, wrong = b"weights." * (PART // 2), b"weigh..." * (PART // 2)
    put_multipart(client, f"{places.folder}/{object_key(md5(right))}", right)
    put_multipart(client, f"{places.folder}/{object_key('0' * 32)}", wrong)
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


def test_a_large_object_is_read_in_ranges(
    places: Places, client: BaseClient, proxy: FaultProxy, in_parts: bytes
) -> None:
    name = places.stage(client, md5(in_parts), in_parts)
    proxy.clear()
    assert places.staging.get(object_key(name)) == in_parts
    assert [one.status for one in proxy.exchanges] == [200] + [206] * 124


def test_each_range_is_put_where_it_belongs(places: Places, client: BaseClient, in_parts: bytes) -> None:
    name, put = places.stage(client, md5(in_parts), in_parts), dict[int, bytes]()
    views = places.staging.fill(object_key(name), lambda offset, data: put.update({offset: bytes(data)}))
    assert b"".join(views) == in_parts
    assert {offset: in_parts[offset : offset + 1000] for offset in range(0, 123_456, 1000)} == put


@pytest.mark.parametrize("is_put", [False, True])
def test_a_large_object_replaced_while_it_is_read_is_reported(
    places: Places, client: BaseClient, in_parts: bytes, is_put: bool
) -> None:
    name, store = places.stage(client, md5(in_parts), in_parts), places.staging
    chunks = store.fill(object_key(name), lambda *_: None) if is_put else store.read(object_key(name))
    assert bytes(next(chunks)) == in_parts[:1000]
    places.stage(client, name, in_parts[::-1])
    with pytest.raises(StorageFailed, match="the object changed while it was read\n  hint: run the same command again"):
        list(chunks)


def test_ranges_of_another_length_are_not_put_together(
    places: Places, client: BaseClient, proxy: FaultProxy, in_parts: bytes, tmp_path: Path
) -> None:
    name = places.stage(client, md5(in_parts), in_parts)
    proxy.add(
        Fault(
            Rewrite(lambda part: part.replace(b": 1000\r", b": 999 \r")),
            lambda request: request.kind == "get",
            after=50,
        )
    )
    with pytest.raises(StorageFailed, match="the connection broke before the response was complete"):
        transfer(places.staging, Folder(tmp_path), [name])
    assert content(tmp_path) == {}


def test_a_disk_that_fails_in_the_middle_of_a_large_object_is_named(
    places: Places, client: BaseClient, in_parts: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, write, written = places.stage(client, md5(in_parts), in_parts), os.write, list[int]()

    def fail_later(file: int, data: memoryview) -> int:
        written.append(len(data))
        if len(written) > 50:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    monkeypatch.setattr(os, "write", fail_later)
    with pytest.raises(StorageFailed) as caught:
        transfer(places.staging, Folder(tmp_path), [name])
    assert caught.value.message == f"{tmp_path}/{object_key(name)}: no space left on device"
    assert content(tmp_path) == {}


def test_a_large_object_damaged_in_transmission_is_read_again(
    places: Places, client: BaseClient, proxy: FaultProxy, in_parts: bytes, tmp_path: Path
) -> None:
    name = places.stage(client, md5(in_parts), in_parts)
    proxy.add(Fault(Corrupt(), lambda request: request.kind == "get", after=50))
    done = transfer(places.staging, Folder(tmp_path), [name])
    assert done.rows() == [(name, len(in_parts), "copied")]
    assert Folder(tmp_path).get(object_key(name)) == in_parts
