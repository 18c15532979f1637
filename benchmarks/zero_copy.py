"""Time of `registry build` and `publish` for images that are in S3 already, compared with ways that download them.

All on one SeaweedFS, in turns, each run into a fresh prefix of staging with empty caches:
- s5cmd downloads into class folders, `dvc add`, `dvc push`;
- `dvc import-url --to-remote`, which makes no class folders;
- the best chain that one could assemble: s5cmd, hashes and links by two processes, a push by obstore, 64 at a time.

Then the registry's own: build again with nothing new, publish with and without SHA-256, publish again. What passes
through the client is counted in a round of its own, behind a counting proxy. Last, the CPU time of one CopyObject.

python benchmarks/zero_copy.py [--images 10000] [--latency 0] [--rounds 3] [--slow-rounds 1] [--counted 500] [--own]
"""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

import build as images
from transfer import relay

from registry.core import digests
from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.demo.seaweedfs import S3Server
from registry.storage.local import Folder
from registry.storage.open import open_store
from registry.storage.states import STORED
from registry.storage.transfer import transfer

REGISTRY = str(images.BIN / "registry")
CALLS = 300  # copies that are timed one by one
NUMBERS = count(1)
WHO = ("NAME", "EMAIL")
Ways = Mapping[str, Callable[[], None]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0, help="milliseconds for a request and its response")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds of `dvc import-url --to-remote`")
    parser.add_argument("--counted", type=int, default=500, help="images of the round whose bytes are counted")
    parser.add_argument("--own", action="store_true", help="only the registry's rows")
    parser.add_argument("--chain", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chain:
        add_and_push(Path(args.chain[0]), args.chain[1])
        return
    with (
        tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder,
        S3Server(Path(folder) / "s3") as server,
        relay(server.url, args.latency / 1000) as url,
    ):
        bench = Bench(Path(folder), server, args.images)
        counted = bench.count(min(args.counted, args.images))
        report(args, bench.time(url, args), counted)
        report_calls(server)


# --- the ways ---------------------------------------------------------------------------------------------------------


class Bench:
    """A lake in S3, and what runs on it."""

    def __init__(self, top: Path, server: S3Server, number: int) -> None:
        self.top, self.server = top, server
        self.uuids = [str(UUID(int=random.Random(one).getrandbits(128))) for one in range(number)]
        images.ENV.update(
            server.env() | {f"GIT_{who}_{what}": "ben" for who in ("AUTHOR", "COMMITTER") for what in WHO}
        )
        self.point(server.url)
        images.make_lake(top / "lake", self.uuids)
        self.upload("all", self.uuids)

    def point(self, url: str) -> None:
        """Have every tool ask there."""
        images.ENV.update(self.server.env(url=url) | {"S3_ENDPOINT_URL": url})  # the last is s5cmd's

    def upload(self, lake: str, uuids: Sequence[str]) -> None:
        """A lake of these images, below a prefix."""
        lines = (f"cp {self.top}/lake/{uuid}.jpg s3://lake/{lake}/{uuid}.jpg\n" for uuid in uuids)
        (self.top / "uploads").write_text("".join(lines))
        images.run(self.top, "s5cmd", "--log=error", "run", "uploads")

    def time(self, url: str, args: argparse.Namespace) -> dict[str, images.Cost]:
        """The medians of every way."""
        self.point(url)
        costs: dict[str, list[images.Cost]] = {}
        for number in range(args.rounds):
            ways = self.ways("all", self.uuids)
            for name, work in ways.items():
                is_chosen = name.startswith("registry") or not args.own
                if is_chosen and (name != IMPORT or number < args.slow_rounds):
                    costs.setdefault(name, []).append(clock(name, work))
        return {name: images.Cost(*map(statistics.median, zip(*found, strict=True))) for name, found in costs.items()}

    def count(self, number: int) -> dict[str, tuple[int, int]]:
        """Bytes of bodies that went (up, down) for each image, by way."""
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from support.servers.fault_proxy import FaultProxy

        found = {}
        self.upload("some", self.uuids[:number])
        with FaultProxy(self.server.url) as proxy:
            self.point(proxy.url)
            for name, work in self.ways("some", self.uuids[:number]).items():
                proxy.clear()
                work()
                up, down = proxy.moved("put", "part", "get")
                found[name] = (up // number, down // number)
        return found

    def ways(self, lake: str, uuids: Sequence[str]) -> Ways:
        """What to run, in this order, each in a checkout of its own but for those that go on in the registry's."""
        lake = f"s3://lake/{lake}"
        roots = {name: self.top / f"{next(NUMBERS):04}" for name in ("own", "by_md5", "with_dvc", "import", "chain")}
        own, by_md5 = (make_own(roots[name], lake, uuids) for name in ("own", "by_md5"))
        images.run(by_md5, REGISTRY, "build", "datasets/pets")
        for name in ("with_dvc", "import", "chain"):
            make_other(roots[name])
        return {
            BUILD: partial(images.run, own, REGISTRY, "build", "datasets/pets"),
            "s5cmd, dvc add, dvc push": partial(with_dvc, roots["with_dvc"], lake, uuids),
            IMPORT: partial(import_url, roots["import"], lake),
            "s5cmd, parallel add, obstore push": partial(chain, roots["chain"], lake, uuids),
            "registry build, nothing new": partial(images.run, own, REGISTRY, "build", "datasets/pets"),
            "registry publish": partial(publish, own),
            "registry publish --md5-only": partial(publish, by_md5, "--md5-only"),
            "registry publish, nothing new": partial(images.run, own, REGISTRY, "publish"),
        }


BUILD = "registry build"
IMPORT = "dvc import-url --to-remote"


def with_dvc(root: Path, lake: str, uuids: Sequence[str]) -> None:
    download(root, lake, uuids)
    images.run(root, "dvc", "add", "--quiet", "prepared")
    images.run(root, "dvc", "push", "--quiet")


def import_url(root: Path, lake: str) -> None:
    shutil.rmtree(root / "prepared")
    images.run(root, "dvc", "import-url", "--quiet", "--to-remote", "--remote=staging", lake, "prepared")


def chain(root: Path, lake: str, uuids: Sequence[str]) -> None:
    download(root, lake, uuids)
    images.run(root, sys.executable, str(Path(__file__).resolve()), "--chain", str(root), f"s3://staging/{root.name}")


def publish(root: Path, *options: str) -> None:
    """Commit, then publish."""
    (root / "datasets/pets/.gitignore").write_text("/raw\n/prepared\n")
    images.run(root, "git", "add", "--all")
    images.run(root, "git", "commit", "--quiet", "--message=pets")
    images.run(root, REGISTRY, "publish", *options)


def download(root: Path, lake: str, uuids: Sequence[str]) -> None:
    """Into class folders, all in one run of s5cmd."""
    lines = (f"cp {lake}/{uuid}.jpg {root}/prepared/{images.label(uuid)}/{uuid}.jpg\n" for uuid in uuids)
    (root / "downloads").write_text("".join(lines))
    images.run(root, "s5cmd", "--log=error", "run", "downloads")


def add_and_push(root: Path, url: str) -> None:
    """What `dvc add` and `dvc push` leave behind, by two processes and obstore."""
    files = sorted(path for path in (root / "prepared").rglob("*") if path.is_file())
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        names = list(pool.map(partial(link, root / ".dvc/cache"), files, chunksize=200))
    entries = [
        {"md5": md5, "relpath": str(path.relative_to(root / "prepared"))}
        for md5, path in zip(names, files, strict=True)
    ]
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True).encode()
    md5 = digests.md5(listing) + ".dir"
    cache = Folder(root / ".dvc/cache")
    cache.put(object_key(md5), listing)
    (root / "prepared.dvc").write_text(f"outs:\n- md5: {md5}\n  nfiles: {len(files)}\n  hash: md5\n  path: prepared\n")
    done = transfer(cache, open_store(Remote(url), root), [*names, md5])
    if set(done["state"]).difference(STORED):
        raise SystemExit("the chain lost something")


def link(cache: Path, path: Path) -> str:
    md5 = digests.md5(path.read_bytes())
    place = cache / object_key(md5)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, place)
    return md5


# --- where they run ---------------------------------------------------------------------------------------------------


def make_own(root: Path, lake: str, uuids: Sequence[str]) -> Path:
    """A registry whose lake and remotes are in S3, with everything selected."""
    images.make_registry(root, Path("lake"), uuids)
    settings, config = root / "registry.yaml", root / ".dvc/config"
    settings.write_text(settings.read_text().replace("lake: lake", f"lake: {lake}"))
    for name in ("staging", "production"):
        config.write_text(config.read_text().replace(f"../.registry/{name}", f"s3://{name}/{root.name}"))
    images.run(root, "git", "branch", "--move", "main")
    return root


def make_other(root: Path) -> None:
    """A repository of DVC's, whose only remote is a prefix of staging."""
    root.mkdir()
    images.run(root, "git", "init", "--quiet")
    images.run(root, "dvc", "init", "--quiet")
    images.run(root, "dvc", "remote", "add", "--quiet", "--default", "staging", f"s3://staging/{root.name}")
    for name in images.CLASSES:
        (root / "prepared" / name).mkdir(parents=True)


def clock(name: str, work: Callable[[], None]) -> images.Cost:
    os.sync()
    begun, used = time.perf_counter(), images.cpu_seconds()
    work()
    cost = images.Cost(time.perf_counter() - begun, images.cpu_seconds() - used)
    print(f"{name}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s", file=sys.stderr)
    return cost


# --- what is printed --------------------------------------------------------------------------------------------------


def report(args: argparse.Namespace, costs: Mapping[str, images.Cost], counted: Mapping[str, tuple[int, int]]) -> None:
    print(f"\n### {args.images:,} images of about 10 kB, {args.latency:g} ms, {os.cpu_count()} cores\n")
    print("| what | seconds | to `registry build` | CPU seconds here | bytes per image, up and down |")
    print("|---|---|---|---|---|")
    own = costs[BUILD]
    for name, cost in costs.items():
        up, down = counted[name]
        print(f"| {name} | {cost.wall:.2f} | {cost.wall / own.wall:.2f} | {cost.cpu:.2f} | {up:,} ↑ {down:,} ↓ |")
    print(f"\nThe bytes were counted with {min(args.counted, args.images):,} images; they include lists and tables.")


def report_calls(server: S3Server) -> None:
    """The CPU time of one copy in the client, by this package's client and by botocore's."""
    os.environ.update(server.env())
    body, client = b"x" * 10_000, server.client()
    etag = digests.md5(body)
    client.put_object(Bucket="lake", Key="one", Body=body)
    lake, staging = (open_store(Remote(f"s3://{name}"), Path()) for name in ("lake", "staging"))
    copier = staging.copier_from(lake)
    if not copier:
        raise SystemExit("this server's buckets do not copy between themselves")
    ask = {"CopySource": "lake/one", "CopySourceIfMatch": etag, "IfNoneMatch": "*", "MetadataDirective": "REPLACE"}
    calls = {
        "registry": lambda number: copier.copy("one", f"calls/own/{number}", etag),
        "botocore": lambda number: client.copy_object(Bucket="staging", Key=f"calls/theirs/{number}", **ask),
    }
    print(f"\nProcessor time of one CopyObject here, medians of {CALLS}:", end=" ")
    print(", ".join(f"{name} {timed(call) * 1e6:,.0f} µs" for name, call in calls.items()))


def timed(call: Callable[[int], object]) -> float:
    times = []
    for number in range(CALLS):
        begun = time.thread_time()
        call(number)
        times.append(time.thread_time() - begun)
    return statistics.median(times)


if __name__ == "__main__":
    main()
