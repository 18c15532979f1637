"""Deletes objects of an S3 bucket for good: all versions of each key, and the delete markers.

A bucket with versioning answers a plain DELETE with a marker, and keeps the bytes. botocore's client is used: erasing
is rare, and its requests are not those that obstore has.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from registry.errors import StorageFailed
from registry.storage.s3_signing import S3Location

_UNKNOWN = {"NotImplemented", "MethodNotAllowed"}  # of a server without versions
_FIX = "log in with a role that may list and delete versions; what Object Lock holds stays until it ends"


class Version(NamedTuple):
    """A version of an object, or a delete marker; `id` is empty on a server without versions."""

    key: str
    id: str


def erase(url: str, location: S3Location, keys: Iterable[str]) -> None:
    """Delete these keys with all of their versions; one that does not exist is no error. Raises StorageFailed."""
    client = _client(location)
    for key in keys:
        try:
            for version in [*_versions(client, location, key)]:
                _delete(client, location, version)
            if left := [*_versions(client, location, key)]:
                raise StorageFailed(f"{url}/{key}: {len(left):,} versions are still there", fix=_FIX)
        except ClientError as error:
            said = error.response.get("Error", {}).get("Code", "")
            raise StorageFailed(f"{url}/{key} could not be erased: {said}", fix=_FIX) from None
        except BotoCoreError as error:
            raise StorageFailed(f"{url} could not be reached: {type(error).__name__}", fix="try again") from None


def _client(location: S3Location) -> Any:  # botocore makes its class when it is asked for
    keys = location.login.find_credentials()()
    connection = location.connection
    return Session().create_client(
        "s3",
        region_name=location.region,
        endpoint_url=location.address,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
        verify=connection.bundle or connection.verify,
        config=Config(s3={"addressing_style": "virtual" if location.is_virtual else "path"}),
    )


def _full(location: S3Location, key: str) -> str:
    return f"{location.prefix}/{key}" if location.prefix else key


def _versions(client: Any, location: S3Location, key: str) -> Iterator[Version]:
    """Every version of a key; the current object alone on a server that does not know versions."""
    full = _full(location, key)
    try:
        pages = client.get_paginator("list_object_versions").paginate(Bucket=location.bucket, Prefix=full)
        for page in pages:
            for row in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if row["Key"] == full:
                    yield Version(full, row["VersionId"])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code", "") not in _UNKNOWN:
            raise
        listed = client.list_objects_v2(Bucket=location.bucket, Prefix=full)
        yield from (Version(full, "") for row in listed.get("Contents", ()) if row["Key"] == full)


def _delete(client: Any, location: S3Location, version: Version) -> None:
    which = {"VersionId": version.id} if version.id else {}
    client.delete_object(Bucket=location.bucket, Key=version.key, **which)
