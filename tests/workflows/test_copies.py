"""The workflows of copies, which install the tooling by its pin: a thin copy, a vendored one, «Use this template»."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.core.settings import Template
from registry.integrations.git_trees import Revision
from registry.scaffold.init import Answers
from support import copies, copy_worlds, local_install, repositories
from support.act_runs import World
from support.repositories import Run, git_in

pytestmark = pytest.mark.slow

# Every split has every class.
PETS = {**repositories.MORE_PETS, "val/dog/0a8c7f6e-0000-4000-8000-000000000007.jpg": b"a dog that sleeps"}
LATER = "dog/0a8c7f6e-0000-4000-8000-000000000008.jpg"
REGISTRY = ".venv/bin/registry"
GIVEN = ("--owner", "@acme/data", "--bucket", ".registry", "--lake", ".registry/lake")
# What template.yml answers for the repository acme/registry, made by ada.
ANSWERS = Answers("registry", ("@ada",), ".registry/staging", ".registry/production", ".registry/lake")


@pytest.fixture
def thin(template: Path, wheel: Template, tmp_path: Path) -> Iterator[World]:
    """A thin copy of v1.0.0 with a dataset, pushed; its jobs install the wheel."""

    def fill(root: Path) -> None:
        repositories.dataset(root, "pets", repositories.PETS, "1.0.0")

    copy_worlds.make_thin(tmp_path / "world", template, wheel, fill)
    with copy_worlds.world(tmp_path / "world") as world:
        yield world


@pytest.fixture(autouse=True)
def _installs_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", local_install.command())


def sh(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command with the tooling of the copy."""
    return repositories.sh(root, *command, env={**os.environ, "PYTHONPATH": ""})


def test_an_upgrade_moves_to_the_wheel_beside_and_the_old_tooling_says_so(
    thin: World, template: Path, wheel: Template, tmp_path: Path
) -> None:
    file = copy_worlds.build_next(template, wheel, tmp_path)
    proposed = thin.dispatch("upgrade.yml")
    assert proposed.jobs == {"upgrade": "success"}, proposed.log
    assert thin.github.pulls[0]["title"].startswith("Upgrade the template to 1.1.0 (")
    assert sh(thin.root, "make", "setup").returncode == 0
    done = sh(thin.root, REGISTRY, "upgrade")
    assert done.returncode == 0, done.stderr
    assert f"wheel: {file.as_uri()}#sha256=" in (thin.root / "registry.yaml").read_text()
    new, old = (git_in(template, "rev-parse", f"v{version}")[:12] for version in ("1.1.0", "1.0.0"))
    told = (
        f"warning: the installed tooling is 1.0.0 ({old}), and registry.yaml names 1.1.0 ({new})\n  hint: make setup\n"
    )
    assert sh(thin.root, REGISTRY, "list").stderr == told
    git_in(thin.root, "switch", "--quiet", "--create", "upgraded")
    repositories.commit(thin.root, "1.1.0")
    git_in(thin.root, "switch", "--quiet", "main")
    merged = sh(thin.root, "git", "merge", "--no-ff", "--no-edit", "upgraded")
    assert "another version than registry.yaml names\n  hint: make setup\n" in merged.stderr
    made = sh(thin.root, "make", "setup")
    assert made.returncode == 0, made.stderr
    assert sh(thin.root, REGISTRY, "list").stderr == ""
    assert f"1.1.0 ({new})" in sh(thin.root, REGISTRY, "--version").stdout
    checked = sh(thin.root, REGISTRY, "check", "--all")
    assert checked.returncode == 0, checked.stdout


def test_use_this_template_ends_in_the_copy_that_init_makes(template: Path, tmp_path: Path) -> None:
    top = tmp_path / "world"
    git_in(tmp_path, "clone", "--quiet", "--branch", "v1.0.0", str(template), str(top / "registry"))
    shutil.rmtree(top / "registry/.git")
    git_in(top, "init", "--quiet", "--initial-branch=main", "registry")
    copy_worlds.push(top)
    with copy_worlds.world(top) as fat:
        fat.github.users["ada"] = 7
        fat.github.template = template.as_uri()
        ran = fat.push_to_main("template.yml")
        assert ran.jobs == {"configure": "success"}, ran.log
        pin = Template(template.as_uri(), "1.0.0", git_in(template, "rev-parse", "v1.0.0"))
        made = copies.make(tmp_path / "made", Revision(template, "v1.0.0"), pin, ANSWERS, fat.origin.as_uri())
        git_in(tmp_path, "clone", "--quiet", str(fat.origin), "ended")
        assert copies.files(tmp_path / "ended") == copies.files(made)


def test_a_vendored_copy_tests_its_data_with_its_own_code(tmp_path: Path, run_registry: Run) -> None:
    done = run_registry(tmp_path, "init", "ours", *GIVEN, "--vendored")
    assert done.code == 0, done.err
    root = tmp_path / "ours"
    assert not (root / "benchmarks").exists()
    assert [file.name for file in (root / "tests").iterdir()] == ["test_data.py"]
    repositories.commit(root, "our registry")
    main = root / "scripts/registry/cli/main.py"
    main.write_text(main.read_text().replace("registry, version ", "our own registry, version "))
    for command in (("make", "test"), ("make", "check")):
        done = sh(root, *command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "16 checks passed" in done.stdout
    assert sh(root, REGISTRY, "--version").stdout.startswith("our own registry, version ")
