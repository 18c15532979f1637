from pathlib import Path

import pytest

from support import repositories
from support.threshold_models import CATS, DOGS, put_data, put_model


@pytest.fixture
def base(registry_repo: Path) -> Path:
    """A committed model with the threshold 105, which has all of 20 test images right."""
    put_data(registry_repo, {**CATS, **DOGS})
    put_model(registry_repo, 105)
    repositories.commit(registry_repo, "models/pets")
    return registry_repo
