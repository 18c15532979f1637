"""Erasing in buckets with versions: all versions and delete markers go, whatever interrupts it; locks are told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.core.settings import Remote
from registry.demo.seaweedfs import BUCKETS, S3Server
from registry.errors import StorageFailed
from registry.storage.base import Store
from registry.storage.open import open_store
from support import repositories, s3_registry
from support.repositories import git_in
from support.s3_registry import MODEL, PETS, State, World

BUCKET = "versions"
KEYS = ("files/md5/00/11", "files/md5/00/22", "photos/é 1.jpg")
KILLS = """
import os, signal, sys
from pathlib import Path
from registry.core.settings import Remote
from registry.storage import s3_versions
from registry.storage.open import open_store
left, plain = [int(sys.argv[1])], s3_versions._delete
def delete(*args):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    plain(*args)
s3_versions._delete = delete
open_store(Remote(sys.argv[2]), Path()).erase(sys.argv[3:])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(
        tmp_path_factory.mktemp("s3"), policies={"denied": {"Version": "2012-10-17", "Statement": []}}
    ) as one:
        one.client().create_bucket(Bucket=BUCKET)
        versioned = {"Status": "Enabled"}
        one.client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioned)
        one.client().create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
        yield one


@pytest.fixture
def store(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket in which each key has two versions, the first also a delete marker, and a neighbour has its name."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    for key in (*KEYS, f"{KEYS[0]}.dir"):
        for body in (b"one", b"other"):
            server.client().put_object(Bucket=BUCKET, Key=f"data/{key}", Body=body)
    server.client().delete_object(Bucket=BUCKET, Key=f"data/{KEYS[0]}")
    return open_store(Remote(f"s3://{BUCKET}/data"), Path())


def versions(server: S3Server, bucket: str = BUCKET) -> set[str]:
    """The keys that have a version or a delete marker."""
    found = server.client().list_object_versions(Bucket=bucket)
    return {row["Key"] for row in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))}


def test_all_versions_of_a_key_are_deleted_and_no_other_key(server: S3Server, store: Store) -> None:
    store.delete([KEYS[1]])
    assert f"data/{KEYS[1]}" in versions(server)  # what a plain deletion leaves
    store.erase([*KEYS, "absent"])
    assert versions(server) == {f"data/{KEYS[0]}.dir"}


@pytest.mark.parametrize("deleted", [0, 1, 3, 6])
def test_killed_at_any_point_a_second_run_finishes(server: S3Server, store: Store, deleted: int) -> None:
    args = [sys.executable, "-c", KILLS, str(deleted), f"s3://{BUCKET}/data", *KEYS]
    killed = repositories.sh(Path.cwd(), *args, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert versions(server) > {f"data/{KEYS[0]}.dir"}
    store.erase(KEYS)
    assert versions(server) == {f"data/{KEYS[0]}.dir"}


def test_a_login_that_may_not_is_told(server: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.env("denied").items():
        monkeypatch.setenv(name, value)
    other = open_store(Remote(f"s3://{BUCKET}/data"), Path())
    with pytest.raises(StorageFailed, match="could not be erased: AccessDenied"):
        other.erase(KEYS)


def test_what_object_lock_holds_is_told(server: S3Server, store: Store) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    server.client().put_object(Bucket="locked", Key="a", Body=b"held", **lock)
    with pytest.raises(StorageFailed, match=r"a could not be erased: |versions are still there"):
        open_store(Remote("s3://locked"), Path()).erase(["a"])
    assert versions(server, "locked") == {"a"}


def test_a_bucket_without_versions_is_emptied_too(server: S3Server, store: Store) -> None:
    server.client().put_object(Bucket="staging", Key="a/b", Body=b"x")
    plain = open_store(Remote("s3://staging/a"), Path())
    plain.erase(["b"])
    assert not plain.has("b")


# --- the command ------------------------------------------------------------------------------------------------------

ERASED, CASE = s3_registry.uuid(2), "DSR-2026-041"
DELETE = ("erase", ERASED, "--case", CASE, "--delete")
COMMAND = """
import os, signal, sys
from registry.cli import main
from registry.storage import s3_versions
left, plain = [int(sys.argv[1])], s3_versions._delete
def delete(*args):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    plain(*args)
s3_versions._delete = delete
sys.exit(main.run(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry on three buckets with versions, whose 1.0.0 and 1.0.1 are published; the tombstone is merged."""
    with s3_registry.open_world(tmp_path_factory.mktemp("world")) as world:
        for bucket in BUCKETS:
            world.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3_registry.select(world)
        world.must("build", PETS)
        world.must("pull", PETS)
        repositories.commit(world.root, "datasets/pets 1.0.0")
        repositories.model(world.root, "pets", b"weights of 1.0.0", "1.0.0")
        world.must("check", "--fix")
        repositories.merge(world.root, f"{MODEL} 1.0.0")
        world.must("push")
        world.must("publish")
        world.must("erase", ERASED, "--case", CASE, "--approved-by", "@acme/privacy")
        repositories.merge(world.root, "Erase")
        git_in(world.root, "fetch", "--quiet")
        world.must("push")
        world.must("publish")
        yield world


@pytest.fixture(scope="module")
def merged(world: World) -> State:
    return world.keep("merged")


def objects_of_it(world: World) -> dict[str, set[str]]:
    """The keys of the image, by bucket, that have a version or a delete marker."""
    md5 = repositories.md5(s3_registry.picture(2))
    keys = {f"{ERASED}.jpg", f"files/md5/{md5[:2]}/{md5[2:]}"}
    return {bucket: keys & _all_versions(world, bucket) for bucket in BUCKETS}


def _all_versions(world: World, bucket: str) -> set[str]:
    found = world.client.list_object_versions(Bucket=bucket)
    return {row["Key"] for row in (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))}


def run_delete(world: World, count: int, *start: str) -> subprocess.CompletedProcess[str]:
    typed, command = f"{CASE}\n{count}\n", [sys.executable, *start, *DELETE]
    env = {**os.environ, **world.env}
    return subprocess.run(command, cwd=world.root, env=env, input=typed, text=True, capture_output=True)


def count_of(world: World) -> int:
    lines = world.must(*DELETE, "--dry-run").out.splitlines()[1:]
    return sum(int(line.split()[-2]) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("deleted", [0, 2, 5])
def test_the_command_is_killed_and_a_second_one_finishes(world: World, merged: State, deleted: int) -> None:
    world.enter(merged)
    assert all(objects_of_it(world).values())
    killed = run_delete(world, count_of(world), "-c", COMMAND, str(deleted))
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert any(objects_of_it(world).values())
    world.must("fsck", "--all-tags")
    done = run_delete(world, count_of(world), "-m", "registry")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(objects_of_it(world).values())
    assert count_of(world) == 0
    assert f"{PETS}@v1.0.0: " in world.must("fsck", "--all-tags", "--deep").out
