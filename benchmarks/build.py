"""Time of `registry build`, compared with a baseline and with DVC, and again after adding 1% of the images.

The baseline reads the same images, computes their MD5 and writes them elsewhere, in two processes. DVC: the images are
copied into class folders, then `dvc add`, then `dvc push` to a folder. All on one disk, in one run, alternating.

python benchmarks/build.py [--images 10000] [--rounds 3] [--dvc-rounds 1]
"""

import argparse
import hashlib
import io
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from tqdm import tqdm

BIN = Path(sys.executable).parent
CLASSES = ("cat", "dog")
ENV = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    "DVC_NO_ANALYTICS": "1",
    "PYTHONDONTWRITEBYTECODE": "",  # set, it has each process compile every module: 0.4 s
}
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
columns:
  uuid: {type: uuid}
  label: {type: string}
  camera: {type: string}
classes: [cat, dog]
split: {salt: pets, ratios: {train: 0.8, val: 0.1, test: 0.1}}
"""


class Cost(NamedTuple):
    """Wall-clock seconds, and CPU seconds of all processes, on which other work on the machine has less influence."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dvc-rounds", type=int, default=1)
    parser.add_argument("--undecoded", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.undecoded:
        build_undecoded()
        return
    with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder:
        costs = measure(Path(folder), args.images, args.rounds, args.dvc_rounds)
    report(args.images, costs)


def measure(top: Path, images: int, rounds: int, dvc_rounds: int) -> dict[str, Cost]:
    """What each row costs, the median of the rounds.

    Nothing is deleted until the end: ext4 without a journal does not use an inode again for minutes, and looks for
    others at the cost of the next measurement (measured: three times the baseline).
    """
    uuids = [str(UUID(int=random.Random(number).getrandbits(128))) for number in range(images + images // 100)]
    make_lake(top / "lake", uuids)
    first, added = uuids[:images], uuids[images:]
    costs: dict[str, list[Cost]] = {}

    def clock(row: str, work: Callable[[], None]) -> None:
        os.sync()
        begun, used = time.perf_counter(), cpu_seconds()
        work()
        cost = Cost(time.perf_counter() - begun, cpu_seconds() - used)
        costs.setdefault(row, []).append(cost)
        print(f"{row}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s", file=sys.stderr)

    for number in range(rounds):
        copy = make_copy(top / f"copy-{number}")
        clock("baseline", partial(baseline, top / "lake", copy, first))
        clock("baseline, the 1%", partial(baseline, top / "lake", copy, added))
        for row, command in (("build", BUILD), ("build, not decoding", UNDECODED)):
            root = make_registry(top / f"{row}-{number}", top / "lake", first)
            clock(row, partial(run, root, *command))
            select(root, uuids)
            clock(f"{row}, 1% more", partial(run, root, *command))
    for number in range(dvc_rounds):
        root = make_dvc(top / f"dvc-{number}")
        clock("DVC", partial(with_dvc, root, top / "lake", first))
        clock("DVC, 1% more", partial(with_dvc, root, top / "lake", added))
    return {row: Cost(*map(statistics.median, zip(*rounds_, strict=True))) for row, rounds_ in costs.items()}


def report(images: int, costs: dict[str, Cost]) -> None:
    print(f"\n{images:,} images of about 10 kB, {os.cpu_count()} cores\n")
    print("| what | seconds | of baseline | CPU seconds | of baseline | compared with DVC |")
    print("|---|---|---|---|---|---|")
    for row, cost in costs.items():
        whole = costs.get("DVC, 1% more" if "1%" in row else "DVC")
        gain = f"{whole.wall / cost.wall:.1f} times faster" if whole and whole is not cost else ""
        wall, cpu = (mine / least for mine, least in zip(cost, costs["baseline"], strict=True))
        print(f"| {row} | {cost.wall:.2f} | {wall:.2f} | {cost.cpu:.2f} | {cpu:.2f} | {gain} |")
    wall, cpu = (more / whole for more, whole in zip(costs["build, 1% more"], costs["build"], strict=True))
    print(f"\n1% more takes {wall:.1%} of the build's seconds, and {cpu:.1%} of its CPU seconds.")


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# --- what is measured -------------------------------------------------------------------------------------------------

BUILD = (str(BIN / "registry"), "build", "datasets/pets")
UNDECODED = (sys.executable, str(Path(__file__).resolve()), "--undecoded")


def baseline(lake: Path, copy: Path, uuids: Sequence[str]) -> None:
    """Read + MD5 + write, two processes, nothing else."""
    parts = [uuids[start : start + 1000] for start in range(0, len(uuids), 1000)]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(copy_hashed, [lake] * len(parts), [copy] * len(parts), parts))


def copy_hashed(lake: Path, copy: Path, uuids: Sequence[str]) -> None:
    for uuid in uuids:
        with open(f"{lake}/{uuid}.jpg", "rb") as file:  # noqa: PTH123 - pathlib would slow the baseline down
            data = file.read()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        with open(f"{copy}/{md5[:2]}/{md5[2:]}", "wb") as file:  # noqa: PTH123 - as above
            file.write(data)


def build_undecoded() -> None:
    """`registry build` without decoding the images."""
    from registry.cli import main
    from registry.dataset import image_validation

    image_validation.find_fault = believe  # type: ignore[assignment]
    sys.exit(main.run(["build", "datasets/pets"]))


def believe(_key: str, _data: bytes, *, lenient: bool) -> None:  # noqa: ARG001 - as `find_fault` is called
    return None


def with_dvc(root: Path, lake: Path, uuids: Sequence[str]) -> None:
    """Copy into class folders, `dvc add`, `dvc push`."""
    for uuid in uuids:
        shutil.copyfile(lake / f"{uuid}.jpg", root / "prepared" / label(uuid) / f"{uuid}.jpg")
    run(root, "dvc", "add", "--quiet", "prepared")
    run(root, "dvc", "push", "--quiet")


# --- what it is measured on -------------------------------------------------------------------------------------------


def make_lake(lake: Path, uuids: Sequence[str]) -> None:
    """JPEGs of 224 × 224 pixels and about 10 kB, each with bytes of its own."""
    lake.mkdir()
    pictures = [picture(number) for number in range(50)]
    for number, uuid in enumerate(tqdm(uuids, desc="filling the lake", delay=2, leave=False, disable=None)):
        start, rest = pictures[number % 50][:2], pictures[number % 50][2:]
        comment = b"\xff\xfe\x00\x12" + uuid.replace("-", "")[:16].encode()
        (lake / f"{uuid}.jpg").write_bytes(start + comment + rest)
    old = time.time() - 60  # as in a lake that is not being written
    for uuid in uuids:
        os.utime(lake / f"{uuid}.jpg", (old, old))


def picture(seed: int) -> bytes:
    import numpy
    from PIL import Image

    numbers, out = numpy.random.default_rng(seed), io.BytesIO()
    shapes = Image.fromarray(numbers.integers(0, 256, (20, 20, 3), dtype=numpy.uint8)).resize((224, 224))
    grain = numbers.integers(-10, 11, (224, 224, 3))
    Image.fromarray((numpy.asarray(shapes) + grain).clip(0, 255).astype(numpy.uint8)).save(out, "JPEG", quality=75)
    return out.getvalue()


def make_copy(folder: Path) -> Path:
    """A folder with the 256 folders of an object store."""
    for number in range(256):
        (folder / f"{number:02x}").mkdir(parents=True)
    return folder


def make_registry(root: Path, lake: Path, uuids: Sequence[str]) -> Path:
    project = Path(__file__).parents[1]
    root.mkdir(exist_ok=True)
    for name in ("registry.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(project / name, root / name)
    settings = (root / "registry.yaml").read_text()
    (root / "registry.yaml").write_text(settings.replace("lake: .registry/lake", f"lake: {lake}"))
    run(root, "git", "init", "--quiet")
    (root / "datasets" / "pets").mkdir(parents=True)
    (root / "datasets" / "pets" / "dataset.yaml").write_text(MANIFEST)
    select(root, uuids)
    return root


def select(root: Path, uuids: Sequence[str]) -> None:
    rows = (f"{uuid},{label(uuid)},camera-{number % 60}\n" for number, uuid in enumerate(uuids))
    (root / "export.csv").write_text("uuid,label,camera\n" + "".join(rows))
    run(root, str(BIN / "registry"), "select", "datasets/pets", "--from", "export.csv", "--complete")


def make_dvc(root: Path) -> Path:
    root.mkdir()
    run(root, "git", "init", "--quiet")
    run(root, "dvc", "init", "--quiet")
    run(root, "dvc", "remote", "add", "--quiet", "--default", "staging", str(root / "staging"))
    for name in CLASSES:
        (root / "prepared" / name).mkdir(parents=True)
    return root


def label(uuid: str) -> str:
    return CLASSES[int(uuid[0], 16) % 2]


def run(root: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=root, env=ENV, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
