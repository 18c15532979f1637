"""Opens buckets and web servers with a remote's options in DVC's configuration (dvc.config_schema)."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage.cloud import Bucket
from registry.storage.cloud_errors import translate_errors
from registry.storage.s3_credentials import CredentialProvider, Login, configured_region
from registry.storage.s3_signing import S3Location

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config


SCHEMES = ("s3", "gs", "az", "http", "https")
ALIASES = {"azure": "az", "gcs": "gs"}
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # botocore's, and so DVC's; the first that is set

RETRIES: "RetryConfig" = {  # fails after about 10 s; obstore's own 10 retries can take three minutes
    "max_retries": 7,
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=2), "base": 2},
    "retry_timeout": timedelta(seconds=35),  # no retry begins after it: a request that meets READ_TIMEOUT has one
}
READ_TIMEOUT = timedelta(seconds=30)  # without a byte of a response
WRITE_TIMEOUT = timedelta(minutes=5)  # the same for uploads: reqwest counts the time of sending, too
REQUEST_TIMEOUT = timedelta(hours=1)  # for a whole request: obstore's 30 s cut large objects off


def open_bucket(remote: Remote) -> Bucket:
    """The store behind a URL. Raises StorageFailed for a URL that names no store, and for invalid options."""
    parts = urlsplit(remote.url)
    scheme = ALIASES.get(parts.scheme, parts.scheme)
    url = f"{scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    if scheme not in SCHEMES or not parts.hostname:
        fix = "use a folder, or s3://, gs://, az:// or https:// and the bucket's name"
        raise StorageFailed(f"{url}: not the URL of a store", fix=fix)
    location = _locate(parts.hostname, parts.path, remote.options) if scheme == "s3" else None
    full = remote.url.replace(parts.scheme, scheme, 1)
    with translate_errors(url):
        reading = _open(full, scheme, location, remote.options, READ_TIMEOUT)
        writing = [
            _open(full, scheme, location, remote.options, WRITE_TIMEOUT, checksum=checksum)
            for checksum in ((True, False) if location else (False,))
        ]
    is_http = scheme.startswith("http")
    return Bucket(url, reading, writing, can_list=not is_http, location=location, name=remote.name)


def _locate(bucket: str, path: str, options: Mapping[str, str]) -> S3Location:
    """The location and the login that DVC would use."""
    login = Login(
        access_key=options.get("access_key_id", ""),
        secret_key=options.get("secret_access_key", ""),
        token=options.get("session_token", ""),
        profile=options.get("profile", ""),
        config_file=options.get("configpath", ""),
        credentials_file=options.get("credentialpath", ""),
        is_anonymous=_is_anonymous(options),
    )
    default = next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), "")
    endpoint = options.get("endpointurl", default).rstrip("/")
    region = options.get("region") or os.environ.get("AWS_REGION") or configured_region(login) or "us-east-1"
    return S3Location(bucket, path.strip("/"), endpoint, region, login)


def _open(
    url: str,
    scheme: str,
    location: S3Location | None,
    options: Mapping[str, str],
    timeout: timedelta,
    *,
    checksum: bool = False,
) -> "ObjectStore":
    """The store of a URL, with the timeout for a silent connection; with `checksum`, S3 gets a SHA-256 of each body."""
    client: ClientConfig = {
        "timeout": REQUEST_TIMEOUT,
        "read_timeout": timeout,
        "allow_http": (location.address if location else url).startswith("http:"),
    }
    if location:
        provider = None if location.login.is_anonymous else CredentialProvider(location.login)
        config = _s3_config(location)
        if checksum:
            config["checksum_algorithm"] = "sha256"
        return S3Store.from_url(
            url, config=config, client_options=client, retry_config=RETRIES, credential_provider=provider
        )
    if scheme == "gs":
        return GCSStore.from_url(url, config=_gcs_config(options), client_options=client, retry_config=RETRIES)
    if scheme == "az":
        return AzureStore.from_url(url, config=_azure_config(options), client_options=client, retry_config=RETRIES)
    return HTTPStore.from_url(url, client_options=client, retry_config=RETRIES)


def _s3_config(location: S3Location) -> "S3Config":
    config: S3Config = {"region": location.region, "skip_signature": location.login.is_anonymous}
    if location.endpoint:
        config["endpoint"] = location.endpoint
    return config


def _gcs_config(options: Mapping[str, str]) -> "GCSConfig":
    config: GCSConfig = {"skip_signature": _is_anonymous(options)}
    if path := options.get("credentialpath"):
        config["service_account"] = path
    return config


def _azure_config(options: Mapping[str, str]) -> "AzureConfig":
    config: AzureConfig = {"skip_signature": _is_anonymous(options)}
    for name in ("account_name", "account_key", "tenant_id", "client_id", "client_secret"):
        if name in options:
            config[name] = options[name]
    if "sas_token" in options:
        config["sas_key"] = options["sas_token"]
    return config


def _is_anonymous(options: Mapping[str, str]) -> bool:
    return options.get("allow_anonymous_login", "").lower() == "true"
