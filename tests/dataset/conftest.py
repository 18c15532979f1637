"""What tests of `registry build` share."""

from pathlib import Path

import pytest

from support.dataset_builds import ROWS, Desk
from support.repositories import Run


@pytest.fixture
def desk(registry_repo: Path, run_registry: Run) -> Desk:
    """A registry whose lake has 40 photos, all of them selected for `datasets/pets`."""
    made = Desk(registry_repo, run_registry)
    for number in range(40):
        made.put(number)
    made.select(ROWS)
    return made
