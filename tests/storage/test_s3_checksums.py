"""Uploads to S3 carry a checksum: AWS refuses those without one where Object Lock has a default retention."""

from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.storage import cloud
from registry.storage.open import open_store
from registry.storage.transfer import replace, transfer
from support.repositories import md5
from support.s3_places import PART, Places
from support.servers.fault_proxy import Answer, Fault, FaultProxy
from support.servers.http_wire import Request

pytestmark = pytest.mark.s3

UPLOADS = {"put", "part", "begin"}
DEMAND = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"


def lacks_checksum(request: Request) -> bool:
    """Whether AWS refuses it under Object Lock."""
    names = {"content-md5", "x-amz-checksum-sha256", "x-amz-checksum-algorithm"}
    return request.kind in UPLOADS and not names & request.headers.keys()


def has_checksum(request: Request) -> bool:
    """Whether a server refuses it that does not know these headers."""
    return any(name.startswith("x-amz-checksum-") for name in request.headers)


@pytest.fixture
def locked(proxy: FaultProxy) -> FaultProxy:
    proxy.add(Fault(Answer(400, "InvalidRequest", DEMAND), lacks_checksum, times=None))
    return proxy


@pytest.mark.usefixtures("locked")
def test_every_upload_has_one(places: Places, client: BaseClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.production.put("one", b"one")
    places.production.replace("one", lambda: iter([b"two"]))
    name = places.stage(client, md5(b"restored"), b"restored")
    assert transfer(places.staging, places.production, [name])["state"].to_list() == ["copied"]
    assert replace(places.staging, places.production, [name])["state"].to_list() == ["copied"]
    monkeypatch.setattr(cloud, "SINGLE_REQUEST", 1 << 20)
    large = bytes(range(256)) * (PART // 128)
    assert places.production.write(object_key(md5(large)), lambda: iter([large[:PART], large[PART:]]))
    assert places.production.get(object_key(md5(large))) == large


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_server_that_does_not_know_the_header_gets_none(
    places: Places, proxy: FaultProxy, status: int, code: str
) -> None:
    proxy.add(Fault(Answer(status, code, "unsupported header x-amz-checksum-sha256"), has_checksum, times=None))
    for number in range(3):
        assert places.production.put(f"{number}", b"%d" % number)
        assert places.production.get(f"{number}") == b"%d" % number
    statuses = [one.status for one in proxy.exchanges if one.kind == "put"]
    assert statuses[-3:] == [200] * 3
    assert set(statuses[:-3]) == {status}, "only the first was refused"


@pytest.mark.usefixtures("locked")
def test_a_bucket_with_a_default_retention_takes_uploads(client: BaseClient) -> None:
    """SeaweedFS retains, verifies the checksum and keeps it; the proxy demands it, as AWS does."""
    client.create_bucket(Bucket="retained", ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    config = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket="retained", ObjectLockConfiguration=config)
    assert open_store(Remote("s3://retained"), Path()).put("one", b"one")
    assert client.get_object_retention(Bucket="retained", Key="one")["Retention"]["Mode"] == "GOVERNANCE"
    kept = client.head_object(Bucket="retained", Key="one", ChecksumMode="ENABLED")["ChecksumSHA256"]
    assert b64decode(kept) == sha256(b"one").digest()
