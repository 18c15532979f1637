"""The worlds that workflows run in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.core.settings import Template
from registry.demo.seaweedfs import S3Server
from support import act_runs, copy_worlds, trainable_registry
from support.act_runs import Trained, World
from support.cloudformation import PRODUCTION, STAGING
from support.workflow_engine import Ran


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3"), buckets=(STAGING, PRODUCTION), policies=act_runs.roles()) as server:
        yield server


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it is on disk, with the releases v1.0.0 and v1.1.0."""
    return copy_worlds.make_template(tmp_path_factory.mktemp("template") / "template")


@pytest.fixture(scope="session")
def wheel(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The pin of v1.0.0's wheel."""
    return copy_worlds.pin_wheel(template, tmp_path_factory.mktemp("wheel"))


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


@pytest.fixture(scope="session")
def _trained(_released: Path, server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran, str]:
    top = tmp_path_factory.mktemp("trained") / "world"
    shutil.copytree(_released, top, symlinks=True)
    with act_runs.world(top, server) as world:
        head = world.contribute(trainable_registry.grow)
        run = world.pull_request("change", head)
    assert run.conclusion == "success", run.log
    return top, run, head


@pytest.fixture
def trained(_trained: tuple[Path, Ran, str], server: S3Server, tmp_path: Path) -> Iterator[Trained]:
    """`released`, and a pull request with more images whose training has ended."""
    top, run, head = _trained
    shutil.copytree(top, tmp_path / "trained", symlinks=True)
    with act_runs.world(tmp_path / "trained", server) as world:
        world.runs = run.id
        world.told(run)
        world.github.add_pull("change", sha=head)
        yield Trained(world, run, head)
