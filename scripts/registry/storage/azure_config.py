"""Opens containers of Azure Blob Storage as DVC does (dvc-azure 3.1): connection strings, options, az's variables."""

import base64
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from obstore.store import AzureStore

from registry.core.settings import Remote
from registry.errors import LoginEnded, StorageFailed
from registry.storage.connection import Connection
from registry.storage.endpoints import require_endpoint
from registry.storage.remote_options import is_true

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ObjectStore, RetryConfig

# The account of Microsoft's emulator, which is the same everywhere.
_EMULATOR = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
DOMAIN = ".blob.core.windows.net"
# az's (its configuration's [storage]), then adlfs's.
_VARIABLES = {
    "connection_string": ("AZURE_STORAGE_CONNECTION_STRING",),
    "account_name": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
    "account_key": ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
    "sas_token": ("AZURE_STORAGE_SAS_TOKEN",),
}


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account: its login, and the URL of its service where that is not Azure's usual one."""

    name: str
    endpoint: str
    config: "AzureConfig" = field(repr=False)


def open_container(remote: Remote, connection: Connection, wait: float, retries: "RetryConfig") -> "ObjectStore":
    """The store of a remote, with the timeout (seconds) for a silent connection. Raises StorageFailed."""
    config = find_account(remote).config
    return AzureStore.from_url(
        remote.url.replace("azure://", "az://", 1),  # obstore's name of the scheme
        config=config,
        client_options=connection.client_options(config.get("endpoint", ""), wait),
        retry_config=retries,
    )


def find_account(remote: Remote) -> Account:
    """The account and login of a remote. Raises StorageFailed where they cannot be valid."""
    options = {**_read_environment(remote.options), **remote.options}
    config: AzureConfig = {"skip_signature": is_true(options, "allow_anonymous_login")}
    text = options.get("connection_string", "")
    if text:
        config |= _parse_connection_string(text, remote.name)
    else:
        for name in ("account_name", "account_key", "tenant_id", "client_id", "client_secret"):
            if name in options:
                config[name] = options[name]
        if "sas_token" in options:
            config["sas_key"] = options["sas_token"]
    account = str(config.get("account_name") or "")
    if not account:
        fix = f"dvc remote modify --local {remote.name} account_name NAME, or set AZURE_STORAGE_CONNECTION_STRING"
        raise StorageFailed(f"remote {remote.name}: Azure needs an account_name or a connection_string", fix=fix)
    _require_login(config, remote.name)
    usual = f"https://{account}{DOMAIN}"
    if not config.get("endpoint"):
        require_endpoint(usual, remote.name)
    endpoint = str(config.get("endpoint") or "")
    return Account(account, "" if endpoint == usual else endpoint, config)


def _require_login(config: "AzureConfig", remote: str) -> None:
    """Refuses what Azure would answer with a bare 403, and obstore before any request; no part of it is shown."""
    fix = "copy it again from the account's page, Access keys or Shared access signature"
    try:
        base64.b64decode(str(config.get("account_key") or ""), validate=True)
    except ValueError:
        raise StorageFailed(f"remote {remote}: the account key is not base64", fix=fix) from None
    if not config.get("sas_key"):
        return
    token = dict(parse_qsl(str(config["sas_key"]).lstrip("?")))
    if "sig" not in token:
        raise StorageFailed(f"remote {remote}: the shared access signature has no signature (sig=)", fix=fix)
    with suppress(ValueError):
        end = datetime.fromisoformat(token.get("se", ""))
        end = end if end.tzinfo else end.replace(tzinfo=UTC)
        if end < datetime.now(UTC):
            fault = f"remote {remote}: the shared access signature expired at {end:%Y-%m-%d %H:%M} UTC"
            raise LoginEnded(fault, fix="ask the account's owner for a new one; check this machine's clock, too")


def _read_environment(options: Mapping[str, str]) -> dict[str, str]:
    """What variables say; nothing of it where an option of the remote is of another method."""
    found = {option: os.environ[name] for option, names in _VARIABLES.items() for name in names if os.environ.get(name)}
    if "account_name" in options:
        found.pop("connection_string", None)
    return found


def _parse_connection_string(text: str, remote: str) -> "AzureConfig":
    """An account, its login and where it is. Source: Microsoft, "Configure Azure Storage connection strings"."""
    pairs = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    if pairs.get("UseDevelopmentStorage", "").lower() == "true":
        pairs = _EMULATOR
    account = pairs.get("AccountName", "")
    protocol, suffix = pairs.get("DefaultEndpointsProtocol", "https"), pairs.get("EndpointSuffix", "core.windows.net")
    endpoint = pairs.get("BlobEndpoint") or (f"{protocol}://{account}.blob.{suffix}" if account else "")
    if not endpoint:
        fix = "copy it from the account's page «Access keys»"
        raise StorageFailed(f"remote {remote}: the connection_string names no account", fix=fix)
    host = endpoint.rstrip("/").partition("://")[2]
    require_endpoint(endpoint.partition("://")[0] + "://" + host.partition("/")[0], remote)
    account = account or host.partition("/")[2] or host.partition(".")[0]
    config: AzureConfig = {"account_name": account, "endpoint": endpoint.rstrip("/")}
    if key := pairs.get("AccountKey"):
        config["account_key"] = key
    if token := pairs.get("SharedAccessSignature"):
        config["sas_key"] = token
    return config
