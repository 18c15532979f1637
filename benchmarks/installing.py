"""What whoever starts here waits for: `make setup` without .venv and with empty caches, by uv and by pip, in turns.

uv is not on PATH, so its time holds that in which pip fetches it.

python benchmarks/installing.py [--with "hooks train s3 dev"] [--rounds 1]
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WAYS: Mapping[str, Mapping[str, str]] = {"uv": {}, "uv, caches filled": {}, "pip": {"INSTALLER": "pip"}}


class Cost(NamedTuple):
    """Seconds by the clock, and of processors; bytes of .venv."""

    clock: float
    processors: float
    size: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--with", dest="groups", default="hooks", help="groups of pyproject.toml")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    found: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            checkout = copy(Path(folder))
            for way, env in WAYS.items():
                found[way].append(install(checkout, args.groups, env))
    costs = {way: Cost(*(statistics.median(one) for one in zip(*rounds, strict=True))) for way, rounds in found.items()}
    print(f"groups: {args.groups or 'none'}\n")
    print("| by | seconds | of uv | CPU seconds | of uv | .venv |\n|---|---|---|---|---|---|")
    for way, cost in costs.items():
        clock, processors = cost.clock / costs["uv"].clock, cost.processors / costs["uv"].processors
        times = f"{cost.clock:,.0f} | {clock:.1f} | {cost.processors:,.0f} | {processors:.1f}"
        print(f"| {way} | {times} | {cost.size / 1e6:,.0f} MB |")


def copy(folder: Path) -> Path:
    """What Git tracks here."""
    names = subprocess.check_output(["git", "-C", ROOT, "ls-files", "-z"], text=True).split("\0")[:-1]
    for name in names:
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "checkout" / name, follow_symlinks=False)
    return folder / "checkout"


def install(checkout: Path, groups: str, env: Mapping[str, str]) -> Cost:
    """With caches beside the checkout; uv finds those of its last installation there."""
    shutil.rmtree(checkout / ".venv", ignore_errors=True)
    path = [one for one in os.environ["PATH"].split(os.pathsep) if not Path(one, "uv").exists()]
    own = {"PATH": os.pathsep.join(path), "PIP_CACHE_DIR": str(checkout.parent / f"cache-{env.get('INSTALLER', 'uv')}")}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    python = f"PYTHON={Path(sys.base_prefix, 'bin/python3')}"
    start, before = time.perf_counter(), used()
    command = ["make", "--silent", "venv", f"WITH={groups}", python]
    subprocess.run(command, cwd=checkout, env={**clean, **own, **env}, stderr=subprocess.DEVNULL, check=True)
    clock, processors = time.perf_counter() - start, used() - before
    files = (path for path in (checkout / ".venv").rglob("*") if path.is_file() and not path.is_symlink())
    return Cost(clock, processors, sum(path.stat().st_size for path in files))


def used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
