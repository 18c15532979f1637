import shutil
from pathlib import Path

import pytest

from support import repositories
from support.threshold_models import CATS, DOGS, KNOWN, put_data, put_model


@pytest.fixture
def base(registry_repo: Path) -> Path:
    """A committed model with the threshold 105, which has all of 20 test images right."""
    put_data(registry_repo, {**CATS, **DOGS})
    put_model(registry_repo, 105)
    repositories.commit(registry_repo, "models/pets")
    return registry_repo


@pytest.fixture
def pets(merged_model: Path) -> Path:
    """A registry with an origin, whose `datasets/pets` has 20 test images of known colours."""
    shutil.rmtree(merged_model / "datasets/pets")
    shutil.rmtree(merged_model / "models/pets")
    repositories.dataset(merged_model, "pets", KNOWN, "1.0.0", image="{uuid}.png")
    repositories.stage(merged_model)
    checked = repositories.registry(merged_model, "check", "--fix", "--all")
    assert checked.returncode == 0, checked.stdout
    repositories.commit(merged_model, "pets of known colours")
    repositories.git_in(merged_model, "push", "--quiet")
    return merged_model
