"""The states that tests start from, each named for what it holds."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from registry.cli import main
from support import repositories
from support.browser import Browser, started
from support.repositories import Run

PROJECT = Path(__file__).parents[1]
# Markers of all tests below a folder; others are marked where they stand. `pytest --markers` says what each means.
FOLDERS = {"faults": ("s3", "slow"), "scaffold/templates": ("slow",), "servers": ("s3",), "workflows": ("workflows",)}
# Variables of the person, and of the make that runs the tests, which would reach the make of a copy.
SETTINGS = ("GIT_", "GH_", "GITHUB_", "DVC_", "PRE_COMMIT", "MAKE", "MFLAGS", "ARGS")
# How long an example takes says something of the machine only: no deadline, and no complaint that making it was slow.
settings.register_profile("registry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("registry")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="rewrite tests/golden; then read the diff")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folders = item.path.relative_to(PROJECT / "tests").parents
        markers = {marker for folder in folders for marker in FOLDERS.get(folder.as_posix(), ())}
        markers |= {"browser"} & set(getattr(item, "fixturenames", ()))
        for marker in sorted(markers):
            item.add_marker(marker)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Demands that a text is what the file of that name in tests/golden holds."""

    def require(name: str, text: str) -> None:
        file = PROJECT / "tests/golden" / name
        if request.config.getoption("--update-goldens"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        assert file.is_file(), f"there is no {file}: pytest --update-goldens"
        assert text == file.read_text(), "pytest --update-goldens, and look at the difference"

    return require


@pytest.fixture(autouse=True, scope="session")
def _isolated_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the settings of the person who runs it, or leaves something in their home."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\nname = Tess Ter\nemail = tess@example.com\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n"
        "[core]\nfsync = none\n"  # nothing here outlives the machine
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(SETTINGS)]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc"))
        yield


# Each state is made once from the one before it; a test gets a copy of the folder that it lies in.


def copy(state: Path, folder: Path) -> Path:
    shutil.copytree(state.parent, folder, symlinks=True, dirs_exist_ok=True)
    return folder / state.name


@pytest.fixture(scope="session")
def _registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty") / "registry"
    (root / ".dvc").mkdir(parents=True)
    for name in ("registry.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(PROJECT / name, root / name)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    repositories.commit(root, "a registry")
    return root


@pytest.fixture(scope="session")
def _dataset(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_registry, tmp_path_factory.mktemp("dataset"))
    repositories.dataset(root, "pets", repositories.PETS, "1.0.0")
    repositories.stage(root)
    repositories.commit(root, "datasets/pets 1.0.0")
    return root


@pytest.fixture(scope="session")
def _model(_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_dataset, tmp_path_factory.mktemp("model"))
    repositories.model(root, "pets", b"weights of 1.0.0", "1.0.0")
    repositories.stage(root)
    repositories.commit(root, "models/pets 1.0.0")
    return root


@pytest.fixture(scope="session")
def _merged(_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_model, tmp_path_factory.mktemp("merged"))
    repositories.add_origin(root)
    repositories.git_in(root, "push", "--quiet", "--set-upstream", "origin", "main")
    return root


@pytest.fixture(scope="session")
def _published(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_merged, tmp_path_factory.mktemp("published"))
    done = repositories.registry(root, "publish")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def _hooked(_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_model, tmp_path_factory.mktemp("hooked"))
    (root / "scripts").mkdir()
    shutil.copy(PROJECT / ".pre-commit-config.yaml", root)
    shutil.copy(PROJECT / "scripts/hook", root / "scripts/hook")
    (root / ".venv").symlink_to(sys.prefix)
    assert repositories.registry(root, "check", "--fix", "--all").returncode == 0
    repositories.commit(root, "hooks")
    repositories.add_origin(root)
    done = repositories.registry(root, "hooks", "install")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def registry_repo(_registry: Path, tmp_path: Path) -> Path:
    """A fresh registry on `main` with the settings that this project ships, no artifact, no remote, no hooks."""
    return copy(_registry, tmp_path)


@pytest.fixture
def built_dataset(_dataset: Path, tmp_path: Path) -> Path:
    """A registry whose `datasets/pets` 1.0.0 is built and committed: objects in DVC's cache and in staging."""
    return copy(_dataset, tmp_path)


@pytest.fixture
def built_model(_model: Path, tmp_path: Path) -> Path:
    """`built_dataset`, and `models/pets` 1.0.0 trained on it and committed, its objects in cache and staging too."""
    return copy(_model, tmp_path)


@pytest.fixture
def hooked(_hooked: Path, tmp_path: Path) -> Path:
    """`built_model` with the hooks that `make setup` installs, its .venv in place, an empty `origin.git` beside it."""
    return copy(_hooked, tmp_path)


@pytest.fixture
def merged_model(_merged: Path, tmp_path: Path) -> Path:
    """`built_model`, whose main is pushed to the bare repository `origin.git` beside it."""
    return copy(_merged, tmp_path)


@pytest.fixture
def released_model(_published: Path, tmp_path: Path) -> Path:
    """`merged_model`, published: `datasets/pets@v1.0.0` and `models/pets@v1.0.0` exist at the origin."""
    return copy(_published, tmp_path)


@pytest.fixture
def run_registry(capfd: pytest.CaptureFixture[str]) -> Run:
    """The `registry` command in this process: fast, because nothing is imported again."""

    def run(root: Path, *args: str) -> repositories.Outcome:
        capfd.readouterr()
        with contextlib.chdir(root):
            code = main.run(list(args))
        return repositories.Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for the tests of a module."""
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which a page is asked to run."""
    return (Path(sys.prefix) / "axe/node_modules/axe-core/axe.min.js").read_text()
