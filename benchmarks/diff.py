"""Time of `registry diff` and `registry report` for two large versions, and next to `dvc diff` for two small ones.

The larger pair has lists of files, metadata (a text, a number and a time for each item) and made-up MD5s: no image is
read. The smaller pair has real files, because DVC wants them in the workspace; the two commands alternate.

python benchmarks/diff.py [--items 1000000] [--against 20000] [--rounds 3]
"""

import argparse
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from build import BIN, ENV
from launch import launch

from registry.dataset import metadata_tables

DATASET = "datasets/pets"
MANIFEST: Mapping[str, Any] = {
    "schema": 1, "name": "pets", "title": "Pets at home", "description": "Cats and dogs.", "owners": ["@acme/vision"],
    "license": "CC-BY-4.0",
    "source": {"export": {"description": "by hand"}}, "image": "{uuid}.jpg", "classes": ["cat", "dog"],
    "columns": {
        "uuid": {"type": "uuid"}, "label": {"type": "string"}, "camera": {"type": "string"},
        "exposure": {"type": "number"}, "captured_at": {"type": "datetime"},
    },
    "split": {"salt": "pets", "ratios": {"train": 0.8, "val": 0.1, "test": 0.1}},
}  # fmt: skip
SPLITS = ("train", "train", "train", "train", "train", "train", "train", "train", "val", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ours, dvc = (str(BIN / name) for name in ("registry", "dvc"))
    with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder:
        root = Path(folder) / "large"
        make(root, args.items, files=False)
        taken = [clock(root, ours, "diff", "HEAD~1", "HEAD") for _ in range(args.rounds)]
        seconds, peak = (statistics.median(one) for one in zip(*taken, strict=True))
        print((root / "output").read_text(), file=sys.stderr)
        print("| what | items | time | peak memory | of `dvc diff` |\n|---|---|---|---|---|")
        print(f"| `registry diff` | {args.items:,} | {seconds:.2f} s | {peak:,.0f} MB | |", flush=True)
        seconds, peak = clock(root, ours, "report", "--base", "HEAD~1")
        print(
            f"| `registry report`, images in no store | {args.items:,} | {seconds:.2f} s | {peak:,.0f} MB | |",
            flush=True,
        )
        root = Path(folder) / "small"
        make(root, args.against, files=True)
        pairs = [
            (clock(root, ours, "diff", "HEAD~1", "HEAD"), clock(root, dvc, "diff", "HEAD~1", "HEAD"))
            for _ in range(args.rounds)
        ]
        for what, side in zip(("`registry diff`", "`dvc diff`"), zip(*pairs, strict=True), strict=True):
            seconds, peak = (statistics.median(one) for one in zip(*side, strict=True))
            ratio = seconds / statistics.median(theirs[0] for _, theirs in pairs)
            print(f"| {what} | {args.against:,} | {seconds:.2f} s | {peak:,.0f} MB | {ratio:.2f} |")


def make(root: Path, items: int, *, files: bool) -> None:
    """A registry with two commits: the second lacks every hundredth item, and gave every thousandth another label."""
    root.mkdir()
    for command in (
        ("git", "init", "--quiet"),
        ("git", "config", "user.name", "A"),
        ("git", "config", "user.email", "a"),
    ):
        subprocess.run(command, cwd=root, env=ENV, check=True)
    subprocess.run([str(BIN / "dvc"), "init", "--quiet"], cwd=root, env=ENV, check=True)
    settings = {"schema": 1, "name": "bench", "owners": ["@acme/data"], "lake": ".registry/lake"}
    (root / "registry.yaml").write_text(yaml.safe_dump(settings))
    with (root / ".dvc/config").open("a") as config:
        for name in ("staging", "production"):
            config.write(f"['remote \"{name}\"']\n    url = ../.registry/{name}\n")
    dice = random.Random(1)
    rows: list[tuple[str, ...]] = [
        (uuid(number), SPLITS[number % 10], "cat" if number % 2 else "dog", *fields(dice)) for number in range(items)
    ]
    commit(root, rows, "1.0.0", files=files)
    kept = [row for number, row in enumerate(rows) if number % 100]
    labels: list[tuple[str, ...]] = [
        (row[0], row[1], "dog" if number % 1000 == 1 else row[2], *row[3:]) for number, row in enumerate(kept)
    ]
    commit(root, labels, "2.0.0", files=files)


def fields(dice: random.Random) -> tuple[str, str, str]:
    moment = f"{dice.randrange(2020, 2025)}-{dice.randrange(1, 13):02}-{dice.randrange(1, 29):02}T12:00:00.000000Z"
    return f"camera-{dice.randrange(60)}", f"{dice.lognormvariate(0, 1):.6f}", moment


def table(cells: list[tuple[str, ...]], head: list[str]) -> bytes:
    """A `metadata.parquet` of cells as texts."""
    moment = pl.col("captured_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_zone="UTC")
    rows = pl.DataFrame(cells, head, orient="row").with_columns(pl.col("exposure").cast(pl.Float64), moment)
    return metadata_tables.write(rows, MANIFEST["classes"])


def commit(root: Path, rows: list[tuple[str, ...]], version: str, *, files: bool) -> None:
    """The manifest, the pointers and the objects of a version, committed."""
    folder = root / DATASET
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.yaml").write_text(yaml.safe_dump({**MANIFEST, "version": version}, sort_keys=False))
    (folder / ".gitignore").write_text("/raw\n/prepared\n")
    listed = []
    for split in dict.fromkeys(SPLITS):
        part = sorted((row for row in rows if row[1] == split), key=lambda row: f"{row[2]}/{row[0]}")
        cells = [(f"{label}/{name}.jpg", label, name, *rest) for name, _, label, *rest in part]
        data = table(cells, ["file_name", "label", "uuid", "camera", "exposure", "captured_at"])
        listed.append({"md5": keep(root, data), "relpath": f"{split}/metadata.parquet"})
        for name, _, label, *_ in part:
            data = name.encode()
            md5 = keep(root, data) if files else hashlib.md5(data).hexdigest()
            listed.append({"md5": md5, "relpath": f"{split}/{label}/{name}.jpg"})
    listed.sort(key=lambda one: one["relpath"])
    md5 = keep(root, json.dumps(listed, sort_keys=True).encode(), ".dir")
    out = {"md5": md5, "size": 10_000 * len(rows), "nfiles": len(listed), "hash": "md5", "path": "prepared"}
    (folder / "prepared.dvc").write_text(yaml.safe_dump({"outs": [out]}, sort_keys=False))
    subprocess.run(["git", "add", "--all"], cwd=root, env=ENV, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", version], cwd=root, env=ENV, check=True)


def keep(root: Path, data: bytes, suffix: str = "") -> str:
    md5 = hashlib.md5(data).hexdigest() + suffix
    path = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return md5


def uuid(number: int) -> str:
    mixed = number * 0x9E3779B97F4A7C15 % 2**64
    return f"{mixed:016x}"[:8] + f"-{mixed:016x}"[:5] + f"-4000-8000-{number:012d}"


def clock(root: Path, *command: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a command."""
    used = launch(command, root, ENV, root / "output")
    return used.wall, used.memory


if __name__ == "__main__":
    main()
