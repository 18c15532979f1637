"""A copy of the template: made in an empty folder, from a checkout or from a wheel; what `make test` says there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from registry.core import settings
from registry.core.tree import DictTree
from registry.errors import Refused
from registry.scaffold import copy, skeleton, tooling
from support import copies, repositories, trainable_registry
from support.repositories import Run

GIVEN = ("--owner", "@acme/data", "--bucket", ".registry", "--lake", ".registry/lake")
ROOT = Path(__file__).parents[2]


def test_a_copy_is_thin_green_and_names_its_tooling(run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(tmp_path, "init", "my-data", *GIVEN)
    assert done.code == 0, done.err
    made = tmp_path / "my-data"
    assert done.out.endswith(
        "hint: cd my-data, make setup, then git add --all and commit, then registry new dataset NAME\n"
    )
    found = copies.files(made)
    table = skeleton.read_table(skeleton.of_tooling())
    assert sorted(found) == sorted([*table.owned, *table.once])
    assert [path for path, data in found.items() if data.startswith(b"x")] == ["scripts/hook"]
    file = settings.read(DictTree({settings.PATH: found[settings.PATH][1:]}))
    assert (file.name, file.template) == ("my-data", tooling.pin())
    repositories.commit(made, "our registry")
    checked = run_registry(made, "check", "--all")
    assert checked.code == 0, checked.out
    for name in ("model", "transfer"):
        shutil.copytree(ROOT / "scripts/registry/scaffold/templates" / name, made / "models" / name)
    ruff = Path(sys.executable).with_name("ruff")
    for command in (("check",), ("format", "--check", "--exclude", "models")):  # as the hooks of commits do
        done = subprocess.run([ruff, *command, made], cwd=made, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_current_folder_becomes_one_if_it_is_empty(run_registry: Run, tmp_path: Path) -> None:
    repositories.git_in(tmp_path, "init", "--quiet")
    repositories.git_in(tmp_path, "remote", "add", "origin", "git@github.com:zoo/pets.git")
    done = run_registry(tmp_path, "init", "--name", "pets", *GIVEN)
    assert done.code == 0, done.err
    assert "hint: make setup, then" in done.out
    assert "dvc get ssh://git@github.com/zoo/pets.git datasets/NAME" in (tmp_path / "README.md").read_text()


def test_a_dry_run_makes_nothing(run_registry: Run, tmp_path: Path) -> None:
    done = run_registry(tmp_path, "init", "new", *GIVEN, "--dry-run", "--source", "https://example.org/t.git")
    assert f"template https://example.org/t.git {tooling.read().version} ({tooling.read().commit})" in done.out
    assert list(tmp_path.iterdir()) == []


def test_no_copy_is_made_over_files_or_inside_of_a_repository(run_registry: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert run_registry(tmp_path, "init", ".", *GIVEN, "--name", "x").refused("is not empty")
    assert run_registry(tmp_path, "init", *GIVEN, "--name", "x").refused("is not in a Git repository")
    repositories.git_in(tmp_path, "init", "--quiet")
    assert run_registry(tmp_path, "init", "inner", *GIVEN).refused("would be inside of the Git repository")
    assert [file.name for file in tmp_path.iterdir() if file.name != ".git"] == ["notes.txt"]


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("git@github.com:acme/template.git", "ssh://git@github.com/acme/template.git"),
        ("https://bot:hush@github.com/acme/template", "https://github.com/acme/template"),
        ("/srv/template.git", "file:///srv/template.git"),
        ("ssh://git@github.com/acme/template", "ssh://git@github.com/acme/template"),
        ("", ""),
    ],
)
def test_an_address_is_written_as_pip_takes_it(said: str, url: str) -> None:
    assert tooling.normalize(said) == url


@pytest.mark.parametrize("unknown", [{"commit": ""}, {"source": ""}], ids=["commit", "source"])
def test_a_tooling_of_unknown_origin_makes_no_copy(unknown: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"version": "1.0.0", "commit": "a" * 40, "source": "https://example.org/t.git"}
    monkeypatch.setattr(tooling, "read", lambda: tooling.Tooling(**(known | unknown)))
    with pytest.raises(Refused, match=f"the {'repository' if 'source' in unknown else 'commit'} of this tooling"):
        tooling.pin()


def test_an_edited_setting_stays_where_the_pin_is_written() -> None:
    pin = tooling.pin()
    data = copy.pinned(b"schema: 1\nname: x # ours\n", pin)
    assert data.startswith(b"schema: 1\nname: x # ours\ntemplate:")


@pytest.mark.slow
def test_a_wheel_makes_the_same_copy_as_a_checkout(tmp_path: Path) -> None:
    unpacked = copies.wheel(tmp_path)
    env = {**os.environ, "PYTHONPATH": str(unpacked)}
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "registry", "init", "acme-data", *GIVEN, "--source", "https://example.org/t.git"]
    done = subprocess.run(command, cwd=tmp_path / "empty", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pin = tooling.pin("https://example.org/t.git")
    assert copies.files(tmp_path / "empty/acme-data") == copies.files(copies.make(tmp_path / "checkout", pin=pin))
    assert json.loads((unpacked / "registry/origin.json").read_text())["commit"] == pin.commit


@pytest.mark.slow
def test_make_test_passes_in_a_copy_and_finds_a_fault_in_its_data(tmp_path: Path) -> None:
    made = copies.make(tmp_path / "copy")
    trainable_registry.found(made)
    assert repositories.registry(made, "check", "--fix", "--all").returncode == 0
    repositories.stage(made)
    repositories.commit(made, "pets")
    (made / "tests/test_ours.py").write_text(
        "def test_cats_only(dataset, items):\n    assert set(items['label']) == {'cat'}\n"
    )
    done = make(made, "test")
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert "FAILED tests/test_ours.py::test_cats_only[datasets/pets]" in done.stdout
    assert done.returncode == 2


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # `make test ARGS=…` passes its variables on to every make below it.
    ours = ("PYTEST_", "COV_", "MAKE", "MFLAGS", "ARGS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(["make", *words], cwd=folder, env=clean, capture_output=True, text=True)
