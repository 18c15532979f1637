"""One world for all faults of a process: each test enters the state that it needs."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest

from registry.storage import cloud, s3_copy
from support.s3_registry import Scene, World, open_world, scenes


@pytest.fixture(scope="session")
def world(_nobodys_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="session")
def played(world: World) -> Mapping[str, Scene]:
    return scenes(world)


@pytest.fixture
def in_a_hurry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tries in a hundredth of the time; who waits for an answer is short of patience only in a stall."""
    silence, patience = (1.5, 2.0) if request.node.callspec.params.get("deed") == "stall" else (20.0, 5.0)
    backoff = {"init_backoff": timedelta(milliseconds=5), "max_backoff": timedelta(milliseconds=50), "base": 2}
    tries = {"backoff": backoff, "retry_timeout": timedelta(seconds=patience)}
    monkeypatch.setattr(cloud, "PATIENCE", {**cloud.PATIENCE, **tries})
    monkeypatch.setattr(cloud, "SILENCE", timedelta(seconds=silence))
    monkeypatch.setattr(cloud, "SENDING", timedelta(seconds=silence))
    monkeypatch.setattr(s3_copy, "READ", silence)
    monkeypatch.setattr(s3_copy, "PATIENCE", 1.0)
    monkeypatch.setattr(s3_copy, "LONGEST_WAIT", 0.05)
