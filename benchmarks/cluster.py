"""Overhead of a Dask cluster on one machine: threads, `local:N`, and a scheduler and workers over TCP, in turns.

One SeaweedFS holds the objects. Each round does the same with each executor: `fsck --deep` (reads), `publish` (copies
inside the server, to a fresh prefix) and `build` (reads, decodes and stores images). Connecting is not part of it, and
printed alone. All of them share the processors with the server, so nothing here can be faster than threads.

python benchmarks/cluster.py [--objects 10000] [--workers 2] [--rounds 3]
"""

import argparse
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from PIL import Image
from polars import DataFrame

from registry.core import digests, schedulers
from registry.core.digests import object_key
from registry.core.settings import Remote
from registry.dataset.image_validation import find_fault
from registry.demo.seaweedfs import S3Server
from registry.storage import cluster
from registry.storage.base import Store
from registry.storage.ingest import ingest
from registry.storage.lake_objects import Ingest
from registry.storage.open import open_store
from registry.storage.parallel import Cluster, parallel_map
from registry.storage.transfer import transfer
from registry.storage.verify import audit

BUCKETS = ("lake", "staging", "production")
SIDE = 96  # pixels: JPEGs of noise of some 10 kB
_prefixes = count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder, ExitStack() as stack:
        server = stack.enter_context(S3Server(Path(folder), buckets=BUCKETS))
        os.environ |= server.env()
        objects = fill(asked.objects)
        address = stack.enter_context(over_tcp(asked.workers))
        engines: dict[str, Cluster | None] = {"threads": None}
        connected: dict[str, float] = {}
        for name, at in ((f"local:{asked.workers}", f"local:{asked.workers}"), ("TCP", address)):
            start = time.monotonic()
            engines[name] = stack.enter_context(cluster.connect(schedulers.parse(at)))
            connected[name] = time.monotonic() - start
        report(asked, engines, measure(asked.rounds, engines, objects))
        print("\nConnecting: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in connected.items()) + ".")


def fill(number: int) -> DataFrame:
    """Images in the lake, which are returned as its listing, and the same as objects in staging."""
    lake, staging = open_store(Remote("s3://lake"), Path()), open_store(Remote("s3://staging"), Path())
    noise = random.Random(0)

    def put(at: int) -> "Put":
        image, out = Image.frombytes("RGB", (SIDE, SIDE), noise.randbytes(3 * SIDE * SIDE)), io.BytesIO()
        image.save(out, "JPEG", quality=60, comment=b"%d" % at)
        data = out.getvalue()
        lake.put(f"{at}.jpg", data)
        staging.put(object_key(digests.md5(data)), data)
        return Put(len(data))

    parallel_map(put, range(number), concurrency=16)
    return lake.list()


class Put(int):
    """Bytes that were stored."""

    @property
    def moved(self) -> int:
        """The same."""
        return self


@contextmanager
def over_tcp(workers: int) -> Iterator[str]:
    """A scheduler and workers as processes of their own; gives its address."""
    python = [sys.executable, "-m"]
    with ExitStack() as stack:

        def start(*args: str, **pipe: int) -> subprocess.Popen[str]:
            process = subprocess.Popen([*python, *args], text=True, stderr=pipe.get("stderr", subprocess.DEVNULL))
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        scheduler = start(
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            stderr=subprocess.PIPE,
        )
        assert scheduler.stderr
        address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
        for _ in range(workers):
            start("distributed.cli.dask_worker", address, "--nthreads", "2", "--no-dashboard", "--no-nanny")
        yield address


Work = Callable[[Cluster | None], int]


def works(objects: DataFrame) -> dict[str, Work]:
    """What is measured; each returns how many objects it was."""
    names = objects["etag"].to_list()

    def opened(url: str, engine: Cluster | None) -> Store:
        store = open_store(Remote(url), Path())
        store.cluster = engine
        return store

    def read(engine: Cluster | None) -> int:
        return audit(opened("s3://staging", engine), names).filter(state="present").height

    def copy(engine: Cluster | None) -> int:
        place = f"s3://production/{next(_prefixes)}"
        return transfer(opened("s3://staging", engine), opened(place, engine), names).filter(state="copied").height

    def build(engine: Cluster | None) -> int:
        place = f"s3://production/{next(_prefixes)}"
        empty = f"s3://production/{next(_prefixes)}"
        job = Ingest(opened("s3://lake", engine), opened(place, engine), opened(empty, engine), find_fault, False)
        return int(ingest(job, objects)["copied"].sum())

    return {"fsck --deep": read, "publish": copy, "build": build}


def measure(rounds: int, engines: dict[str, Cluster | None], objects: DataFrame) -> dict[tuple[str, str], list[float]]:
    """Seconds of each work with each engine."""
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for what, work in works(objects).items():
            for name, engine in engines.items():
                start = time.monotonic()
                assert work(engine) == objects.height
                found.setdefault((what, name), []).append(time.monotonic() - start)
                print(f"{what}, {name}: {found[what, name][-1]:.1f} s", file=sys.stderr)
    return found


def report(
    asked: argparse.Namespace, engines: dict[str, Cluster | None], found: dict[tuple[str, str], list[float]]
) -> None:
    """Print the table: the median of the rounds, and of their ratios to threads in the same round."""
    print(f"\n{asked.objects:,} objects, {asked.workers} workers, median of {asked.rounds} rounds\n")
    print("| | " + " | ".join(name if name == "threads" else f"{name} | of threads" for name in engines) + " |")
    print("|---|" + "---|" * (2 * len(engines) - 1))
    for what in dict.fromkeys(what for what, _ in found):
        cells = [what]
        for name in engines:
            seconds = found[what, name]
            cells.append(f"{statistics.median(seconds):.1f} s")
            if name != "threads":
                ratios = [one / base for one, base in zip(seconds, found[what, "threads"], strict=True)]
                cells.append(f"{statistics.median(ratios):.2f}")
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
