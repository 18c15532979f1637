"""A million rows: seconds, time per row and peak memory to select, to split and write, to check and to compare.

No image is needed: MD5s are made up and fed to the build where it would have read the images.

python benchmarks/million.py [--rows 1000000] [--against 100000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

sys.path.insert(0, str(Path(__file__).parent))

from build import BIN, CLASSES, ENV, make_registry

ROWS = ("select", "split and write", "check", "compare")
LISTS = ("old.dir", "new.dir")
DATASET = "datasets/pets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, default=100_000)
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        STAGES[args.stage]()
        return
    measured = {rows: dict(measure(rows)) for rows in (args.against, args.rows)}
    few_rows, many_rows = f"{args.against:,} rows", f"{args.rows:,} rows"
    print(f"\n| stage | {few_rows} | peak | {many_rows} | peak | time per row |\n|---|---|---|---|---|---|")
    for stage in ROWS:
        (few, few_peak), (many, many_peak) = (measured[rows][stage] for rows in (args.against, args.rows))
        per_row = many / args.rows / (few / args.against)
        print(f"| {stage} | {few:.2f} s | {few_peak:.0f} MB | {many:.2f} s | {many_peak:.0f} MB | {per_row:.2f} × |")


def measure(rows: int) -> Iterator[tuple[str, tuple[float, float]]]:
    registry = str(BIN / "registry")
    itself = (sys.executable, str(Path(__file__).resolve()), "--stage")
    with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder:
        root = Path(folder)
        make_registry(root, root / "lake", ["00000000-0000-4000-8000-000000000000"])
        with (root / "export.csv").open("w") as file:
            file.write("uuid,label,camera\n")
            file.writelines(f"{uuid(number)},{CLASSES[number % 2]},camera-{number % 60}\n" for number in range(rows))
        yield "select", clock(root, registry, "select", DATASET, "--from", "export.csv", "--complete")
        yield "split and write", clock(root, *itself, "split and write")
        subprocess.run([registry, "check", "--fix", "--all"], cwd=root, env=ENV, capture_output=True, check=False)
        yield "check", clock(root, registry, "check", "--all")
        clock(root, *itself, "change")
        yield "compare", clock(root, *itself, "compare")


def clock(root: Path, *command: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a command."""
    begun = time.perf_counter()
    with (root / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=root, env=ENV, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) > (command[1] == "check"):  # no owner is asked here, but a finding may stand
        raise SystemExit((root / "output").read_text())
    print(f"{' '.join(command[1:])}: {time.perf_counter() - begun:.2f} s", file=sys.stderr)
    return time.perf_counter() - begun, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def uuid(number: int) -> str:
    mixed = number * 0x9E3779B97F4A7C15 % 2**64
    return f"{mixed:016x}"[:8] + f"-{mixed:016x}"[:5] + f"-4000-8000-{number:012x}"


# --- stages that are no command ---------------------------------------------------------------------------------------


def split_and_write() -> None:
    """The end of a build: splits, tables, the `.dir` object, the pointer."""
    import polars as pl

    from registry.cli.preparing import build_places
    from registry.cli.workspace import here
    from registry.core import digests, manifests, names
    from registry.dataset import build, version_rows

    space = here()
    manifest, places = manifests.load_dataset(space.tree, names.parse_id(DATASET)), build_places(space)
    selected = build.read_selection(manifest, places)
    rows = version_rows.items_of(manifest, selected.rows)
    md5 = pl.col("uuid").str.replace_all("-", "")
    made = build.Plan(manifest, selected, rows)
    output, _ = build.write(made, rows.with_columns(md5=md5, size=10_000), places)
    Path(LISTS[0]).symlink_to(places.cache.path / digests.object_key(output.md5))


def change() -> None:
    """Another version beside the first: without every hundredth item, every thousandth with another label."""
    import polars as pl

    from registry.sync import dir_listing

    files = read_version(Path(LISTS[0]))
    is_cat = pl.col("index") % 1000 == 1
    relabelled = (
        pl.when(is_cat).then(pl.col("relpath").str.replace("/cat/", "/dog/", literal=True)).otherwise("relpath")
    )
    other = files.with_row_index().filter(pl.col("index") % 100 != 0).with_columns(relpath=relabelled)
    Path(LISTS[1]).write_bytes(dir_listing.write(other))


def compare() -> None:
    """The difference of two versions, from their lists of files alone."""
    from registry.dataset import items

    old, new = (items.parse(read_version(Path(name))) for name in LISTS)
    print(items.compare(old, new).rows)


def read_version(path: Path) -> "polars.DataFrame":
    from registry.sync import dir_listing

    data = path.read_bytes()
    return dir_listing.read(data, dir_listing.md5_of(data))


STAGES = {"split and write": split_and_write, "change": change, "compare": compare}


if __name__ == "__main__":
    main()
