"""A million rows, or more: seconds of processors and peak memory to select, write, check, compare and plan a publish.

No image is needed: MD5s are made up and fed to the build where it would have read the images, and a staging says that
it has all of them. Above a million rows the dataset is tracked in 256 folders a split.

python benchmarks/million.py [--rows 1000000] [--against 100000]
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polars import DataFrame

sys.path.insert(0, str(Path(__file__).parent))

from build import BIN, CLASSES, ENV, make_registry
from launch import launch

ROWS = ("select", "split and write", "check", "compare", "plan a publish")
DATASET = "datasets/pets"
SIZE = 10_000  # bytes of an image that does not exist
ONE_FOLDER = 1_000_000


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
    print(f"\n| stage | {few_rows} | peak | {many_rows} | peak | per row |\n|---|---|---|---|---|---|")
    for stage in ROWS:
        (few, few_peak), (many, many_peak) = (measured[rows][stage] for rows in (args.against, args.rows))
        per_row = many / args.rows / (few / args.against)
        print(f"| {stage} | {few:.2f} s | {few_peak:,.0f} MB | {many:.2f} s | {many_peak:,.0f} MB | {per_row:.2f} × |")


def measure(rows: int) -> Iterator[tuple[str, tuple[float, float]]]:
    registry = str(BIN / "registry")
    itself = (sys.executable, str(Path(__file__).resolve()), "--stage")
    with tempfile.TemporaryDirectory(prefix="registry-benchmark-") as folder:
        root = Path(folder)
        make_registry(root, root / "lake", ["00000000-0000-4000-8000-000000000000"])
        if rows > ONE_FOLDER:
            with (root / DATASET / "dataset.yaml").open("a") as file:
                file.write("layout: {folders: 256}\n")
        write_export(root, rows)
        yield "select", clock(root, registry, "select", DATASET, "--from", "export.csv", "--complete")
        yield "split and write", clock(root, *itself, "split and write")
        subprocess.run([registry, "check", "--fix", "--all"], cwd=root, env=ENV, capture_output=True, check=False)
        yield "check", clock(root, registry, "check", "--all")
        (root / "export.csv").unlink()
        who = ("-c", "user.name=Ben", "-c", "user.email=ben@example.com")
        for command in (("add", "--all"), ("commit", "--quiet", "--no-verify", "--message", "1.0.0")):
            subprocess.run(["git", *who, *command], cwd=root, env=ENV, check=True)
        yield "plan a publish", clock(root, *itself, "plan a publish")
        write_export(root, rows + rows // 100)
        clock(root, registry, "select", DATASET, "--from", "export.csv", "--complete")
        clock(root, *itself, "split and write")
        yield "compare", clock(root, registry, "diff", DATASET)


def write_export(root: Path, rows: int) -> None:
    with (root / "export.csv").open("w") as file:
        file.write("uuid,label,camera\n")
        file.writelines(f"{uuid(number)},{CLASSES[number % 2]},camera-{number % 60}\n" for number in range(rows))


def clock(root: Path, *command: str) -> tuple[float, float]:
    """Seconds of processors and peak megabytes of a command: other work on the machine has less influence on them."""
    accept = (0, 1) if command[1] == "check" else (0,)  # no owner is asked here, but a finding may stand
    used = launch(command, root, ENV, root / "output", accept)
    print(f"{' '.join(command[1:])}: {used.wall:.2f} s, {used.cpu:.2f} CPU s, {used.memory:,.0f} MB", file=sys.stderr)
    return used.cpu, used.memory


def uuid(number: int) -> str:
    mixed = number * 0x9E3779B97F4A7C15 % 2**64
    return f"{mixed:016x}"[:8] + f"-{mixed:016x}"[:5] + f"-4000-8000-{number:012x}"


# --- stages that are no command ---------------------------------------------------------------------------------------


def split_and_write() -> None:
    """The end of a build, of images that are known by their ETags: splits, tables, lists of files, the pointer."""
    import polars as pl

    from registry.cli.preparing import build_places
    from registry.cli.workspace import here
    from registry.core import manifests, names
    from registry.dataset import loaded_selection, version_rows, version_writing

    space = here()
    manifest, places = manifests.load_dataset(space.tree, names.parse_id(DATASET)), build_places(space)
    selected = loaded_selection.read(manifest, places.root, (places.cache, places.staging, places.production))
    md5 = pl.col("uuid").str.replace_all("-", "")
    rows = version_rows.items_of(manifest, selected.rows).with_columns(md5=md5, size=SIZE)
    version_writing.write(manifest, selected, rows, places)


def plan_publish() -> None:
    """What `registry publish --dry-run` does, with a staging that says that it has every image."""
    import polars as pl

    from registry.cli.workspace import here
    from registry.integrations import git_trees
    from registry.release import due_versions, publish
    from registry.storage.local import Folder

    class Claiming(Folder):
        def find_many(self, keys: Sequence[str]) -> "DataFrame":
            found = super().find_many([key for key in keys if key.endswith(".dir")])
            md5s = pl.Series("key", keys, pl.String).to_frame().filter(~pl.col("key").str.ends_with(".dir"))
            etag = pl.col("key").str.strip_prefix("files/md5/").str.replace("/", "")
            made_up = md5s.with_columns(pl.lit(SIZE, pl.Int64).alias("size"), etag.alias("etag"))
            return pl.concat([found, made_up.with_columns(modified=pl.lit(None, found.schema["modified"]))])

    space = here()
    context = due_versions.collect(space.root)
    with git_trees.Revision(space.root, context.commit) as tree:
        staging = Claiming(Path(space.stores.staging.url))
        print(publish.plan(context, tree, staging, space.stores.production))


STAGES = {"split and write": split_and_write, "plan a publish": plan_publish}


if __name__ == "__main__":
    main()
