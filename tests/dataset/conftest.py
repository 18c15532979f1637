"""What tests of `registry select` and `registry build` share."""

from pathlib import Path

import pytest

from registry.integrations import looker_transport
from support.dataset_builds import ROWS, Desk
from support.looker_datasets import Select
from support.repositories import Run


@pytest.fixture
def desk(registry_repo: Path, run_registry: Run) -> Desk:
    """A registry whose lake has 40 photos, all of them selected for `datasets/pets`."""
    made = Desk(registry_repo, run_registry)
    for number in range(40):
        made.put(number)
    made.select(ROWS)
    return made


@pytest.fixture
def select(registry_repo: Path, monkeypatch: pytest.MonkeyPatch) -> Select:
    """Runs `registry select` in a registry, at the Looker of a test."""
    monkeypatch.chdir(registry_repo)
    monkeypatch.setattr(looker_transport, "PAUSES", (0, 0, 0, 0))
    return Select(registry_repo, monkeypatch)
