"""A team's registry on S3, for injecting faults: a checkout beside its `origin.git`, three buckets behind a proxy."""

import contextlib
import csv
import faulthandler
import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from PIL import Image

from registry.cli import main
from registry.demo.seaweedfs import BUCKETS, S3Server
from support import release_auditor, repositories
from support.patience import PATIENCE
from support.repositories import Outcome
from support.servers.any_s3 import AnyS3
from support.servers.fault_proxy import FaultProxy

PROJECT = Path(__file__).parents[2]
PETS, MODEL = "datasets/pets", "models/pets"
MANIFEST = {
    "schema": 1, "name": "pets", "version": "1.0.0", "title": "Pets at home", "description": "Cats and dogs.",
    "owners": ["@acme/vision"], "license": "CC-BY-4.0",
    "source": {"export": {"description": "by hand"}}, "image": "{uuid}.jpg",
    "columns": {"uuid": {"type": "uuid"}, "label": {"type": "string"}}, "classes": ["cat", "dog"],
    "split": {"salt": "pets", "ratios": {"train": 0.6, "val": 0.2, "test": 0.2}},
}  # fmt: skip
IMAGES = 12
LOST = 3  # objects that production lacks where `fsck --repair` begins
CONFIG = """\
[core]
    analytics = false
    remote = production
[cache]
    type = "hardlink"
['remote "staging"']
    url = s3://staging
['remote "production"']
    url = s3://production
"""

NOTHING = {"Version": "2012-10-17", "Statement": []}

Buckets = Mapping[str, Mapping[str, bytes]]  # bucket → key → bytes


@dataclass(frozen=True)
class State:
    """Where a command begins: a folder with `registry` and `origin.git`, and what the buckets hold."""

    folder: Path
    buckets: Buckets


@dataclass(frozen=True)
class Scene:
    """A command of `registry`, the state that it begins in, and what it leaves when it is not disturbed."""

    name: str
    args: tuple[str, ...]
    begin: State
    end: Mapping[str, object]
    requests: int
    seconds: float = 0


class World:
    """One at a time: `enter` puts everything into a state, and commands go through the proxy from then on."""

    scheme = "s3"

    def __init__(self, server: S3Server | AnyS3, proxy: FaultProxy, folder: Path) -> None:
        self.server, self.proxy, self.folder = server, proxy, folder
        self.root, self.origin = folder / "now/registry", folder / "now/origin.git"
        self.client = server.client()
        self.env = server.env(url=proxy.url)

    def configure(self) -> None:
        """Write where the places are into the checkout."""
        (self.root / ".dvc/config").write_text(CONFIG)
        settings = {"schema": 1, "name": "acme-data", "owners": ["@acme/data"], "lake": "s3://lake"}
        repositories.write(self.root / "registry.yaml", settings)

    # --- states -------------------------------------------------------------------------------------------------------

    def enter(self, state: State) -> None:
        """Everything as it was then, with nothing wrong."""
        self.proxy.clear()
        shutil.rmtree(self.folder / "now", ignore_errors=True)
        shutil.copytree(state.folder, self.folder / "now", symlinks=True)
        self.fill(state.buckets)

    def fill(self, buckets: Buckets) -> None:
        """These objects, and no others."""
        with ThreadPoolExecutor(8) as pool:
            for bucket in BUCKETS:
                there, right = self.listed(bucket), buckets[bucket]
                list(pool.map(lambda key, bucket=bucket: self.lose(bucket, key), there.keys() - right.keys()))
                missing = [key for key in right if there.get(key) != repositories.md5(right[key])]
                list(pool.map(lambda key, bucket=bucket: self.put(bucket, key, buckets[bucket][key]), missing))

    def keep(self, name: str) -> State:
        """The state that is now, to be entered again."""
        shutil.copytree(self.folder / "now", self.folder / name, symlinks=True)
        return State(self.folder / name, {bucket: self.contents(bucket) for bucket in BUCKETS})

    # --- buckets, past the proxy --------------------------------------------------------------------------------------

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Every object, by key."""
        return {key: self.get(bucket, key) or b"" for key in self.listed(bucket)}

    def listed(self, bucket: str) -> dict[str, str]:
        """The MD5 of every object's bytes, by key: its ETag, as none is larger than a part."""
        found = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {one["Key"]: one["ETag"].strip('"') for one in found}

    def get(self, bucket: str, key: str) -> bytes | None:
        with contextlib.suppress(self.client.exceptions.NoSuchKey):
            data: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
            return data
        return None

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def lose(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    # --- commands -----------------------------------------------------------------------------------------------------

    def start(
        self, *args: str, root: Path | None = None, largest: int | None = None, **env: str
    ) -> subprocess.Popen[str]:
        """`registry` as a person runs it, at the head of a process group; no file gets `largest` bytes or more."""
        script = f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest}, {largest})); "
        # -B: Python 3.11 takes a compiled module that the limit cut off for a whole one, in all later processes too.
        limited = ("-B", "-c", script + "runpy.run_module('registry', run_name='__main__')")
        command = (sys.executable, *(("-m", "registry") if largest is None else limited), *args)
        return subprocess.Popen(
            command, cwd=root or self.root, env={**os.environ, **self.env, **env}, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *args: str, root: Path | None = None) -> Outcome:
        """`registry` in this process, which spares its imports; should it hang, the process ends and says where."""
        out, err = io.StringIO(), io.StringIO()
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=2)
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(root or self.root):
            for name, value in self.env.items():
                patch.setenv(name, value)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main.run(list(args))
        faulthandler.cancel_dump_traceback_later()
        return Outcome(code, out.getvalue(), err.getvalue())

    def must(self, *args: str) -> Outcome:
        done = self.run(*args)
        assert done.code == 0, f"registry {' '.join(args)}: {done.out}{done.err}"
        return done

    # --- what is so ---------------------------------------------------------------------------------------------------

    def broken_promises(self) -> list[str]:
        """What the independent reader says, of the tags at the origin and of those here."""
        read = release_auditor.in_bucket(self.client, "production")
        return [
            fault
            for repository in (self.origin, self.root)
            for fault in release_auditor.broken_promises(repository, read)
        ]

    def trace(self) -> dict[str, object]:
        """All that a command may leave, without times: equal traces are equal states."""
        return {
            **{bucket: self.listed(bucket) for bucket in BUCKETS},
            "cache": repositories.snapshot(self.root / ".dvc/cache"),
            "files": repositories.git_in(self.root, "status", "--porcelain", "--untracked-files=all"),
            "pointers": {str(path): path.read_text() for path in sorted(self.root.glob("*/*/*.dvc"))},
            "data": repositories.snapshot(self.root / PETS / "prepared"),
            "tags": (release_auditor.releases(self.origin), release_auditor.releases(self.root)),
        }

    def leaks(self, said: str) -> list[str]:
        """The keys, and what is derived from them, that a text contains."""
        keys = self.server.credentials()
        hidden = (keys.secret_key, keys.access_key, "AWS4-HMAC-SHA256", "X-Amz-Signature")
        return [one for one in hidden if one in said]

    def leaks_in_files(self) -> list[str]:
        """Files of the checkout, of `.git`, of the origin and of the home that hold one of them."""
        folders = (self.root.parent, Path(os.environ["HOME"]))
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return [str(path) for path in paths if self.leaks(path.read_bytes().decode("latin-1"))]

    def wrong_objects(self) -> list[str]:
        """Objects in staging, production and DVC's cache whose content does not match their MD5.

        The objects of release manifests are named by their SHA-256; shards by their place.
        """
        stores = {bucket: self.listed(bucket) for bucket in ("staging", "production")}
        stores["cache"] = repositories.snapshot(self.root / ".dvc/cache")
        return [
            f"{store}: {key}"
            for store, found in stores.items()
            for key, md5 in found.items()
            if not key.startswith("releases/") and "".join(Path(key).parts[-2:]).removesuffix(".dir") != md5
        ] + [
            f"production: {key}"
            for key, body in self.contents("production").items()
            if key.startswith("releases/")
            and "/shards/" not in key
            and Path(key).name.partition(".")[0] != hashlib.sha256(body).hexdigest()
        ]


# --- how it came about ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_world(folder: Path) -> Iterator[World]:
    """A server and a proxy in front of it, with nothing in them. Its identity `powerless` may do nothing."""
    (folder / "server").mkdir(parents=True)
    with S3Server(folder / "server", policies={"powerless": NOTHING}) as server, FaultProxy(server.url) as proxy:
        yield World(server, proxy, folder)


def scenes(world: World) -> dict[str, Scene]:
    """The commands that talk to S3, by name, each undisturbed once, in the order of the typical workflow.

    `fetch` is a `pull` that leaves the working tree alone, and so needs no DVC.
    """
    select(world)
    made = [_play(world, "build", "build", PETS)]
    repositories.commit(world.root, "datasets/pets 1.0.0")
    world.must("pull", PETS)
    repositories.model(world.root, "pets", b"weights of 1.0.0", "1.0.0")
    world.must("check", "--fix")
    repositories.commit(world.root, "models/pets 1.0.0")
    repositories.git_in(world.root, "push", "--quiet", "origin", "main")
    for key in world.contents("staging"):
        world.lose("staging", key)
    made.append(_play(world, "push", "push"))
    made.append(_play(world, "check", "check", "--all", "--remote"))
    made.append(_play(world, "publish", "publish"))
    whole = world.keep("whole")
    for key in _some_images(world):
        world.lose("production", key)
    made.append(_play(world, "fsck", "fsck", "--deep", "--repair", "staging"))
    world.enter(whole)
    shutil.rmtree(world.root / ".dvc/cache")
    shutil.rmtree(world.root / PETS / "prepared")
    shutil.rmtree(world.root / PETS / "raw")
    (world.root / MODEL / "model.onnx").unlink()
    made.append(_play(world, "fetch", "pull", "--rev", "HEAD"))
    world.enter(made[-1].begin)
    made.append(_play(world, "pull", "pull"))
    world.enter(whole)
    made.append(_play(world, "export", "export", f"{PETS}@v1.0.0", "--shards"))
    return {scene.name: scene for scene in made}


def _play(world: World, name: str, *args: str) -> Scene:
    begin = world.keep(f"before-{name}")
    world.proxy.clear()
    start = time.monotonic()
    world.must(*args)
    seconds = time.monotonic() - start
    return Scene(name, args, begin, world.trace(), len(world.proxy.exchanges), seconds)


def _some_images(world: World) -> list[str]:
    data = {repositories.md5(picture(number)) for number in range(LOST)}
    return [f"files/md5/{md5[:2]}/{md5[2:]}" for md5 in sorted(data)]


def found(world: World) -> None:
    """A registry without an artifact, its three buckets, and its origin."""
    world.root.mkdir(parents=True)
    for name in (".gitignore", ".dvcignore", ".dvc/.gitignore", "README.md"):
        (world.root / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, world.root / name)
    repositories.git_in(world.root, "init", "--quiet")
    world.configure()
    repositories.add_origin(world.root)


def select(world: World) -> None:
    """The registry with `datasets/pets`, whose images lie in the lake, selected and pushed."""
    found(world)
    for number in range(IMAGES):
        world.put("lake", f"{uuid(number)}.jpg", picture(number))
    (world.root / PETS).mkdir(parents=True)
    (world.root / PETS / "dataset.yaml").write_text(yaml.safe_dump(MANIFEST, sort_keys=False))
    (world.root / PETS / "README.md").write_text("# Pets\n")
    (world.root / PETS / ".gitignore").write_text("/raw\n/prepared\n")
    with (world.folder / "export.csv").open("w", newline="") as file:
        rows = [(uuid(number), ("cat", "dog")[number % 2]) for number in range(IMAGES)]
        csv.writer(file).writerows([("uuid", "label"), *rows])
    world.must("select", PETS, "--from", str(world.folder / "export.csv"))
    repositories.commit(world.root, "a selection")
    repositories.git_in(world.root, "push", "--quiet", "--set-upstream", "origin", "main")


def uuid(number: int) -> str:
    return f"0a8c7f6e-0000-4000-8000-{number:012x}"


def picture(number: int) -> bytes:
    """A JPEG unlike the others."""
    out = io.BytesIO()
    Image.new("RGB", (12, 9), (number, 7, 3)).save(out, "JPEG", comment=b"%d" % number)
    return out.getvalue()
