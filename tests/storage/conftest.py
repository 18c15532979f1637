"""An S3 server behind a proxy that counts requests and makes faults, and folders as stores."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from botocore.client import BaseClient

from registry.demo.seaweedfs import REGION, S3Server
from registry.storage.local import Folder
from support.s3_places import Places
from support.servers import resigning
from support.servers.fault_proxy import FaultProxy
from support.servers.resigning import Ignore, Ignoring

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3"), policies={"early": EVERYTHING, "late": EVERYTHING}) as server:
        yield server


@pytest.fixture
def proxy(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The server's address in the environment: requests of the registry pass through it."""
    with FaultProxy(server.url) as proxy:
        for name, value in server.env(url=proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def client(server: S3Server) -> BaseClient:
    """The server itself, not through the proxy."""
    return server.client()


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """The prefix in each bucket that only this test uses."""
    return re.sub(r"\W+", "-", request.node.name).strip("-")


@pytest.fixture
def places(proxy: FaultProxy, folder: str) -> Places:
    return Places(folder)


@pytest.fixture
def ignore(server: S3Server) -> Ignoring:
    """Makes the server ignore headers of requests."""
    keys = server.credentials()
    return partial(Ignore, sign=resigning.signer(keys.access_key, keys.secret_key, REGION))


@pytest.fixture
def used_places(places: Places, client: BaseClient) -> Places:
    """Places of a registry that has published before."""
    places.use(client)
    return places


@pytest.fixture
def lake(tmp_path: Path) -> Folder:
    """A folder of 150 files with different content."""
    folder = tmp_path / "lake"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number:03}.jpg").write_bytes(b"picture %d" % number)
    return Folder(folder)


@pytest.fixture
def staging(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "staging")


@pytest.fixture
def production(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "production")
