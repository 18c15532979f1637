"""The model template in the states that its tests start from."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from support import repositories
from support.model_template import SMALL, TEMPLATE, dataset, dvc, set_params


@pytest.fixture(scope="session")
def first_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `trained` copies; only to be read."""
    root = tmp_path_factory.mktemp("first_training")
    repositories.git_in(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    dataset(root / "datasets/pets/prepared")
    model = root / "models/pets"
    shutil.copytree(TEMPLATE, model, ignore=shutil.ignore_patterns("__pycache__", "README.md"))
    (model / "model.yaml").write_text("schema: 1\nname: pets\ntrained_on: datasets/pets\n")
    set_params(model, **SMALL)
    dvc(root, "add", "--quiet", "datasets/pets/prepared")
    repositories.commit(root, "data and code")
    dvc(model, "repro")
    return root


@pytest.fixture
def trained(first_training: Path, tmp_path: Path) -> Path:
    """A registry whose `models/pets` was trained on `datasets/pets`, not committed since."""
    return Path(shutil.copytree(first_training, tmp_path / "registry", symlinks=True))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The template's modules, imported as `python train.py` imports them."""
    names = ("data", "devices", "network", "train")
    folder = shutil.copytree(TEMPLATE, tmp_path_factory.mktemp("code") / "model")
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in names})
    finally:
        sys.path.remove(str(folder))
        for name in names:
            del sys.modules[name]
