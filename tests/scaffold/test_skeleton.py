"""The table of what each file of this repository is in a copy."""

import subprocess
from pathlib import Path

from registry.core.tree import DictTree
from registry.scaffold import skeleton

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
TABLE = skeleton.read_table(skeleton.of_tooling())
EXAMPLE = ("datasets/", "models/")  # the worked example


def test_every_file_has_one_row() -> None:
    faults = {}
    for path in TRACKED:
        is_tooling = TABLE.is_tooling(path)
        rows = [*(row for row in (*TABLE.owned, *TABLE.once) if row == path), *["t"] * is_tooling]
        if len(rows) != 1 and not path.startswith(EXAMPLE):
            faults[path] = rows
    assert faults == {}


def test_every_row_has_a_file() -> None:
    tree = skeleton.of_tooling()
    rows = (*TABLE.owned, *TABLE.once)
    assert len(set(rows)) == len(rows)
    assert list(skeleton.read_files(tree, rows)) == list(rows)


def test_no_file_that_is_the_same_exists_twice() -> None:
    """What a copy has otherwise than the repository lies in templates/copy; nothing else does."""
    special = [path for path in TRACKED if path.startswith(f"{skeleton.TEMPLATES}/")]
    names = [path.removeprefix(f"{skeleton.TEMPLATES}/") for path in special]
    assert set(names) <= {*TABLE.owned, *TABLE.once}
    assert [
        name for name in names if (ROOT / name).is_file() and read(name) == read(f"{skeleton.TEMPLATES}/{name}")
    ] == []


def read(path: str) -> bytes:
    return (ROOT / path).read_bytes()


def test_a_copys_own_form_comes_first() -> None:
    tree = DictTree({"Makefile": b"here", f"{skeleton.TEMPLATES}/Makefile": b"there", "infra/aws.yaml": b"aws"})
    found = skeleton.read_files(tree, ("Makefile", "infra/aws.yaml", "gone"))
    assert found == {"Makefile": b"there", "infra/aws.yaml": b"aws"}
