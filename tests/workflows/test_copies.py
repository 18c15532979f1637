"""The workflows of copies, which install the tooling by its pin: a thin copy, a vendored one, «Use this template»."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.core.settings import Template
from registry.integrations.git_trees import Revision, WorkTree
from registry.scaffold import wheels
from registry.scaffold.init import Answers
from support import copies, local_install, odd_images, repositories
from support.act_runs import REVIEWED, ROLES, World, world
from support.repositories import Run, git_in
from support.workflow_files import ROOT

pytestmark = pytest.mark.slow

# Every split has every class.
PETS = {**repositories.MORE_PETS, "val/dog/0a8c7f6e-0000-4000-8000-000000000007.jpg": b"a dog that sleeps"}
LATER = "dog/0a8c7f6e-0000-4000-8000-000000000008.jpg"
REGISTRY = ".venv/bin/registry"
GIVEN = ("--owner", "@acme/data", "--bucket", ".registry", "--lake", ".registry/lake")
# What template.yml answers for the repository acme/registry, made by ada.
ANSWERS = Answers("registry", ("@ada",), ".registry/staging", ".registry/production", ".registry/lake")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is on disk, in two commits: v1.0.0, and v1.1.0 with a change in a workflow."""
    root = tmp_path_factory.mktemp("template") / "template"
    for entry in WorkTree(ROOT).list():
        (root / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / entry.path, root / entry.path)
    git_in(root.parent, "init", "--quiet", "--initial-branch=main", str(root))
    for version in ("1.0.0", "1.1.0"):
        project = root / "pyproject.toml"
        project.write_text(project.read_text().replace('version = "1.0.0"', f'version = "{version}"', 1))
        nightly = root / ".github/workflows/nightly.yml"
        nightly.write_text(nightly.read_text().replace("name: Nightly checks", f"name: Nightly checks {version}", 1))
        git_in(root, "tag", f"v{version}", repositories.commit(root, version))
    return root


@pytest.fixture(scope="module")
def wheel(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """v1.0.0, pinned by its wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    git_in(folder, "clone", "--quiet", "--branch", "v1.0.0", str(template), "clone")
    file = copies.build_wheel(folder / "dist", folder / "clone")
    pin = Template(template.as_uri(), "1.0.0", git_in(template, "rev-parse", "v1.0.0"))
    return wheels.pin(pin, file.as_uri())


@pytest.fixture
def thin(template: Path, wheel: Template, tmp_path: Path) -> Iterator[World]:
    """A thin copy of v1.0.0 with a dataset in folders, pushed; its jobs install the wheel."""
    top = tmp_path / "world"
    root = copies.make(top / "registry", Revision(template, "v1.0.0"), wheel)
    (root / ".venv").unlink()
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace("../.registry", str(top / "storage")))
    repositories.dataset(root, "pets", PETS, "1.0.0")
    yield from _pushed(top)


def _pushed(top: Path) -> Iterator[World]:
    root = top / "registry"
    for name in ("home", "roles"):
        (top / name).mkdir()
    for role in ROLES:
        (top / "roles" / role).touch()  # of folders
    repositories.add_origin(root)
    repositories.registry(root, "check", "--fix", "--all")
    repositories.commit(root, "our registry")
    if (root / "datasets/pets").is_dir():
        pushed = repositories.registry(root, "push")
        assert pushed.returncode == 0, pushed.stderr
    git_in(root, "push", "--quiet", "--set-upstream", "origin", "main")
    with world(top, server=None) as found:
        found.own_tooling = True
        yield found


@pytest.fixture(autouse=True)
def _installs_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", local_install.command())


def sh(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command with the tooling of the copy."""
    return repositories.sh(root, *command, env={**os.environ, "PYTHONPATH": ""})


def test_the_workflows_of_a_thin_copy_are_green_with_the_pinned_tooling(thin: World) -> None:
    published = thin.push_to_main()
    assert published.jobs == {"publish": "success"}, published.log
    assert git_in(thin.origin, "tag", "--list") == "datasets/pets@v1.0.0"
    git_in(thin.root, "fetch", "--quiet", "--tags", "origin")
    (thin.root / "tests/test_ours.py").write_text("def test_ours(dataset):\n    assert dataset.manifest.version\n")
    repositories.dataset(thin.root, "pets", PETS | {f"train/{LATER}": odd_images.photo()}, "1.1.0")
    assert repositories.registry(thin.root, "check", "--fix").returncode == 0
    repositories.commit(thin.root, "a dog, and a test of ours")
    assert repositories.registry(thin.root, "push").returncode == 0
    head = thin.push_branch("change")
    _, run, reviewed = thin.propose("change", head)
    assert run.jobs == {"validate": "success", "train": "success", "tests": "success"}, run.log
    assert "3 passed" in run.said["tests"]
    assert reviewed.jobs == REVIEWED, reviewed.log
    assert thin.gates() == {head: ["pending", "success"]}
    assert "1 image added" in thin.github.comments[0]["body"]
    git_in(thin.root, "switch", "--quiet", "main")
    assigned = thin.dispatch("assign.yml", artifact="datasets/pets", version="1.0.0", stage="prod")
    assert assigned.jobs == {"assign": "success"}, assigned.log
    nightly = thin.dispatch("nightly.yml")
    assert nightly.jobs == {"published": "success", "stores": "success"}, nightly.log


def test_an_upgrade_moves_to_the_wheel_beside_and_the_old_tooling_says_so(
    thin: World, template: Path, wheel: Template, tmp_path: Path
) -> None:
    git_in(tmp_path, "clone", "--quiet", "--branch", "v1.1.0", str(template), "clone")
    place = Path(wheel.wheel.removeprefix("file://").partition("#")[0]).parent
    file = copies.build_wheel(place, tmp_path / "clone")
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
    for fat in _pushed(top):
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
