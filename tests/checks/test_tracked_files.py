"""The table of files that tools obey: it is complete, no row hides another, and any spelling falls in the right one."""

import subprocess
from pathlib import Path

import pytest

from registry.checks import tracked_files
from registry.checks.tracked_files import OTHER_CASE, ROWS, UNKNOWN, Policy, Scope, Touched
from registry.core.tree import DictTree

ROOT = Path(__file__).parents[2]
TRACKED = (
    subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
)


def test_every_file_of_the_template_has_a_row_and_none_is_wrong() -> None:
    rows = {path: tracked_files.row_of(path) for path in TRACKED if path}
    assert {path: row.name for path, row in rows.items() if row is UNKNOWN or row.policy is Policy.WRONG} == {}


def test_each_pattern_is_reached() -> None:
    """A path that is made of a pattern falls in that pattern's row, and in no row above."""
    for row in ROWS:
        for pattern in row.patterns:
            path = pattern.replace("**/", "a/b/").replace("**", "a/b").replace("*", "c")
            assert tracked_files.row_of(path) is row, pattern
            assert row.has(pattern.replace("**/", "").replace("**", "a").replace("*", "c")), pattern


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *((path, "other DVC files") for path in (
            "evil.dvc", "dvc.lock", "sub/dvc.yaml", "datasets/pets/more.dvc", "datasets/pets/deep/raw.dvc",
            "datasets/pets/.dvc", "models/pets/deep/dvc.yaml", "scripts/evil.dvc", "tests/examples/x.dvc",
            ".github/dvc.yaml", "docs/dvc.lock", ".a/b/c.dvc")),
        *((path, "other files of DVC's folder") for path in (
            "models/pets/.dvc/config", ".dvc/config.local", ".dvc/plots/evil/deep.json", ".dvc/cache/files/md5/00/1")),
        ("scripts/.dvcignore", "other files with such patterns"),
        ("datasets/.dvcignore", "other files with such patterns"),
        (".gitmodules", "submodules"), ("params.yaml", "parameters at the top"),
        ("models/pets/x.pth", "hooks of Python's start"), ("sitecustomize.py", "hooks of Python's start"),
        ("scripts/registry/usercustomize.py", "hooks of Python's start"),
        ("models/pets/conftest.py", "configuration of tools inside artifacts"),
        ("datasets/pets/a/pyproject.toml", "configuration of tools inside artifacts"),
        (".github/CODEOWNERS", "other lists of owners"), ("docs/CODEOWNERS", "other lists of owners"),
    ],
)  # fmt: skip
def test_what_must_not_be_there(path: str, name: str) -> None:
    row = tracked_files.row_of(path)
    assert (row.name, row.policy) == (name, Policy.WRONG)
    assert row.scope is Scope.DATA


@pytest.mark.parametrize(
    "path",
    ["DVC.yaml", "datasets/pets/RAW.dvc", "datasets/pets/raw.DVC", ".DVC/config", ".dvc/Config", ".DvcIgnore",
     "scripts/x.DVC", "Models/pets/dvc.yaml", ".gitAttributes", "models/pets/dvc.yaml.", "models/pets/dvc.yaml ",
     ".dvc./config", "datasets/pets/raw.dv\u200cc", "codeowners", "Registry.yaml", "models/pets/ConfTest.py",
     "makefile", ".GITHUB/workflows/evil.yml", "datasets\\pets\\evil.dvc",
     ".dvc/con\ufb01g", "raw.dv\uff43", ".dvc::$INDEX_ALLOCATION/config", "datasets/pets/raw.dvc::$DATA",
     "DVC~1/config", "models/pets/MODEL~1.YAM", "GITATT~1", ".dvc \u2064./config", "models/pets/\u017fitecustomize.py"],
)  # fmt: skip
def test_another_spelling_of_what_a_tool_obeys(path: str) -> None:
    row = tracked_files.row_of(path)
    assert row.policy is Policy.WRONG
    assert row is OTHER_CASE or row.has(path)


@pytest.mark.parametrize(
    "path", ["models/pets/ReadMe.md", "models/pets/train.py", "docs/Plan.md", "models/pets/params.yaml"]
)
def test_what_is_free(path: str) -> None:
    assert tracked_files.row_of(path).policy is Policy.FREE


@pytest.mark.parametrize(
    "path", ["notes.txt", "GNUmakefile", "pip.conf", "tox.ini", "dvclive.py", "datasets/x.csv", ".npmrc"]
)
def test_an_unknown_file_needs_an_owner(path: str) -> None:
    assert tracked_files.row_of(path) is UNKNOWN


@pytest.mark.parametrize(
    ("paths", "touched"),
    [
        ([], Touched(data=False, tooling=False)),
        (["docs/looker.md", "README.md"], Touched(data=False, tooling=False)),
        (["scripts/registry/errors.py", "tests/x.py"], Touched(data=False, tooling=True)),
        ([".github/workflows/publish.yml"], Touched(data=False, tooling=True)),
        ([".dvcignore"], Touched(data=True, tooling=False)),
        (["schemas/lock.schema.json", "Makefile"], Touched(data=True, tooling=True)),
        (["datasets/pets/README.md"], Touched(data=True, tooling=False)),
        (["scripts/evil.dvc"], Touched(data=True, tooling=False)),
        (["docs/link"], Touched(data=True, tooling=False)),
        (["docs/sub"], Touched(data=True, tooling=False)),
        (["conftest.py", "schemas/lock.schema.json"], Touched(data=True, tooling=True)),
        (["nothing/known"], Touched(data=True, tooling=True)),
    ],
)
def test_what_a_change_touches(paths: list[str], touched: Touched) -> None:
    tree = DictTree(dict.fromkeys(["docs/link", "docs/text"], b""), frozenset({"docs/link"}), ("docs/sub",))
    assert tracked_files.touched(paths, tree) == touched
