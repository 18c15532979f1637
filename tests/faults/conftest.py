"""One world for all faults of a process: each test enters the state that it needs."""

from collections.abc import Iterator, Mapping

import pytest

from support.s3_registry import Scene, World, open_world, scenes


@pytest.fixture(scope="session")
def world(_isolated_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="session")
def played(world: World) -> Mapping[str, Scene]:
    return scenes(world)
