"""The plugin for pytest: fixtures for tests of a registry's own data, in the folder of which pytest is started.

A test with `dataset`, `selection`, `items` or `released` runs for each dataset, one with `model` or `judge` for each
model.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from polars import DataFrame

from registry.cli.workspace import Workspace
from registry.core import settings
from registry.model.judge import Judgement
from registry.testing import artifacts
from registry.testing.artifacts import Dataset, Model

Judge = Callable[..., Judgement]
_SPACE = pytest.StashKey[Workspace]()
_FINDERS: dict[str, Callable[[Workspace], Sequence[Dataset | Model]]] = {
    "dataset": artifacts.find_datasets,
    "model": artifacts.find_models,
}


def pytest_configure(config: pytest.Config) -> None:
    """Remember the registry, where pytest's root folder is one."""
    if (config.rootpath / settings.PATH).is_file():
        config.stash[_SPACE] = Workspace(config.rootpath)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each artifact."""
    if _SPACE not in metafunc.config.stash:
        return
    for name in _FINDERS.keys() & set(metafunc.fixturenames):
        found = _FINDERS[name](metafunc.config.stash[_SPACE])
        none = pytest.param(None, marks=pytest.mark.skip(f"there is no {name} here yet"), id="none")
        metafunc.parametrize(name, found or [none], ids=str, indirect=True, scope="session")


@pytest.fixture(scope="session")
def _space(request: pytest.FixtureRequest) -> Workspace:
    return request.config.stash[_SPACE]


@pytest.fixture(scope="session")
def dataset(request: pytest.FixtureRequest) -> Dataset:
    """Each dataset of the registry: `id`, `manifest`, and the `folder` that it is in."""
    found: Dataset = request.param
    return found


@pytest.fixture(scope="session")
def selection(_space: Workspace, dataset: Dataset) -> DataFrame:
    """The selected rows of a dataset, as a Polars table with the manifest's columns."""
    return artifacts.read_selection(_space, dataset)


@pytest.fixture(scope="session")
def items(_space: Workspace, dataset: Dataset) -> DataFrame:
    """The images of a dataset's version, as a Polars table: uuid, split, label, md5."""
    return artifacts.read_items(_space, dataset)


@pytest.fixture(scope="session")
def released(_space: Workspace, dataset: Dataset) -> DataFrame:
    """The images of a dataset's latest release, as `items` has them; no row before the first release."""
    return artifacts.read_released(_space, dataset)


@pytest.fixture(scope="session")
def model(request: pytest.FixtureRequest) -> Model:
    """Each model of the registry that is measured on a dataset: `id`, `manifest`, and the `folder` that it is in."""
    found: Model = request.param
    return found


@pytest.fixture(scope="session")
def judge(_space: Workspace, model: Model) -> Judge:
    """Measures the model: `judge()` on the test images of its dataset, `judge(folder)` on <label>/<name> of a folder.

    It gives `metrics` (as metrics.json has them) and `predictions`, a Polars table with one row for each image; of a
    classifier uuid, label, predicted, its score, and own_score, that of the label.
    """

    @cache
    def measure(folder: Path | None = None) -> Judgement:
        return artifacts.measure(_space, model, folder)

    return measure
