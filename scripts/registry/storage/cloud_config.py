"""Opens buckets and web servers with a remote's options in DVC's configuration (dvc.config_schema)."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import HTTPStore, S3Store

from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage import azure_config, azure_versions, gcs_config, gcs_versions, removal
from registry.storage.cloud import Bucket
from registry.storage.cloud_errors import Asked, translate_errors
from registry.storage.connection import READ_TIMEOUT, WRITE_TIMEOUT, find_connection
from registry.storage.endpoints import require_endpoint
from registry.storage.http_login import login_headers
from registry.storage.remote_options import is_true, scheme_of
from registry.storage.removal import Removal
from registry.storage.s3_credentials import CredentialProvider, Login, read_settings
from registry.storage.s3_encryption import find_encryption
from registry.storage.s3_signing import S3Location

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig, S3Config


RETRIES: "RetryConfig" = {  # fails after about 10 s; obstore's own 10 retries can take three minutes
    "max_retries": 7,
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=2), "base": 2},
    "retry_timeout": timedelta(seconds=35),  # no retry begins after it: a request that meets READ_TIMEOUT has one
}


_ERASERS = {"gs": gcs_versions.erase, "azure": azure_versions.erase}


def open_bucket(remote: Remote) -> Bucket:
    """The store behind a URL. Raises StorageFailed for a URL that names no store, and for invalid options."""
    parts, scheme = urlsplit(remote.url), scheme_of(remote.url)
    url = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if not parts.hostname:
        fix = "use a folder, or s3://, gs://, azure:// or https:// and the bucket's name"
        raise StorageFailed(f"{url}: not the URL of a store", fix=fix)
    bucket = partial(Bucket, url, remote=remote, reopen=open_bucket)
    with translate_errors(url, Asked(remote)):
        if scheme == "s3":
            location = _locate(parts.hostname, parts.path, remote)
            reading = _open_s3(remote.url, location, READ_TIMEOUT)
            writing = [
                partial(_open_s3, remote.url, location, WRITE_TIMEOUT, checksum=checksum) for checksum in (True, False)
            ]
            remove = removal.with_aws(url, location, remote.options)
            of_s3 = partial(_erase_from_s3, url, location)
            return bucket(reading, writing, can_list=True, location=location, removal=remove, eraser=of_s3)
        reading, writing = _open(remote, scheme, READ_TIMEOUT), [partial(_open, remote, scheme, WRITE_TIMEOUT)]
        can_list = not scheme.startswith("http")
        erase = partial(_ERASERS[scheme], url, remote) if scheme in _ERASERS else None
        return bucket(reading, writing, can_list=can_list, removal=_removal(remote, scheme, url), eraser=erase)


# --- S3 ---------------------------------------------------------------------------------------------------------------


def _locate(bucket: str, path: str, remote: Remote) -> S3Location:
    """The location, login and connection that DVC would use."""
    options = remote.options
    login = Login(
        access_key=options.get("access_key_id", ""),
        secret_key=options.get("secret_access_key", ""),
        token=options.get("session_token", ""),
        profile=options.get("profile", ""),
        config_file=options.get("configpath", ""),
        credentials_file=options.get("credentialpath", ""),
        is_anonymous=is_true(options, "allow_anonymous_login"),
    )
    aws = read_settings(login)
    location = S3Location(
        bucket=bucket,
        prefix=path.strip("/"),
        endpoint=require_endpoint(options.get("endpointurl") or aws.endpoint, remote.name),
        region=options.get("region") or os.environ.get("AWS_REGION") or aws.region or "us-east-1",
        login=login,
        is_virtual=aws.is_virtual,
        encryption=find_encryption(options, remote.name),
        connection=find_connection(options, aws.bundle),
    )
    if not location.endpoint and not is_true(options, "use_ssl", default=True):
        return replace(location, endpoint=location.address.replace("https:", "http:", 1))
    return location


def _open_s3(url: str, location: S3Location, wait: float, *, checksum: bool = False) -> "ObjectStore":
    """The store of a URL; with `checksum`, S3 gets a SHA-256 of each body."""
    config: S3Config = {
        "region": location.region,
        "endpoint": location.server,
        "virtual_hosted_style_request": location.is_virtual,
        "skip_signature": location.login.is_anonymous,
    }
    if checksum:
        config["checksum_algorithm"] = "sha256"
    location.encryption.configure(config)
    return S3Store.from_url(
        url,
        config=config,
        client_options=location.connection.client_options(location.server, wait),
        retry_config=RETRIES,
        credential_provider=None if location.login.is_anonymous else CredentialProvider(location.login),
    )


def _erase_from_s3(url: str, location: S3Location, keys: Sequence[str]) -> None:
    from registry.storage import s3_versions  # only here: erasing is rare, and botocore takes 0.15 s to import

    s3_versions.erase(url, location, keys)


# --- the others -------------------------------------------------------------------------------------------------------


def _open(remote: Remote, scheme: str, wait: float) -> "ObjectStore":
    """The store of a URL, with the timeout (seconds) for a silent connection."""
    connection = find_connection(remote.options)
    if scheme == "azure":
        return azure_config.open_container(remote, connection, wait, RETRIES)
    if scheme == "gs":
        return gcs_config.open_gcs(remote, connection, wait, RETRIES)
    client = connection.client_options(remote.url, wait)
    if headers := login_headers(remote):
        client["default_headers"] = headers
    return HTTPStore.from_url(remote.url, client_options=client, retry_config=RETRIES)


def _removal(remote: Remote, scheme: str, url: str) -> Removal | None:
    if scheme == "gs":
        return removal.with_gcloud(url, gcs_config.find_endpoint(remote))
    if scheme == "azure":
        account, parts = azure_config.find_account(remote), urlsplit(url)
        return removal.with_az(parts.netloc, parts.path.strip("/"), account.name, account.endpoint)
    return None
