"""Deletes objects of Google Cloud Storage for good: all generations of each name; what soft delete keeps is told.

A bucket with versions answers a DELETE by keeping the bytes as a generation of their own. Google's client is used,
which comes with dvc-gs. A bucket with soft delete, which new ones have, keeps what was deleted for days, and no request
ends that.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registry.core.settings import Remote
from registry.core.wording import plural
from registry.errors import StorageFailed
from registry.storage import gcs_config
from registry.storage.connection import find_connection

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

_FIX = (
    "log in with a role that may list and delete objects; what a retention policy or a hold keeps stays until it ends"
)
_NO_POLICY = (400, 412)  # answers to who asks for what soft delete keeps, where a bucket has no such policy


def erase(url: str, remote: Remote, keys: Iterable[str]) -> None:
    """Delete these keys with all generations; one that does not exist is no error.

    Raises StorageFailed, also where soft delete keeps something, with the day on which that ends.
    """
    parts = urlsplit(remote.url)
    bucket, prefix = parts.netloc.rpartition("@")[2], parts.path.strip("/")
    with _failures(url):
        client = _client(remote)
        kept: list[Blob] = []
        for key in keys:
            name = f"{prefix}/{key}" if prefix else key
            for blob in _list(client, bucket, name):
                blob.delete()
            if left := [*_list(client, bucket, name)]:
                raise StorageFailed(f"{url}/{key}: {plural(len(left), 'generation')} still there", fix=_FIX)
            kept += _soft_deleted(client, bucket, name)
        if kept:
            until = max(blob.hard_delete_time for blob in kept).date()
            fault = f"{url}: soft delete keeps {plural(len(kept), 'deleted object')}, the last one until {until}"
            raise StorageFailed(fault, fix="run the same command again then: it finds nothing more")


def _client(remote: Remote) -> "Client":
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    endpoint, connection = gcs_config.find_endpoint(remote), find_connection(remote.options)
    found = gcs_config.find_credentials(remote) or AnonymousCredentials()  # type: ignore[no-untyped-call]
    options = {"api_endpoint": endpoint} if endpoint else None
    client = Client(project="registry", credentials=found, client_options=options)
    client._http.verify = connection.bundle or connection.verify  # noqa: SLF001 - it has no option for it
    return client


def _list(client: "Client", bucket: str, name: str) -> Iterator["Blob"]:
    yield from (
        blob for blob in client.list_blobs(client.bucket(bucket), prefix=name, versions=True) if blob.name == name
    )


def _soft_deleted(client: "Client", bucket: str, name: str) -> list["Blob"]:
    from google.api_core.exceptions import GoogleAPICallError

    try:
        found = client.list_blobs(client.bucket(bucket), prefix=name, soft_deleted=True)
        return [blob for blob in found if blob.name == name]
    except GoogleAPICallError as error:
        if error.code not in _NO_POLICY:
            raise
        return []


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Raise StorageFailed for what Google's client raises; nothing of a response is shown."""
    try:
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import storage  # noqa: F401 - whether it is there
        from requests.exceptions import RequestException
    except ImportError:
        fault = f"{url}: Google's client, which deletes generations, is not installed"
        raise StorageFailed(fault, fix="make venv WITH=gs") from None
    try:
        yield
    except GoogleAPICallError as error:
        raise StorageFailed(f"{url} could not be erased: Google answered {error.code}", fix=_FIX) from None
    except (GoogleAuthError, RequestException) as error:
        fix = "check the login and the network, then run the same command again"
        raise StorageFailed(f"{url} could not be erased: {type(error).__name__}", fix=fix) from None
