"""Deletes blobs of Azure for good: with their snapshots and versions; what soft delete keeps is told.

Azure refuses to delete a blob that has snapshots, and keeps the bytes as a version where the account has versions.
Microsoft's client is used, which comes with dvc-azure. Microsoft's emulator has snapshots, and neither versions nor
soft delete: those follow "Delete Blob" and "List Blobs" of its REST API.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from registry.core.settings import Remote
from registry.core.wording import plural
from registry.errors import StorageFailed
from registry.storage import azure_config
from registry.storage.connection import find_connection

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, ContainerClient

_FIX = "log in with a role that may list and delete blobs and versions; what an immutability policy keeps stays"
_ALL = ["snapshots", "versions", "deleted"]
# An account with folders (hierarchical namespace) has no versions, and says so to who asks for them.
_NO_VERSIONS = "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"


def erase(url: str, remote: Remote, keys: Iterable[str]) -> None:
    """Delete these keys with all snapshots and versions; one that does not exist is no error.

    Raises StorageFailed, also where soft delete keeps something, with the days until that ends.
    """
    prefix = urlsplit(remote.url).path.strip("/")
    with _failures(url):
        container = _container(remote)
        kept: list[BlobProperties] = []
        for key in keys:
            name = f"{prefix}/{key}" if prefix else key
            _delete(container, name)
            found = [*_list(container, name)]
            if left := [one for one in found if not one.deleted]:
                raise StorageFailed(f"{url}/{key}: {plural(len(left), 'version')} still there", fix=_FIX)
            kept += found
        if kept:
            days = max(one.remaining_retention_days or 0 for one in kept)
            fault = (
                f"{url}: soft delete keeps {plural(len(kept), 'deleted blob')}, the last one for {plural(days, 'day')}"
            )
            raise StorageFailed(fault, fix="run the same command again then: it finds nothing more")


def _delete(container: "ContainerClient", name: str) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    blob = container.get_blob_client(name)
    with suppress(ResourceNotFoundError):
        blob.delete_blob(delete_snapshots="include")
    for one in _list(container, name):
        if one.version_id and not one.deleted:
            with suppress(ResourceNotFoundError):
                blob.delete_blob(version_id=one.version_id)


def _list(container: "ContainerClient", name: str) -> list["BlobProperties"]:
    """The blob, its snapshots and versions, and what soft delete keeps of them."""
    from azure.core.exceptions import HttpResponseError

    try:
        found = [*container.list_blobs(name_starts_with=name, include=_ALL)]
    except HttpResponseError as error:
        if getattr(error, "error_code", "") != _NO_VERSIONS:
            raise
        found = [*container.list_blobs(name_starts_with=name, include=["snapshots", "deleted"])]
    return [one for one in found if one.name == name]


def _container(remote: Remote) -> "ContainerClient":
    from azure.storage.blob import BlobServiceClient

    account, connection = azure_config.find_account(remote), find_connection(remote.options)
    address = account.endpoint or f"https://{account.name}{azure_config.DOMAIN}"
    verify = connection.bundle or connection.verify
    service = BlobServiceClient(address, credential=_credential(account), connection_verify=verify)
    return service.get_container_client(urlsplit(remote.url).netloc.rpartition("@")[2])


def _credential(account: azure_config.Account) -> Any:  # the client's four kinds have no common type
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    config = account.config
    if config.get("skip_signature"):
        return None
    if key := config.get("account_key"):
        return AzureNamedKeyCredential(account.name, str(key))
    if token := config.get("sas_key"):
        return AzureSasCredential(str(token))
    if secret := config.get("client_secret"):
        return ClientSecretCredential(str(config.get("tenant_id")), str(config.get("client_id")), str(secret))
    return DefaultAzureCredential()


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Raise StorageFailed for what Microsoft's client raises; nothing of a response is shown."""
    try:
        from azure.core.exceptions import AzureError, HttpResponseError
    except ImportError:
        fault = f"{url}: Microsoft's client, which deletes versions, is not installed"
        raise StorageFailed(fault, fix="make venv WITH=azure") from None
    try:
        yield
    except HttpResponseError as error:
        said = getattr(error, "error_code", None) or error.status_code
        raise StorageFailed(f"{url} could not be erased: Azure answered {said}", fix=_FIX) from None
    except AzureError as error:
        fix = "check the login and the network, then run the same command again"
        raise StorageFailed(f"{url} could not be erased: {type(error).__name__}", fix=fix) from None
