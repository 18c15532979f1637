"""How many threads read a bucket: as many as its latency asks for."""

from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from registry.core.digests import object_key
from registry.storage import cloud, transfer
from registry.storage.local import Folder
from support.repositories import md5
from support.s3_places import Places, body_of
from support.servers.fault_proxy import Fault, FaultProxy, Wait

pytestmark = pytest.mark.s3


def test_the_farther_a_bucket_is_the_more_threads_read_it() -> None:
    assert [cloud.count_readers(seconds) for seconds in (0, 0.001, 0.005, 0.01, 0.02, 1)] == [16, 16, 16, 32, 64, 64]


def test_a_distant_bucket_is_read_by_all_threads(places: Places, client: BaseClient, proxy: FaultProxy) -> None:
    name = places.stage(client, md5(b"far"), b"far")
    proxy.add(Fault(Wait(0.02), times=None))
    for _ in range(2):
        assert places.staging.get(object_key(name)) == b"far"
        assert places.staging.readers == 64


def test_many_objects_are_read_when_it_is_known_how_near_they_are(
    places: Places, client: BaseClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "READERS_PER_SECOND", 0)
    inner, seen = transfer.parallel_map, list[tuple[int, int]]()
    names = [places.stage(client, md5(body_of(number)), body_of(number)) for number in range(70)]

    def watch(work: Any, items: list[str], *, concurrency: int, **options: Any) -> Any:
        seen.append((len(items), concurrency))
        return inner(work, items, concurrency=concurrency, **options)

    monkeypatch.setattr(transfer, "parallel_map", watch)
    done = transfer.transfer(places.staging, Folder(tmp_path), names)
    assert done["state"].to_list() == ["copied"] * 70
    assert seen == [(1, 64), (1, 16), (68, 16), (0, 16)]
