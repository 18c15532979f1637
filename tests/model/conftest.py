import shutil
from pathlib import Path

import pytest

from conftest import copy
from support import repositories
from support.threshold_models import CATS, DOGS, KNOWN, put_data, put_model


@pytest.fixture
def base(registry_repo: Path) -> Path:
    """A committed model with the threshold 105, which has all of 20 test images right."""
    put_data(registry_repo, {**CATS, **DOGS})
    put_model(registry_repo, 105)
    repositories.commit(registry_repo, "models/pets")
    return registry_repo


@pytest.fixture(scope="session")
def _pets(_merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(_merged, tmp_path_factory.mktemp("pets"))
    shutil.rmtree(root / "datasets/pets")
    shutil.rmtree(root / "models/pets")
    repositories.dataset(root, "pets", KNOWN, "1.0.0", image="{uuid}.png")
    repositories.stage(root)
    checked = repositories.registry(root, "check", "--fix", "--all")
    assert checked.returncode == 0, checked.stdout
    repositories.commit(root, "pets of known colours")
    repositories.git_in(root, "push", "--quiet")
    return root


@pytest.fixture
def pets(_pets: Path, tmp_path: Path) -> Path:
    """A registry with an origin, whose `datasets/pets` has 20 test images of known colours."""
    return copy(_pets, tmp_path)
