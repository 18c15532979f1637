"""The life of a registry on S3 servers that are not SeaweedFS, on Azure and on Google, with DVC as the consumer.

Besides rclone, on any server: `REGISTRY_TEST_S3=http://HOST:PORT make test ARGS=tests/servers/test_life.py`, with keys
in the environment that may make the buckets lake, staging and production there; these have to be empty.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import repositories
from support.cloud_registry import open_cloud
from support.patience import PATIENCE
from support.s3_registry import IMAGES, PETS, World, picture, select
from support.servers import any_s3
from support.servers.any_s3 import ENDPOINT
from support.servers.fault_proxy import FaultProxy

CLOUDS = ["azure", "gs"]
SERVERS = ["rclone", *CLOUDS, *(["own"] if os.environ.get(ENDPOINT) else [])]
CAT, DOG = (repositories.md5(picture(number)) for number in range(2))


@pytest.fixture(params=SERVERS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A registry with a selection, and its lake."""
    with ExitStack() as stack:
        if request.param in CLOUDS:
            made: World = stack.enter_context(open_cloud(request.param, tmp_path))
            select(made)
            yield made
            return
        is_own = request.param == "own"
        server = any_s3.own() if is_own else stack.enter_context(any_s3.rclone(tmp_path / "server"))
        proxy = stack.enter_context(FaultProxy(server.url))
        made = World(server, proxy, tmp_path)
        select(made)
        yield made


def key(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def dvc(world: World, folder: Path, *args: str) -> None:
    """DVC itself, as a consumer runs it."""
    env = {**os.environ, **world.env}
    command = (sys.executable, "-m", "dvc", *args)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def images(folder: Path) -> int:
    return len(list(folder.rglob("*.jpg")))


def release(world: World, version: str) -> None:
    """Build, check, push and publish what the manifest says."""
    world.must("build", PETS)
    world.must("check", "--fix")
    repositories.commit(world.root, version)
    repositories.git_in(world.root, "push", "--quiet", "origin", "main")
    world.must("check", "--all", "--remote")
    world.must("push")
    assert world.must("publish").out.splitlines()[-1].startswith("published: ")
    assert f"{PETS}@v{version}: already published" in world.must("publish").out


def test_a_registry_lives(world: World) -> None:
    release(world, "1.0.0")
    world.must("pull")
    consume(world)
    manifest = world.root / PETS / "dataset.yaml"
    text = manifest.read_text().replace("version: 1.0.0", "version: 2.0.0")
    manifest.write_text(text.replace("salt: pets", "salt: other"))
    release(world, "2.0.0")
    for args in (("fsck",), ("fsck", "--all-tags"), ("fsck", "--deep"), ("gc", "--plan")):
        world.must(*args)
    lose_and_find(world)
    assert world.broken_promises() == []
    world.must("withdraw", PETS, "1.0.0", "--why", "bad labels")


def consume(world: World) -> None:
    """Every way in which DVC takes a version."""
    there, origin = world.folder / "consumer", f"file://{world.origin}"
    repositories.git_in(world.folder, "clone", "--quiet", origin, str(there))
    dvc(world, there, "pull", "--quiet")
    assert images(there / PETS / "prepared") == IMAGES
    dvc(world, world.folder, "get", origin, f"{PETS}/prepared", "--rev", f"{PETS}@v1.0.0", "--out", "got")
    dvc(world, world.folder, "artifacts", "get", origin, PETS, "--rev", "v1.0.0", "--out", "artifact")
    other = world.folder / "other"
    other.mkdir()
    repositories.git_in(other, "init", "--quiet")
    dvc(world, other, "init", "--quiet")
    dvc(world, other, "import", "--quiet", origin, f"{PETS}/prepared", "--rev", f"{PETS}@v1.0.0")
    for folder in (world.folder / "got", world.folder / "artifact", other / "prepared"):
        assert images(folder) == IMAGES, folder
        shutil.rmtree(folder)


def lose_and_find(world: World) -> None:
    """An object is missing from production, another one corrupt; a corrupt one in staging never goes there."""
    world.lose("production", key(CAT))
    assert f"{world.scheme}://production/{key(CAT)} is missing" in world.run("fsck").out
    world.must("fsck", "--repair", "staging")
    world.put("production", key(DOG), picture(5))
    found = world.run("fsck", "--deep", "--repair", "staging")
    assert "checksum mismatch" in found.out
    assert "  then: registry fsck --repair staging\n" in found.out
    world.lose("production", key(DOG))
    world.put("staging", key(DOG), picture(5))
    world.run("fsck", "--repair", "staging")
    assert world.get("production", key(DOG)) is None, "a corrupt object is not copied"
    world.put("staging", key(DOG), picture(1))
    world.must("fsck", "--repair", "staging")
    world.must("fsck", "--deep")
