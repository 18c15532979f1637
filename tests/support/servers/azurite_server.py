"""Azurite, Microsoft's emulator of Azure Blob Storage, which checks signatures, SAS and conditions as Azure does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes, generate_account_sas

PROJECT = Path(__file__).parents[3]
PROGRAM = ".venv/azurite/node_modules/azurite/dist/src/blob/main.js"  # put there by `make tools`
NODE = Path(sys.executable).with_name("node")
OPTIONS = ("--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck")
# Every emulator's, as Microsoft documents them.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class Azurite:
    """The service at `url`, without the account."""

    url: str

    def connection_string(self, *, url: str = "", login: str = f"AccountKey={KEY}", account: str = ACCOUNT) -> str:
        """How to connect: here or through a proxy at `url`, with a key or a SAS."""
        endpoint = f"{url or self.url}/{account}"
        return f"DefaultEndpointsProtocol=http;AccountName={account};{login};BlobEndpoint={endpoint};"

    def client(self) -> BlobServiceClient:
        """Microsoft's own client."""
        return BlobServiceClient.from_connection_string(self.connection_string())

    def get(self, container: str, key: str) -> bytes | None:
        """An object's bytes, if there is one."""
        try:
            data: bytes = self.client().get_blob_client(container, key).download_blob().readall()
            return data
        except ResourceNotFoundError:
            return None

    def sas(self, permissions: str, *, valid_for: timedelta = timedelta(hours=1)) -> str:
        """A shared access signature (SAS) for all containers, with permissions such as "rl"."""
        end = datetime.now(UTC) + valid_for
        begin = min(datetime.now(UTC), end) - timedelta(hours=1)
        types = ResourceTypes(service=True, container=True, object=True)
        given = AccountSasPermissions.from_string(permissions)  # type: ignore[no-untyped-call]
        return generate_account_sas(ACCOUNT, KEY, types, given, expiry=end, start=begin)


@contextmanager
def run(*containers: str) -> Iterator[Azurite]:
    """Start it on a free port of loopback, with these containers."""
    command = (str(NODE), str(PROJECT / PROGRAM), *OPTIONS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            server = Azurite(_read_url(running))
            for container in containers:
                server.client().create_container(container)
            yield server
        finally:
            running.kill()


def _read_url(running: "subprocess.Popen[str]") -> str:
    assert running.stdout
    said = []
    for line in running.stdout:
        if found := re.search(r"successfully listens on (http://\S+)", line):
            return found[1]
        said.append(line)
    raise AssertionError(f"Azurite did not start: {''.join(said)}")
