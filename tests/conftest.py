"""The states that tests start from, each named for what it holds."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import making

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def _nobodys_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the settings of the person who runs it, or leaves something in their home."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\nname = Tess Ter\nemail = tess@example.com\n[init]\ndefaultBranch = main\n[gc]\nauto = 0\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_", "PRE_COMMIT"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc"))
        yield


@pytest.fixture(scope="session")
def _empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty") / "registry"
    (root / ".dvc").mkdir(parents=True)
    for name in ("registry.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(PROJECT / name, root / name)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    making.commit(root, "a registry")
    return root


@pytest.fixture
def registry_repo(_empty_registry: Path, tmp_path: Path) -> Path:
    """A fresh registry on `main` with the settings that this project ships, no artifact, no remote, no hooks."""
    return Path(shutil.copytree(_empty_registry, tmp_path / "registry", symlinks=True))


@pytest.fixture
def built_dataset(registry_repo: Path) -> Path:
    """A registry whose `datasets/pets` 1.0.0 is built and committed: objects in DVC's cache and in staging."""
    making.dataset(registry_repo, "pets", making.PETS, "1.0.0")
    making.stage(registry_repo)
    making.commit(registry_repo, "datasets/pets 1.0.0")
    return registry_repo


@pytest.fixture
def built_model(built_dataset: Path) -> Path:
    """`built_dataset`, and `models/pets` 1.0.0 trained on it and committed, its objects in cache and staging too."""
    making.model(built_dataset, "pets", b"weights of 1.0.0", "1.0.0")
    making.stage(built_dataset)
    making.commit(built_dataset, "models/pets 1.0.0")
    return built_dataset
