"""A team's registry on Azure or Google Cloud Storage: a checkout beside its `origin.git`, with three buckets."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from registry.demo.seaweedfs import BUCKETS
from support import release_auditor, repositories
from support.s3_registry import PROJECT, World
from support.servers import azurite_server, google_storage
from support.servers.azurite_server import Azurite
from support.servers.fault_proxy import FaultProxy
from support.servers.google_storage import GoogleStorage


class Cloud(Protocol):
    """A service with the three buckets, as its administrator uses it."""

    scheme: str
    url: str

    def env(self, *, url: str = "") -> dict[str, str]:
        """The environment with which the registry and DVC use it, or a proxy at `url`."""

    def listed(self, bucket: str) -> dict[str, str]:
        """The MD5 of every object's bytes, by key."""

    def get(self, bucket: str, key: str) -> bytes | None:
        """An object's bytes, if there is one."""

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object, also over another."""

    def lose(self, bucket: str, key: str) -> None:
        """Delete an object."""


class AzureCloud:
    """Azurite."""

    scheme = "azure"

    def __init__(self, server: Azurite) -> None:
        self.server, self.url, self.client = server, server.url, server.client()

    def env(self, *, url: str = "") -> dict[str, str]:
        return {"AZURE_STORAGE_CONNECTION_STRING": self.server.connection_string(url=url)}

    def listed(self, bucket: str) -> dict[str, str]:
        container = self.client.get_container_client(bucket)
        bodies = {name: self.get(bucket, name) or b"" for name in container.list_blob_names()}
        return {name: repositories.md5(body) for name, body in bodies.items()}

    def get(self, bucket: str, key: str) -> bytes | None:
        return self.server.get(bucket, key)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.client.get_blob_client(bucket, key).upload_blob(data, overwrite=True)

    def lose(self, bucket: str, key: str) -> None:
        self.client.get_blob_client(bucket, key).delete_blob()


class GoogleCloud:
    """Google's service on loopback, with an account that may write."""

    scheme = "gs"

    def __init__(self, storage: GoogleStorage, folder: Path) -> None:
        self.storage, self.url = storage, storage.url
        self.credentials = storage.account(folder, "publisher")

    def env(self, *, url: str = "") -> dict[str, str]:
        return {
            "STORAGE_EMULATOR_HOST": url or self.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.credentials),
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it asks by gRPC, which waits for a minute at other servers
        }

    def listed(self, bucket: str) -> dict[str, str]:
        return {name: repositories.md5(one.data) for name, one in self.storage.bucket(bucket).items()}

    def get(self, bucket: str, key: str) -> bytes | None:
        found = self.storage.bucket(bucket).get(key)
        return found.data if found else None

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.storage.put(bucket, key, data)

    def lose(self, bucket: str, key: str) -> None:
        self.storage.delete(bucket, key)


class CloudWorld(World):
    """The same as on S3; `init` has written where the places are."""

    def __init__(self, cloud: Cloud, proxy: FaultProxy, folder: Path) -> None:
        self.cloud, self.proxy, self.folder, self.scheme = cloud, proxy, folder, cloud.scheme
        self.root, self.origin = folder / "now/registry", folder / "now/origin.git"
        self.env = cloud.env(url=proxy.url)

    def configure(self) -> None:
        """What a team does first, in its copy of the template."""
        for name in ("registry.yaml", ".dvc/config"):
            shutil.copy(PROJECT / name, self.root / name)
        places = [word for name in BUCKETS for word in (f"--{name}", f"{self.scheme}://{name}")]
        self.must("init", "--again", "--name", "acme-data", "--owner", "@acme/data", *places)

    def listed(self, bucket: str) -> dict[str, str]:
        return self.cloud.listed(bucket)

    def get(self, bucket: str, key: str) -> bytes | None:
        return self.cloud.get(bucket, key)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.cloud.put(bucket, key, data)

    def lose(self, bucket: str, key: str) -> None:
        self.cloud.lose(bucket, key)

    def broken_promises(self) -> list[str]:
        found = [*release_auditor.broken_promises(self.origin, self._read)]
        return [*found, *release_auditor.broken_promises(self.root, self._read)]

    def _read(self, md5: str) -> bytes | None:
        return self.get("production", f"files/md5/{md5[:2]}/{md5[2:]}")


@contextmanager
def open_cloud(name: str, folder: Path) -> Iterator[CloudWorld]:
    """`azure` or `gs`, and a proxy in front of it."""
    buckets: Mapping[str, None] = dict.fromkeys(BUCKETS)
    with ExitStack() as stack:
        cloud: Cloud
        if name == "azure":
            cloud = AzureCloud(stack.enter_context(azurite_server.run(*buckets)))
        else:
            storage = GoogleStorage({bucket: {} for bucket in buckets})
            cloud = GoogleCloud(stack.enter_context(google_storage.serve(storage)), folder)
        yield CloudWorld(cloud, stack.enter_context(FaultProxy(cloud.url)), folder)
