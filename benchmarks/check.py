"""Time of `registry check --staged` in a registry of 200 artifacts, compared with importing its parsers.

python benchmarks/check.py [--artifacts 200] [--rounds 15]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import memory_registries

BARE = [sys.executable, "-c", "import yaml, jsonschema"]
CHECK = [str(Path(sys.executable).with_name("registry")), "check"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, args.artifacts)
        print(f"{args.artifacts:,} artifacts\n\n| what | time | bare import | ratio |\n|---|---|---|---|")
        cases: Mapping[str, Callable[[], None]] = {
            "one dataset's description, `--staged`": lambda: edit(root, version="1.0.1", description="Changed."),
            "one model's description, `--staged`": lambda: edit(
                root, "models", version="1.0.1", description="Changed."
            ),
            "a dataset's images and version, `--staged`": lambda: edit(
                root, version="1.1.0", pictures=memory_registries.images(12)
            ),
        }
        for name, stage in cases.items():
            stage()
            report(name, root, [*CHECK, "--staged"], args.rounds)
        report("the same, `--base HEAD`", root, [*CHECK, "--base", "HEAD"], 3)
        git(root, "reset", "--quiet", "--hard")
        report("everything, `--all`", root, [*CHECK, "--all"], 3)


def make(root: Path, artifacts: int) -> None:
    """A registry in which each dataset has a model, and each of both a release."""
    registry = memory_registries.Registry()
    names = [f"pets{number:03}" for number in range(artifacts // 2)]
    for name in names:
        memory_registries.put_dataset(registry, name, **memory_registries.REPRODUCIBLE)
        memory_registries.put_model(registry, name)
    registry.files[".gitignore"] = b"/.dvc/cache\n/.dvc/tmp\n/.registry/\n"
    registry.derive()
    memory_registries.put_on_disk(registry, root)
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "A")
    git(root, "config", "user.email", "a@example.com")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "registry")
    for name in names:
        for kind in ("datasets", "models"):
            git(root, "tag", "--annotate", "--message", "1.0.0", f"{kind}/{name}@v1.0.0")


def edit(root: Path, kind: str = "datasets", pictures: dict[str, bytes] | None = None, **changes: str) -> None:
    """Change one artifact, as a person and `registry build` would, and stage it with what follows from it."""
    git(root, "reset", "--quiet", "--hard")
    tracked = git(root, "ls-files", "-z").decode().split("\0")[:-1]
    registry = memory_registries.Registry({path: (root / path).read_bytes() for path in tracked})
    registry.edit(f"{kind}/pets007/{kind.removesuffix('s')}.yaml", **changes)
    if pictures:
        memory_registries.build(registry, "pets007", pictures)
    registry.derive()
    memory_registries.put_on_disk(registry, root)
    git(root, "add", "--all")


def git(root: Path, *args: str) -> bytes:
    return subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True).stdout


def report(name: str, root: Path, command: list[str], rounds: int) -> None:
    """Alternate the command and the bare import; medians, and the ratio of these."""
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    pairs = [(clock(lambda: run(command, root)), clock(lambda: run(BARE, root))) for _ in range(rounds)]
    check, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"| {name} | {check * 1000:,.0f} ms | {bare * 1000:,.0f} ms | {check / bare:.1f} |", flush=True)


def run(command: list[str], root: Path) -> None:
    subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL, check=True)


def clock(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
