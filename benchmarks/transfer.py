"""Time of `registry push`, `pull` and `check --remote` on S3, compared with DVC, s5cmd and rclone on one SeaweedFS.

Every push goes to a fresh prefix, every pull into a fresh clone with empty caches. s5cmd and rclone only copy
the objects: they verify no checksum and link no file. Latency is what a relay between clients and server adds to a
request and its response, half of it each way; there is none at 0.

python benchmarks/transfer.py [--sizes 10000x10k,1000x1m,1x1g] [--latency 0,20] [--rounds 3] [--tools registry,dvc]
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import polars as pl
from launch import Used, launch
from tqdm import tqdm

from registry.core import manifests, names
from registry.core.values import Selection
from registry.dataset import exports, provenance, version_rows
from registry.demo.seaweedfs import S3Server
from registry.integrations import git_trees

BIN = Path(sys.executable).parent
BUCKETS = ("staging", "production")
TOOLS = ("registry", "dvc", "dvc --jobs 64", "s5cmd", "rclone")
UNITS = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
MANIFEST = """\
schema: 1
name: pets
version: 1.0.0
title: Pets
description: Made up.
owners: ["@acme/vision"]
license: CC0-1.0
source: {export: {description: made up}}
image: "{uuid}.jpg"
columns: {uuid: {type: uuid}, label: {type: string}}
classes: [cat]
split: {salt: pets, ratios: {train: 0.8, val: 0.1, test: 0.1}}
expectations: {splits: {train: {min_images: 0}, val: {min_images: 0}, test: {min_images: 0}}}
"""


class Size(NamedTuple):
    """So many files of so many bytes."""

    files: int
    each: int

    def __str__(self) -> str:
        unit = next((name for name in "gm" if self.each >= UNITS[name]), "k")
        return f"{self.files:,} × {self.each / UNITS[unit]:g} {unit if unit == 'k' else unit.upper()}B"


class Place(NamedTuple):
    """Where a run works: its checkout, the prefix in the buckets, and the environment that leads there."""

    root: Path
    prefix: str
    env: Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000x10k,1000x1m,1x1g", help="FILESxBYTES, with k, m, g")
    parser.add_argument("--latency", default="0,20", help="milliseconds for a request and its response")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, help="rounds of DVC's rows; as many as --rounds when left out")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--work", choices=("push", "pull", "check"), action="append")
    args = parser.parse_args()
    args.work = args.work or ["push", "pull", "check"]
    for text in args.sizes.split(","):
        files, each = text.split("x")
        size = Size(int(files), int(each[:-1]) * UNITS[each[-1]])
        with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder:
            measure(Path(folder), size, args)


def measure(top: Path, size: Size, args: argparse.Namespace) -> None:
    """Print a table for this size: its own server, so that each starts with an empty one."""
    (top / "s3").mkdir()
    cache = make_objects(top / "home", size)
    with S3Server(top / "s3", buckets=BUCKETS) as server:
        for latency in map(float, args.latency.split(",")):
            with relay(server.url, latency / 1000) as url:
                bench = Bench(top, cache, server.env(url=url), url)
                report(size, latency, bench.rows(args))


# --- what is measured -------------------------------------------------------------------------------------------------


class Bench:
    """One size at one latency: runs each tool, in turns, and keeps what each cost."""

    def __init__(self, top: Path, home: Path, env: Mapping[str, str], url: str) -> None:
        self.top, self.home, self.env, self.url = top, home, env, url
        self.costs: dict[tuple[str, str], list[Used]] = {}

    def rows(self, args: argparse.Namespace) -> dict[tuple[str, str], Used]:
        """The medians, by work and tool."""
        tools = [name for name in TOOLS if name in args.tools.split(",")]
        for number in range(args.rounds):
            for tool in tools:
                slow = tool.startswith("dvc") and args.slow_rounds is not None
                if not (slow and number >= args.slow_rounds):
                    self.run(tool, args.work)
        return {row: Used(*map(statistics.median, zip(*costs, strict=True))) for row, costs in self.costs.items()}

    def run(self, tool: str, work: list[str]) -> None:
        """Push to a fresh prefix, pull from it, and ask whether all is there."""
        own = self.place()
        shutil.copytree(self.home / ".dvc/cache", own.root / ".dvc/cache", copy_function=os.link)
        first = "registry" if "push" not in work else tool  # whatever is measured, it has to be there
        self.clock("push" if "push" in work else "", tool, own, push(first, own))
        other = self.place(own.prefix)
        if "pull" in work or ("check" in work and tool in CHECKS):
            self.clock("pull" if "pull" in work else "", tool, other, pull(tool, other))
            self.require_all(other)
        if "check" in work and tool in CHECKS:
            self.clock("check --remote", tool, other, CHECKS[tool])
        for place in (own, other):
            shutil.rmtree(place.root)

    def place(self, prefix: str = "") -> Place:
        """A checkout with empty caches."""
        number = next(NUMBERS)
        prefix, root = prefix or f"{number:04}", self.top / f"checkout-{number}"
        shutil.copytree(self.home, root, ignore=shutil.ignore_patterns("cache"))
        write_config(root, prefix, self.url)
        env = {**os.environ, **self.env, **RCLONE, "RCLONE_CONFIG_S3_ENDPOINT": self.url, "S3_ENDPOINT_URL": self.url}
        env |= {"PATH": f"{BIN}{os.pathsep}{env['PATH']}", "DVC_NO_ANALYTICS": "1"}
        return Place(root, prefix, env | {"DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site")})

    def require_all(self, place: Place) -> None:
        """A tool that leaves objects out is not fast. Raises SystemExit."""
        want, have = (
            sorted(p.name for p in (root / ".dvc/cache/files").rglob("*/*/*")) for root in (self.home, place.root)
        )
        if want != have:
            raise SystemExit(f"{place.root}: {len(have):,} objects came, not {len(want):,}")

    def clock(self, work: str, tool: str, place: Place, command: list[str]) -> None:
        """Run it, and keep what it cost unless `work` is empty."""
        os.sync()
        cost = run(command, place)
        if work:
            self.costs.setdefault((work, tool), []).append(cost)
            print(f"{work}, {tool}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s", file=sys.stderr)


NUMBERS = count(1)
CHECKS = {
    "registry": ["registry", "check", "--remote"],
    "dvc": ["dvc", "data", "status", "--not-in-remote", "--granular", "--json"],
}
RCLONE = {
    "RCLONE_CONFIG": os.devnull,
    "RCLONE_CONFIG_S3_TYPE": "s3",
    "RCLONE_CONFIG_S3_PROVIDER": "SeaweedFS",
    "RCLONE_CONFIG_S3_ENV_AUTH": "true",
    "RCLONE_CONFIG_S3_NO_CHECK_BUCKET": "true",
}
MANY = ["--transfers=64", "--checkers=64"]


def push(tool: str, place: Place) -> list[str]:
    """The command that puts the objects of this checkout's cache into staging."""
    files, there = f"{place.root}/.dvc/cache/files/", f"staging/{place.prefix}/files/"
    return {
        "registry": ["registry", "push"],
        "dvc": ["dvc", "push", "--quiet", "--remote=staging"],
        "dvc --jobs 64": ["dvc", "push", "--quiet", "--remote=staging", "--jobs=64"],
        "s5cmd": ["s5cmd", "--log=error", "cp", files, f"s3://{there}"],
        "rclone": ["rclone", "copy", *MANY, files, f"s3:{there}"],
    }[tool]


def pull(tool: str, place: Place) -> list[str]:
    """The command that brings them here; DVC and the registry link them too."""
    files, there = f"{place.root}/.dvc/cache/files/", f"staging/{place.prefix}/files/"
    return {
        "registry": ["registry", "pull"],
        "dvc": ["dvc", "pull", "--quiet", "--remote=staging"],
        "dvc --jobs 64": ["dvc", "pull", "--quiet", "--remote=staging", "--jobs=64"],
        "s5cmd": ["s5cmd", "--log=error", "cp", f"s3://{there}*", files],
        "rclone": ["rclone", "copy", *MANY, f"s3:{there}", files],
    }[tool]


def run(command: list[str], place: Place) -> Used:
    """What a command cost, its children included. It must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        return launch(command, place.root, place.env, Path(folder) / "output")


def report(size: Size, latency: float, rows: Mapping[tuple[str, str], Used]) -> None:
    """A Markdown table: `ratio` is to the registry's own time, more than 1 where the other is slower."""
    print(f"\n### {size}, {latency:g} ms, {os.cpu_count()} cores\n")
    print("| work | tool | seconds | ratio | CPU seconds | peak memory |")
    print("|---|---|---|---|---|---|")
    for (work, tool), cost in sorted(rows.items(), key=lambda row: (row[0][0] != "push", row[0][0] != "pull")):
        own = rows.get((work, "registry"))
        ratio = f"{cost.wall / own.wall:.2f}" if own else ""
        print(f"| {work} | {tool} | {cost.wall:.2f} | {ratio} | {cost.cpu:.2f} | {cost.memory:,.0f} MB |")
    ours = {work: cost.wall for (work, tool), cost in rows.items() if tool == "registry" and (work, "s5cmd") in rows}
    if compared := [f"{work} {seconds / rows[work, 's5cmd'].wall:.2f} times" for work, seconds in ours.items()]:
        print(f"\nOf s5cmd's seconds: {', '.join(compared)}.")
    sys.stdout.flush()


# --- what it is measured on -------------------------------------------------------------------------------------------


def make_objects(root: Path, size: Size) -> Path:
    """A registry with one dataset, committed: its objects in DVC's cache, each with bytes of its own."""
    project, folder = Path(__file__).parents[1], root / "datasets/pets"
    folder.mkdir(parents=True)
    for name in ("registry.yaml", ".gitignore", ".dvcignore", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(project / name, root / name)
    (folder / "dataset.yaml").write_text(MANIFEST)
    (folder / ".gitignore").write_text("/raw\n/prepared\n")
    write_config(root, "0000", "http://127.0.0.1")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    bytes_of, numbers, md5s = partial(body, size.each), random.Random(size.files), dict[str, str]()
    for _ in tqdm(range(size.files), desc="making files", delay=2, leave=False, disable=None):
        name = f"{numbers.getrandbits(128):032x}"
        md5s[f"{name[:8]}-{name[8:12]}-4{name[13:16]}-8{name[17:20]}-{name[20:]}"] = keep(root, bytes_of(name))
    manifest = manifests.load_dataset(git_trees.WorkTree(root), names.parse_id("datasets/pets"))
    rows = pl.DataFrame({"uuid": sorted(md5s), "label": "cat"})
    items, table = version_rows.items_of(manifest, rows), exports.write_selection(rows)
    items = items.with_columns(version_rows.folder_column(manifest, items))
    at, facts = datetime(2026, 1, 1, tzinfo=UTC), (len(rows), exports.rows_hash(rows), provenance.source_hash(manifest))
    meta = provenance.to_meta(Selection(*facts, "pets.csv", at))
    selection = {"md5": keep(root, [table]), "relpath": "selection.parquet"}
    raw = track(root, folder / "raw.dvc", [selection], len(table), f"meta: {json.dumps(meta)}")
    paths = items.select("uuid", path=version_rows.item_path()).iter_rows()
    entries, sizes = [{"md5": md5s[uuid], "relpath": path} for uuid, path in paths], size.files * size.each
    for place, table in version_rows.tables(manifest, rows, items):
        entries.append({"md5": keep(root, [table]), "relpath": f"{place.path}/metadata.parquet"})
        sizes += len(table)
    counts = {split: {"cat": number} for split, number in items.group_by("split").len().sort("split").iter_rows()}
    built = {"selection": raw, "rule": manifests.build_rule(manifest), "images": size.files, "counts": counts}
    track(root, folder / "prepared.dvc", entries, sizes, f"meta: {json.dumps({'build': built})}")
    env = {"HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    who = ["-c", "user.name=Ben Chmark", "-c", "user.email=ben@example.com"]
    for command in (
        ["registry", "check", "--fix"],
        ["git", "add", "--all"],
        ["git", *who, "commit", "--quiet", "--message=pets"],
    ):
        subprocess.run(command, cwd=root, env=env, check=True, stdout=sys.stderr)
    return root


def write_config(root: Path, prefix: str, url: str) -> None:
    """Both remotes below one prefix, which nothing else uses."""
    sections = [f"['remote \"{name}\"']\n    url = s3://{name}/{prefix}\n    endpointurl = {url}\n" for name in BUCKETS]
    start = '[core]\n    analytics = false\n    remote = production\n[cache]\n    type = "reflink,hardlink,symlink"\n'
    (root / ".dvc/config").write_text(start + "".join(sections))


def body(each: int, seed: str) -> Iterator[bytes]:
    """So many bytes, in pieces, that no other seed gives."""
    start = seed.encode()[:each]
    yield start
    piece = random.Random(0).randbytes(min(each, 1 << 20))
    for left in range(each - len(start), 0, -len(piece)):
        yield piece[:left]


def keep(root: Path, pieces: Iterator[bytes] | list[bytes], suffix: str = "") -> str:
    """Put bytes into DVC's cache; their md5."""
    aside, digest = root / ".dvc/new", hashlib.md5(usedforsecurity=False)
    with aside.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
    md5 = digest.hexdigest()
    place = root / ".dvc/cache/files/md5" / md5[:2] / f"{md5[2:]}{suffix}"
    place.parent.mkdir(parents=True, exist_ok=True)
    aside.chmod(0o444)
    aside.rename(place)
    return f"{md5}{suffix}"


def track(root: Path, pointer: Path, entries: list[dict[str, str]], size: int, meta: str = "") -> str:
    """A `.dvc` file of a folder, and its `.dir` object; the md5 of that."""
    listing = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True).encode()
    md5 = keep(root, [listing], ".dir")
    rows = [f"- md5: {md5}", f"  size: {size}", f"  nfiles: {len(entries)}", "  hash: md5", f"  path: {pointer.stem}"]
    pointer.write_text("\n".join(["outs:", *rows, meta, ""]))
    return md5


# --- latency ----------------------------------------------------------------------------------------------------------


@contextmanager
def relay(url: str, seconds: float) -> Iterator[str]:
    """The address of a process that passes bytes on to `url`, each after half of `seconds`, in both directions."""
    if not seconds:
        yield url
        return
    ours, theirs = Pipe()
    parts = urlsplit(url)
    process = get_context("spawn").Process(target=serve, args=(parts.hostname, parts.port, seconds / 2, theirs))
    process.start()
    theirs.close()  # or the end of a relay that could not start would not be heard
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def serve(host: str, port: int, delay: float, tell: Connection) -> None:
    """The relay, until it is killed."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(pass_on(reader, far_writer, delay), pass_on(far_reader, writer, delay))

    async def listen() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(listen())


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Bytes from one side to the other: late, but as many at once as come."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]](64)

    async def hand_over() -> None:
        while True:
            due, data = await waiting.get()
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            if not data:
                break
            writer.write(data)
            await writer.drain()

    sender = loop.create_task(hand_over())
    with suppress(OSError):
        while data := await reader.read(256 << 10):
            await waiting.put((loop.time() + delay, data))
    await waiting.put((loop.time() + delay, b""))
    with suppress(OSError):
        await sender
    writer.close()


if __name__ == "__main__":
    main()
