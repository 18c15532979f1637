"""Stores that travel with tasks: each is opened once in a process, and keeps what it knows."""

import os
import pickle
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import pytest

from registry.core.digests import md5, object_key
from registry.core.settings import Remote
from registry.storage import local
from registry.storage.base import Store
from registry.storage.cache import Cache
from registry.storage.ingest import ingest
from registry.storage.lake_objects import Ingest
from registry.storage.local import Folder
from registry.storage.once import once
from registry.storage.open import open_store
from registry.storage.parallel import Cluster, parallel_map

S3 = {"endpointurl": "http://127.0.0.1:9", "access_key_id": "key", "secret_access_key": "secret"}
IMAGES = 300


class Elsewhere(Cluster):
    """Another process, as far as pickling goes: each task arrives as bytes."""

    workers, is_here = 1, True

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the task at once."""
        task, future = pickle.loads(pickle.dumps((fn, args, kwargs))), Future[Any]()
        future.set_result(task[0](*task[1], **task[2]))
        return future


def travelled(store: Store) -> Store:
    return pickle.loads(pickle.dumps(store))


@pytest.mark.parametrize(
    "remote",
    [Remote("objects"), Remote("s3://bucket/x", S3, "staging"), Remote("gs://bucket"), Remote("https://host/objects")],
    ids=lambda remote: remote.url.partition(":")[0],
)
def test_a_store_is_opened_once_in_a_process(tmp_path: Path, remote: Remote) -> None:
    store = open_store(remote, tmp_path)
    assert travelled(store) is travelled(store)
    assert travelled(store).url == store.url
    assert len(pickle.dumps(store)) < 500


def test_a_cache_stays_one_that_proves(tmp_path: Path) -> None:
    assert isinstance(travelled(Cache(tmp_path, None)), Cache)


def test_other_options_or_names_are_another_store(tmp_path: Path) -> None:
    """A message names the remote, and a login is the remote's own."""
    remotes = [
        Remote("s3://bucket", S3, "a"),
        Remote("s3://bucket", S3, "b"),
        Remote("s3://bucket", {**S3, "region": "x"}),
    ]
    assert len({id(travelled(open_store(remote, tmp_path))) for remote in remotes}) == len(remotes)


def test_a_copier_is_kept_with_its_connections(tmp_path: Path) -> None:
    lake, staging = (open_store(Remote(url, S3), tmp_path) for url in ("s3://lake", "s3://staging"))
    copier = pickle.dumps(staging.copier_from(lake))
    assert pickle.loads(copier) is pickle.loads(copier)


def test_threads_that_ask_at_once_get_the_same(tmp_path: Path) -> None:
    barrier, made = Barrier(8), list[Path]()

    def make(path: Path) -> list[Path]:
        made.append(path)
        return [path]

    def ask(_: int) -> int:
        barrier.wait()
        return id(once(make, tmp_path))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == len(made) == 1


class Count(NamedTuple):
    """A result for `parallel_map`."""

    moved: int


def put(store: Store, data: bytes) -> Count:
    store.put(object_key(md5(data)), data)
    return Count(len(data))


def test_a_folder_is_scanned_once_however_many_tasks_write_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task of 64 objects scanned nearly every folder again: a build's time grew with the square of its images."""
    scanned, scandir = Counter[str](), os.scandir
    monkeypatch.setattr(local.os, "scandir", lambda path: (scanned.update([str(path)]), scandir(path))[1])
    data = [f"image {number}".encode() for number in range(IMAGES)]
    parallel_map(partial(put, Folder(tmp_path / "a")), data, concurrency=4, executor=Elsewhere())
    assert set(scanned.values()) == {1}

    scanned.clear()
    lake, staging = Folder(tmp_path / "lake"), Folder(tmp_path / "staging")
    for number, image in enumerate(data):
        lake.put(f"{number}.jpg", image)
    objects = lake.find_many([f"{number}.jpg" for number in range(IMAGES)])
    scanned.clear()
    job = Ingest(lake, staging, Folder(tmp_path / "b"), sound, False)
    for store in (lake, staging, job.elsewhere):
        store.cluster = Elsewhere()
    found = ingest(job, objects)
    assert found["copied"].sum() == IMAGES
    assert set(scanned.values()) == {1}


def sound(key: str, data: bytes) -> None:
    """Every image is."""
