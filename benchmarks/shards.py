"""Time of reading a split for training from S3: image by image in a shuffled order, and as shards, in turns.

One SeaweedFS holds the same images both ways. Image by image, 32 threads read; shards are read by one thread each, and
cut at the members of the tar files. Every image of both is compared with its MD5, outside of the time. Writing shards,
which reads each image and then each shard again, is measured once.

python benchmarks/shards.py [--images 5000] [--size 10000] [--rounds 3]
"""

import argparse
import io
import os
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

import polars as pl
from polars import DataFrame, col

from registry.core import digests, names
from registry.core.digests import object_key
from registry.core.progress import bar
from registry.core.settings import Remote
from registry.dataset import shard_index, shards
from registry.dataset.shard_index import ShardIndex
from registry.demo.seaweedfs import S3Server
from registry.release import export
from registry.release.export import Plan
from registry.storage.base import Store
from registry.storage.open import open_store

TAG = names.parse_tag("datasets/pets@v1.0.0")
THREADS, AT_ONCE = 32, 2  # images that are read at once; shards


T = TypeVar("T")


class Cost(NamedTuple):
    """Seconds, and seconds of this process's processor time."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder,
        S3Server(Path(folder), buckets=("production",)) as server,
    ):
        os.environ |= server.env()
        production = open_store(Remote("s3://production"), Path())
        plan = fill(production, asked.images, asked.size)
        index, wrote = export_all(plan, production)
        report(asked, index, wrote, measure(asked.rounds, plan, index, production))


def fill(production: Store, number: int, size: int) -> Plan:
    """Put images (noise) into production; the plan of their shards, all in `train`."""

    def put(at: int) -> tuple[str, str, int]:
        data = random.Random(at).randbytes(size)
        md5 = digests.md5(data)
        production.put(object_key(md5), data)
        return f"train/{('cat', 'dog')[at % 2]}/{UUID(int=at)}.jpg", md5, size

    with ThreadPoolExecutor(16) as pool:
        files = DataFrame(list(pool.map(put, range(number))), ["path", "md5", "size"], orient="row")
    label = col("path").str.contains("dog").cast(pl.Int64)
    table = files.select(file_name=col("path").str.strip_prefix("train/"), label=label)
    features = shards.features(("cat", "dog"), ["jpg"], table.schema)
    return Plan(ShardIndex(TAG, "0" * 40, None, ("cat", "dog"), features, {}), shards.plan("train", files, table))


def export_all(plan: Plan, production: Store) -> tuple[ShardIndex, Cost]:
    """Write the shards."""

    def write() -> ShardIndex:
        with bar("exporting", plan.images, plan.size) as progress:
            prefix = f"{shard_index.folder(TAG)}/"
            return export.apply(plan, lambda md5: production.get(object_key(md5)), production, prefix, progress).index

    return timed(write)


def measure(rounds: int, plan: Plan, index: ShardIndex, production: Store) -> dict[str, list[Cost]]:
    """Read everything in turns; each has to give the same images."""
    md5s = [sample.md5 for shard in plan.shards for sample in shard.samples()]
    random.Random(1).shuffle(md5s)
    ways: dict[str, Callable[[], list[bytes]]] = {
        "image by image": lambda: one_by_one(production, md5s),
        "shards": lambda: as_shards(production, index),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, read in ways.items():
            found, cost = timed(read)
            costs[name].append(cost)
            if sorted(map(digests.md5, found)) != sorted(md5s):
                raise SystemExit(f"{name}: other images than were written")
    return costs


def one_by_one(production: Store, md5s: list[str]) -> list[bytes]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda md5: production.get(object_key(md5)), md5s))


def as_shards(production: Store, index: ShardIndex) -> list[bytes]:
    def read(name: str) -> list[bytes]:
        with tarfile.open(fileobj=io.BytesIO(production.get(shard_index.key(TAG, name)))) as tar:
            return [file.read() for one in tar if one.name.endswith(".jpg") and (file := tar.extractfile(one))]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [image for images in pool.map(read, [file.name for file in index.files]) for image in images]


def timed(work: Callable[[], T]) -> tuple[T, Cost]:
    wall, cpu = time.monotonic(), time.process_time()
    found = work()
    return found, Cost(time.monotonic() - wall, time.process_time() - cpu)


def report(asked: argparse.Namespace, index: ShardIndex, wrote: Cost, costs: dict[str, list[Cost]]) -> None:
    wall = {name: statistics.median(cost.wall for cost in each) for name, each in costs.items()}
    cpu = {name: statistics.median(cost.cpu for cost in each) for name, each in costs.items()}
    requests = {"image by image": asked.images, "shards": len(index.files)}
    print(f"{asked.images:,} images of {asked.size:,} bytes, medians of {asked.rounds} rounds in turns")
    print("\n| | time | images/s | processor time | requests |\n|---|---|---|---|---|")
    for name in costs:
        rate = asked.images / wall[name]
        print(f"| {name} | {wall[name]:.2f} s | {rate:,.0f} | {cpu[name]:.2f} s | {requests[name]:,} |")
    ratios = [of["image by image"] / of["shards"] for of in (wall, cpu, requests)]
    print("| ratio | {:.1f} | | {:.1f} | {:,.0f} |".format(*ratios))
    print(f"\nwriting them: {wrote.wall:.2f} s, {wrote.cpu:.2f} s of processor time")


if __name__ == "__main__":
    main()
