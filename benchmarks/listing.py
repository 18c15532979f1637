"""Time of `registry list` with many releases: the first run, the second one, and another checkout's code beside it.

python benchmarks/listing.py [--releases 4000] [--rounds 3] [--against /path/of/another/checkout]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import memory_registries

PROJECT = Path(__file__).parents[1]
ARTIFACTS = 40  # half of them datasets, each with a model; releases are spread over them


class Run(NamedTuple):
    """Processor seconds of a command and of what it starts, and what it printed."""

    seconds: float
    printed: bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, args.releases)
        codes = {"this": PROJECT, **({"the other": args.against} if args.against else {})}
        first: dict[str, list[float]] = {name: [] for name in codes}
        second: dict[str, list[float]] = {name: [] for name in codes}
        printed = set()
        for _ in range(args.rounds):
            for name, code in codes.items():
                forget(root)
                for times in (first, second):
                    done = run(root, code)
                    times[name].append(done.seconds)
                    printed.add(done.printed)
        if len(printed) > 1:
            raise SystemExit("the runs printed different lists")
        print(f"{args.releases:,} releases, {len(*printed):,} bytes of JSON; processor time, median of {args.rounds}\n")
        print("| code | first run | ratio | second run | ratio |\n|---|---|---|---|---|")
        base = statistics.median(first["this"])
        for name in codes:
            one, two = statistics.median(first[name]), statistics.median(second[name])
            print(f"| {name} | {one:.2f} s | {one / base:.2f} | {two:.2f} s | {two / base:.2f} |")


def make(root: Path, releases: int) -> None:
    """A registry in which each version has a commit and a tag of its own, and no two versions the same files."""
    registry = memory_registries.Registry()
    names = [f"pets{number:02}" for number in range(ARTIFACTS // 2)]
    for name in names:
        memory_registries.put_dataset(registry, name)
        memory_registries.put_model(registry, name)
    registry.derive()
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "fast-import", "--quiet", stdin=b"".join(history(registry, names, releases)))
    git(root, "reset", "--quiet", "--hard")


def history(registry: memory_registries.Registry, names: list[str], releases: int) -> Iterator[bytes]:
    """The commits and tags in the form of `git fast-import`."""
    person = b"A <a@example.com> 1790000000 +0000"
    files = registry.files
    for number in range(releases):
        kind, name = ("datasets", "models")[number % 2], names[number // 2 % len(names)]
        version = f"1.{number // ARTIFACTS}.0"
        changed = files if number == 0 else next_version(files, f"{kind}/{name}", version, number)
        yield b"commit refs/heads/main\ncommitter %s\ndata 1\n.\n" % person
        for path, data in changed.items():
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)
        yield b"tag %s/%s@v%s\nfrom refs/heads/main\ntagger %s\ndata 1\n.\n" % (
            kind.encode(), name.encode(), version.encode(), person,
        )  # fmt: skip


def next_version(files: dict[str, bytes], folder: str, version: str, number: int) -> dict[str, bytes]:
    """The files of a version, none of which is as it was: other checksums, sizes and metrics."""
    changed = {}
    for name in ("dataset.yaml", "model.yaml", "raw.dvc", "prepared.dvc", "dvc.lock", "metrics.json"):
        if data := files.get(f"{folder}/{name}"):
            text = data.decode().replace("version: 1.0.0", f"version: {version}")
            lines = (new_checksum(line, number) for line in text.splitlines(keepends=True))
            changed[f"{folder}/{name}"] = "".join(lines).encode()
    return changed


def new_checksum(line: str, number: int) -> str:
    """A line with another MD5 where it has one."""
    before, found, value = line.partition("md5: ")
    return f"{before}{found}{number:08x}{value[8:]}" if found and len(value) > 32 else line


def forget(root: Path) -> None:
    """Remove what earlier runs left behind."""
    subprocess.run(["rm", "-rf", str(root / ".dvc/tmp")], check=True)


def run(root: Path, code: Path) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = {**os.environ, "PYTHONPATH": str(code / "scripts")}
    command = [sys.executable, "-m", "registry", "list", "--format", "json"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout)


def git(root: Path, *args: str, stdin: bytes = b"") -> None:
    subprocess.run(["git", "-C", str(root), *args], check=True, input=stdin, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
