import shutil
from pathlib import Path

import pytest

from support import repositories
from support.branches import BIRDS
from support.git_shell import succeed
from support.repositories import git_in


@pytest.fixture(scope="session")
def _branches(_hooked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("branches") / "registry"
    shutil.copytree(_hooked.parent, root.parent, symlinks=True, dirs_exist_ok=True)
    git_in(root, "tag", "v1")
    git_in(root, "switch", "--quiet", "--create", "more")
    repositories.dataset(root, "pets", repositories.MORE_PETS, "1.1.0")
    repositories.model(root, "pets", b"weights of 1.1.0", "1.1.0")
    repositories.commit(root, "more pets")
    git_in(root, "switch", "--quiet", "--create", "birds", "main")
    repositories.dataset(root, "birds", BIRDS, "1.0.0")
    repositories.model(root, "birds", b"weights of birds", "1.0.0", "datasets/birds")
    repositories.commit(root, "birds")
    succeed(root, "switch", "main")
    (root / "words.md").write_text("words\n")
    repositories.commit(root, "words")
    repositories.stage(root)
    succeed(root, "push", "--quiet", "--all", "--no-verify", "origin")
    return root


@pytest.fixture
def root(_branches: Path, tmp_path: Path) -> Path:
    """On main, which is one commit behind neither; `more` has other pets, `birds` a new dataset and a new model."""
    shutil.copytree(_branches.parent, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "registry"
