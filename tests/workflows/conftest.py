"""The worlds that workflows run in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.demo.seaweedfs import S3Server
from support import act_runs, trainable_registry
from support.act_runs import World
from support.cloudformation import PRODUCTION, STAGING


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3"), buckets=(STAGING, PRODUCTION), policies=act_runs.roles()) as server:
        yield server


@pytest.fixture(scope="session")
def _merged(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("merged") / "world"
    act_runs.found(top, server, trainable_registry.found)
    return top


@pytest.fixture
def merged(_merged: Path, server: S3Server, tmp_path: Path) -> Iterator[World]:
    """A world whose main has datasets/pets and models/pets 1.0.0, not published yet."""
    shutil.copytree(_merged, tmp_path / "world", symlinks=True)
    with act_runs.world(tmp_path / "world", server) as world:
        yield world


@pytest.fixture(scope="session")
def _released(_merged: Path, server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("released") / "world"
    shutil.copytree(_merged, top, symlinks=True)
    act_runs.command(top / "registry", server, "publish", role="AWS_PUBLISH_ROLE")
    return top


@pytest.fixture
def released(_released: Path, server: S3Server, tmp_path: Path) -> Iterator[World]:
    """`merged`, published."""
    shutil.copytree(_released, tmp_path / "world", symlinks=True)
    with act_runs.world(tmp_path / "world", server) as world:
        yield world
