"""Commands on a Dask cluster over TCP: killed workers and schedulers, other versions, missing rights, two clients.

A few rounds with SIGKILL run with the other tests; CLUSTER_KILLS=20 in the environment runs as many.
"""

import os
import random
import re
import shlex
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import cloudpickle
import pytest
from dask import config as dask_config
from distributed import Security
from distributed.cli import dask_scheduler, dask_worker
from polars import Series

from registry.core.schedulers import Scheduler
from registry.core.settings import Remote
from registry.dataset import validation_cache
from registry.dataset.near_duplicates import fingerprints
from registry.errors import ClusterFailed
from registry.storage import cluster, transfer
from registry.storage.open import open_store
from registry.storage.parallel import parallel_map
from registry.storage.reader import ObjectReader
from support import pages, repositories
from support.dask_cluster import DaskCluster
from support.patience import PATIENCE
from support.repositories import Outcome
from support.s3_registry import IMAGES, PROJECT, Scene, World, picture
from support.servers.fault_proxy import Fault, Wait
from support.servers.http_wire import Request

pytestmark = pytest.mark.cluster

SPREAD = ("build", "publish", "fsck")
KILLS = int(os.environ.get("CLUSTER_KILLS", "3"))


@pytest.fixture(scope="module")
def _processes(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with DaskCluster(tmp_path_factory.mktemp("dask"), world.env) as made:
        yield made


@pytest.fixture
def dask(_processes: DaskCluster) -> DaskCluster:
    """The scheduler and two workers, whatever the test before has killed."""
    _processes.start()
    return _processes


@pytest.fixture
def without_workers(_processes: DaskCluster) -> DaskCluster:
    """The scheduler alone."""
    _processes.kill_workers()
    _processes.start(0)
    return _processes


def on(dask: DaskCluster, scene: Scene) -> tuple[str, ...]:
    return (*scene.args, "--scheduler", dask.address)


def at_request(world: World, number: int, heads: Sequence[int], how: signal.Signals = signal.SIGKILL) -> None:
    """Signal these process groups when the command, or a worker for it, makes that request."""
    count = 0

    def watch(_: Request) -> bool:
        nonlocal count
        count += 1
        if count == number:
            for pid in heads:
                os.killpg(pid, how)
        return False

    world.proxy.add(Fault(Wait(0), watch, times=None))


def require_whole(world: World, scene: Scene, done: Outcome) -> None:
    assert done.code == 0, done.err
    assert world.trace() == scene.end


def require_promises(world: World, scene: Scene) -> None:
    if scene.name != "fsck":  # it begins with a broken one
        assert world.broken_promises() == []
    assert world.wrong_objects() == []


# --- undisturbed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*SPREAD, "check"])
def test_a_cluster_gives_what_threads_give(
    world: World, played: Mapping[str, Scene], dask: DaskCluster, command: str
) -> None:
    scene = played[command]
    world.enter(scene.begin)
    done = world.run(*on(dask, scene))
    require_whole(world, scene, done)
    assert "distributed" not in done.err


def test_images_are_validated_in_workers(world: World, played: Mapping[str, Scene], dask: DaskCluster) -> None:
    world.enter(played["fsck"].begin)
    (world.root / validation_cache.PATH).unlink()
    world.proxy.clear()
    world.must("check", "--images", "--scheduler", dask.address)
    read = [one.key for one in world.proxy.exchanges if one.kind == "get" and one.key.startswith("files/")]
    assert len(set(read)) >= IMAGES


def test_a_catalog_and_near_duplicates_are_those_of_threads(
    world: World, played: Mapping[str, Scene], dask: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter(played["fetch"].begin)
    settings = world.root / "registry.yaml"
    settings.write_text(f"{settings.read_text()}catalog: {{images: all}}\n")
    for place in ("none", dask.address):
        world.must("catalog", "build", "--out", str(tmp_path / place[:4]), "--scheduler", place)
    assert repositories.snapshot(tmp_path / "none") == repositories.snapshot(tmp_path / "tcp:")

    for name, value in world.env.items():
        monkeypatch.setenv(name, value)
    stores = [open_store(Remote(f"s3://{name}"), tmp_path) for name in ("staging", "production")]
    md5s = Series([repositories.md5(picture(number)) for number in range(IMAGES)])
    found = [fingerprints(md5s, ObjectReader(stores), tmp_path / "here", lambda *_: None)]
    with cluster.connect(Scheduler(dask.address)) as engine:
        for store in stores:
            store.cluster = engine
        found.append(fingerprints(md5s, ObjectReader(stores), tmp_path / "there", lambda *_: None))
    assert found[0].height == IMAGES
    assert found[0].sort("md5").equals(found[1].sort("md5"))


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(KILLS))
def test_nothing_is_lost(world: World, played: Mapping[str, Scene], dask: DaskCluster, number: int) -> None:
    """A worker or the scheduler is killed in the middle of a command; the same command finishes the work."""
    chance = random.Random(20261130 + number)
    scene = played[SPREAD[number % len(SPREAD)]]
    of_scheduler = number % 2 == 1
    victim = dask.scheduler if of_scheduler else dask.workers[0]
    assert victim
    world.enter(scene.begin)
    at_request(world, chance.randint(scene.requests // 4, scene.requests * 3 // 4), [victim.pid])
    done = world.run(*on(dask, scene))
    assert victim.poll() == -signal.SIGKILL
    require_promises(world, scene)
    if of_scheduler:
        assert done.code == 0 or "the connection to tcp://" in done.err, done.err
    else:
        assert done.code == 0, done.err  # the other worker does its tasks
    world.proxy.clear()
    dask.start()
    require_whole(world, scene, world.run(*on(dask, scene)))


@pytest.mark.parametrize("place", ["tcp", "local:1"])
def test_ctrl_c(world: World, played: Mapping[str, Scene], dask: DaskCluster, place: str) -> None:
    """A terminal sends it to the processes of this machine, too."""
    scene = played["publish"]
    world.enter(scene.begin)
    process = world.start(*scene.args, "--scheduler", dask.address if place == "tcp" else place)
    at_request(world, scene.requests // 2, [process.pid], signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err.splitlines()[-2:]) == (
        130, ["interrupted", "  hint: run the same command again to continue"]
    )  # fmt: skip
    assert not {"Traceback", "CANCELLED", "distributed"} & set(err.replace(":", " ").split())
    require_promises(world, scene)
    world.proxy.clear()
    require_whole(world, scene, world.run(*on(dask, scene)))


def test_a_command_whose_workers_are_all_gone_ends(
    world: World, played: Mapping[str, Scene], dask: DaskCluster
) -> None:
    scene = played["publish"]
    world.enter(scene.begin)
    at_request(world, scene.requests // 2, [one.pid for one in dask.workers])
    process = world.start(*on(dask, scene), DASK_REGISTRY__WORKERS_WITHIN="2s")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"error: {dask.address} has no worker, and none came within 2 s\n" in err
    require_promises(world, scene)


# --- two clients ------------------------------------------------------------------------------------------------------


def test_two_clients_at_once(world: World, played: Mapping[str, Scene], dask: DaskCluster) -> None:
    scene = played["publish"]
    world.enter(scene.begin)
    second = world.root.parent / "second"
    shutil.copytree(world.root, second, symlinks=True)
    clients = [world.start(*on(dask, scene), root=root) for root in (world.root, second)]
    said = [client.communicate(timeout=PATIENCE) for client in clients]
    assert [client.returncode for client in clients] == [0, 0], said
    shutil.rmtree(second)
    assert world.broken_promises() == []
    assert world.wrong_objects() == []


def test_a_task_that_kills_its_workers_ends_the_command(dask: DaskCluster) -> None:
    """As one does that needs more memory than a worker has; `os._exit` ends whatever runs it."""
    with cluster.connect(Scheduler(dask.address)) as engine, pytest.raises(ClusterFailed) as raised:
        parallel_map(os._exit, [1], concurrency=1, executor=engine)
    assert f"2 workers of {dask.address} died in the same task, the last one at tcp://127.0.0.1:" in str(raised.value)
    assert "run the same command again: it continues where it stopped" in raised.value.fix


# --- what is told before anything runs --------------------------------------------------------------------------------


def test_no_worker(world: World, played: Mapping[str, Scene], without_workers: DaskCluster) -> None:
    scene, dask = played["publish"], without_workers
    world.enter(scene.begin)
    world.proxy.clear()
    with dask_config.set({cluster.PATIENCE: "1s"}):
        done = world.run(*on(dask, scene))
    assert done.code == 1
    assert done.err == (
        f"error: {dask.address} has no worker, and none came within 1 s\n"
        f"  hint: start workers (dask worker {dask.address}), then run the same command again: it continues where it "
        "stopped; DASK_REGISTRY__WORKERS_WITHIN=5m waits longer\n"
    )
    assert not world.proxy.exchanges


def test_no_scheduler(world: World, played: Mapping[str, Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_WITHIN", "1s")
    world.enter(played["publish"].begin)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # as one that is stopped
        with socket.create_server(("127.0.0.1", 0)) as closed:
            ports = [server.getsockname()[1] for server in (silent, closed)]
        for address in (f"tcp://127.0.0.1:{port}" for port in ports):
            done = world.run("publish", "--scheduler", address)
            assert done.code == 1
            assert done.err.startswith(f"error: {address} does not answer: ")
            assert "hint: check the address, and that a scheduler runs there (dask scheduler)" in done.err


def test_workers_with_other_code(
    world: World, played: Mapping[str, Scene], without_workers: DaskCluster, tmp_path: Path
) -> None:
    other, none = tmp_path / "other/registry", tmp_path / "none/registry"
    shutil.copytree(PROJECT / "scripts/registry", other)
    (other / "errors.py").write_text((other / "errors.py").read_text() + "\n")
    none.mkdir(parents=True)
    (none / "__init__.py").touch()
    world.enter(played["publish"].begin)
    for folder in (other, none):
        without_workers.add_worker(PYTHONPATH=str(folder.parent))
    without_workers.wait()
    world.proxy.clear()
    done = world.run(*on(without_workers, played["publish"]))
    assert done.code == 1
    head, *faults, hint = done.err.splitlines()
    assert head == f"error: {without_workers.address} has other versions than this machine"
    worker, expected = r"  worker tcp://127\.0\.0\.1:\d+ has", re.escape(f", expected registry {cluster.code()}")
    assert len(faults) == 2
    assert any(re.fullmatch(rf"{worker} registry \S+ \([0-9a-f]{{12}}\){expected}", fault) for fault in faults)
    assert any(re.fullmatch(rf"{worker} no registry \(ModuleNotFoundError.*\){expected}", fault) for fault in faults)
    assert hint.startswith("  hint: start scheduler and workers from one image with the requirements.txt")
    assert not world.proxy.exchanges


def test_a_scheduler_without_this_code(tmp_path: Path) -> None:
    """It unpickles tasks, too."""
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry/__init__.py").touch()
    bare = DaskCluster(tmp_path, {"PYTHONPATH": str(tmp_path)})
    try:
        bare.start(1)
        with pytest.raises(ClusterFailed) as raised, cluster.connect(Scheduler(bare.address)):
            pass
    finally:
        bare.kill()
    assert "\n  the scheduler has no registry (No module named 'registry." in raised.value.message
    assert "\n  worker tcp://127.0.0.1:" in raised.value.message


def test_other_versions_of_python_and_dask_are_named() -> None:
    packages = {"python": "3.11.7.final.0", "dask": "2026.8.0", "distributed": "2026.8.0"}
    here, there = {"packages": packages}, {"packages": {**packages, "python": "3.12.1.final.0", "dask": "2026.7.0"}}
    found = {"client": here, "scheduler": here, "workers": {"tcp://a:1": here, "tcp://b:1": there}}
    assert list(cluster.find_differences(found)) == [
        "worker tcp://b:1 has Python 3.12, expected 3.11", "worker tcp://b:1 has dask 2026.7.0, expected 2026.8.0"
    ]  # fmt: skip


# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_worker_without_rights_says_which_it_is(
    world: World, played: Mapping[str, Scene], without_workers: DaskCluster
) -> None:
    """Its key may read nothing; the client's may."""
    scene, dask = played["build"], without_workers
    world.enter(scene.begin)
    dask.add_worker(**world.server.env("powerless", url=world.proxy.url))
    done = world.run(*on(dask, scene))
    dask.kill_workers()
    assert done.code == 1, done.err
    assert re.search(rf"\n  in worker tcp://127\.0\.0\.1:\d+ on {re.escape(socket.gethostname())}\n", done.err)
    assert "access denied (read" in done.err
    dask.start()
    require_whole(world, scene, world.run(*on(dask, scene)))


def test_no_credential_travels(world: World, played: Mapping[str, Scene], tmp_path: Path) -> None:
    """Neither of the environment nor of `.dvc/config.local`: a task has names of buckets and keys of objects."""
    secrets = {"access_key_id": "AKIDOFCONFIG", "secret_access_key": "SECRETOFCONFIG", "session_token": "TOKENOFCONFIG"}
    stores = [open_store(Remote(f"s3://{name}", secrets, name), tmp_path) for name in ("staging", "production")]
    task = partial(transfer._copy, *stores, stores[1].copier_from(stores[0]))
    sent = cloudpickle.dumps(partial(cluster._run, cluster.code(), partial(task, "0" * 32)))
    assert b"staging" in sent
    assert [one for one in secrets.values() if one.encode() in sent] == []


def test_no_credential_is_in_what_workers_log(world: World, dask: DaskCluster) -> None:
    assert world.leaks(dask.log()) == []


# --- docs/cluster.md --------------------------------------------------------------------------------------------------


def registry_commands(page: str, heading: str, replaced: Mapping[str, str]) -> list[list[str]]:
    found = [one.text for one in pages.commands(page) if one.heading == heading and "registry " in one.text]
    for shown, real in replaced.items():
        found = [text.replace(shown, real) for text in found]
    return [shlex.split(text)[1:] for text in found]


def test_the_page_is_typed(world: World, played: Mapping[str, Scene], dask: DaskCluster) -> None:
    """Its programs of Dask have these options; the processes of `dask` are those that they start."""
    world.enter(played["fetch"].begin)
    replaced = {"tcp://127.0.0.1:8786": dask.address, "local:2": "local:1"}
    typed = registry_commands("docs/cluster.md", "Try it", replaced)
    assert [command[-1] for command in typed] == ["local:1", dask.address]
    for command in typed:
        assert "datasets/pets@v1.0.0" in world.must(*command).out
    programs = [shlex.split(one.text)[1:] for one in pages.commands("docs/cluster.md") if "/dask " in one.text]
    for program, *options in programs:
        assert {"scheduler": dask_scheduler, "worker": dask_worker}[program].main.make_context(program, options)


def test_tls_as_on_the_page(
    world: World, played: Mapping[str, Scene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Security.temporary()
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key", "tls_scheduler_cert", "tls_scheduler_key"):
        (tmp_path / f"{name}.pem").write_text(getattr(made, name))
    exports = [one.text for one in pages.commands("docs/cluster.md") if one.text.startswith("export DASK_")]
    client = dict(text.removeprefix("export ").split("=") for text in exports)
    server = {
        name.replace("CLIENT", kind): str(tmp_path / file)
        for kind in ("SCHEDULER", "WORKER")
        for name, file in client.items()
    }
    world.enter(played["fetch"].begin)
    with DaskCluster(tmp_path / "dask", {**world.env, **server}, protocol="tls") as dask:
        [command] = registry_commands("docs/cluster.md", "TLS", {"tls://127.0.0.1:8787": dask.address})
        process = world.start(*command, **{name: str(tmp_path / file) for name, file in client.items()})
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, "datasets/pets@v1.0.0" in out) == (0, True), err
