"""Time of `registry report` for images added to a large dataset, without training.

Every image is a real JPEG of its own. They lie in staging, as after a pull request's push, and not in DVC's cache.

python benchmarks/report.py [--items 100000] [--added 1000] [--rounds 3]
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from build import BIN, ENV
from diff import DATASET, MANIFEST, SPLITS, clock, fields, table, uuid

from registry.core import manifests, names
from registry.integrations import git_trees

SIDE = 96  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--added", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder:
        root = Path(folder) / "registry"
        make(root, args.items, args.added)
        taken = [clock(root, str(BIN / "registry"), "report", "--base", "HEAD~1") for _ in range(args.rounds)]
        told = json.loads((root / ".registry/report/report.json").read_text())
        print(f"{told['verdict']}: {told['headline']}", told["checks"], file=sys.stderr)
        print(*told["findings"][:3], *told["not_run"], sep="\n", file=sys.stderr)
        sizes = {name: (root / ".registry/report" / name).stat().st_size for name in ("report.md", "report.html")}
        first, seconds = taken[0][0], statistics.median(one[0] for one in taken)
        peak = max(one[1] for one in taken)
        print(f"| images | added | first run | median of {args.rounds} | peak memory | {' | '.join(sizes)} |")
        print(f"|{'---|' * 7}")
        written = " | ".join(f"{size / 1000:,.0f} kB" for size in sizes.values())
        print(f"| {args.items:,} | {args.added:,} | {first:.2f} s | {seconds:.2f} s | {peak:,.0f} MB | {written} |")


def make(root: Path, items: int, added: int) -> None:
    """A registry with two commits, the second with `added` more images of a dataset; all objects are in staging."""
    root.mkdir()
    for command in ("init --quiet", "config user.name A", "config user.email a@example.com"):
        subprocess.run(["git", *command.split()], cwd=root, env=ENV, check=True)
    subprocess.run([str(BIN / "dvc"), "init", "--quiet"], cwd=root, env=ENV, check=True)
    settings = {"schema": 1, "name": "bench", "owners": ["@acme/data"], "lake": ".registry/lake"}
    (root / "registry.yaml").write_text(yaml.safe_dump(settings))
    (root / ".gitignore").write_text("/.registry/\n")
    with (root / ".dvc/config").open("a") as config:
        for name in ("staging", "production"):
            config.write(f"['remote \"{name}\"']\n    url = ../.registry/{name}\n")
    for folder in (f"{number:02x}" for number in range(256)):
        (root / ".registry/staging/files/md5" / folder).mkdir(parents=True)
    (root / ".registry/production").mkdir()
    dice = random.Random(1)
    pictures = [photo(dice) for _ in range(50)]
    rows = [row(root, number, pictures, dice) for number in range(items + added)]
    for version, count in (("1.0.0", items), ("1.1.0", items + added)):
        commit(root, rows[:count], version)


def photo(dice: random.Random) -> bytes:
    """A JPEG of coloured noise, with soft edges."""
    small = Image.frombytes("RGB", (8, 8), dice.randbytes(8 * 8 * 3))
    data = BytesIO()
    small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(data, "JPEG", quality=85)
    return data.getvalue()


def row(root: Path, number: int, pictures: list[bytes], dice: random.Random) -> tuple[str, ...]:
    """One stored image: its split, label, name, md5, and the fields of its metadata."""
    # Bytes behind a JPEG's end are not looked at, and make each image another one.
    md5 = keep(root, pictures[number % len(pictures)] + str(number).encode())
    return SPLITS[number % 10], ("cat", "dog")[number % 2], f"{uuid(number)}.jpg", md5, *fields(dice)


def keep(root: Path, data: bytes, suffix: str = "") -> str:
    """Put an object into staging; its md5."""
    md5 = hashlib.md5(data).hexdigest() + suffix
    place(root, md5).write_bytes(data)
    return md5


def place(root: Path, md5: str) -> Path:
    """Where staging holds an object."""
    return root / ".registry/staging/files/md5" / md5[:2] / md5[2:]


def commit(root: Path, rows: list[tuple[str, ...]], version: str) -> None:
    """Write and commit a version of the dataset that has these rows."""
    folder = root / DATASET
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.yaml").write_text(yaml.safe_dump({**MANIFEST, "version": version}, sort_keys=False))
    (folder / ".gitignore").write_text("/raw\n/prepared\n")
    raw = out(root, "raw", {"selection.parquet": keep(root, version.encode())})
    tables, counts = {}, {}
    for split in ("train", "val", "test"):
        there = sorted((f"{one[1]}/{one[2]}", one[1], *one[4:]) for one in rows if one[0] == split)
        head = ["file_name", *(name for name in MANIFEST["columns"] if name != "uuid")]
        tables[f"{split}/metadata.parquet"] = keep(root, table(there, head))
        counts[split] = {label: sum(one[1] == label for one in there) for label in ("cat", "dog")}
    images = {f"{one[0]}/{one[1]}/{one[2]}": one[3] for one in rows}
    (folder / "raw.dvc").write_text(yaml.safe_dump({"outs": [raw]}, sort_keys=False))
    rule = manifests.build_rule(manifests.load_dataset(git_trees.WorkTree(root), names.parse_id(DATASET)))
    build = {"selection": raw["md5"], "rule": rule, "images": len(images), "counts": counts}
    prepared = {"outs": [out(root, "prepared", {**images, **tables})], "meta": {"build": build}}
    (folder / "prepared.dvc").write_text(yaml.safe_dump(prepared, sort_keys=False))
    subprocess.run([str(BIN / "registry"), "check", "--fix"], cwd=root, env=ENV, capture_output=True, check=False)
    subprocess.run(["git", "add", "--all"], cwd=root, env=ENV, check=True)
    subprocess.run(["git", "commit", "--quiet", "--no-verify", "-m", version], cwd=root, env=ENV, check=True)


def out(root: Path, name: str, files: dict[str, str]) -> dict[str, object]:
    """The entry of a folder output; its list of files is in staging."""
    size = sum(place(root, md5).stat().st_size for md5 in files.values())
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    md5 = keep(root, json.dumps(entries, sort_keys=True).encode(), ".dir")
    return {"md5": md5, "size": size, "nfiles": len(files), "hash": "md5", "path": name}


if __name__ == "__main__":
    os.environ.update(ENV)
    main()
