"""What tests of recalls and erasures share."""

from pathlib import Path

import pytest

from conftest import copy
from support import released_photos, repositories
from support.dataset_builds import Desk
from support.repositories import Run


@pytest.fixture(scope="session")
def _released_photos(_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def run(root: Path, *args: str) -> repositories.Outcome:
        done = repositories.registry(root, *args)
        return repositories.Outcome(done.returncode, done.stdout, done.stderr)

    return released_photos.make(copy(_registry, tmp_path_factory.mktemp("released")), run).root


@pytest.fixture
def desk(_released_photos: Path, tmp_path: Path, run_registry: Run) -> Desk:
    """A registry with `datasets/pets` 1.0.0, selected and built by the commands, and a model on it, both released."""
    return Desk(copy(_released_photos, tmp_path), run_registry)
