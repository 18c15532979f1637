"""Opens buckets of Google Cloud Storage as DVC does (dvc-gs 3.1): credentials, endpoint, gcsfs's variable."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from obstore.store import GCSStore

from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage.connection import Connection
from registry.storage.endpoints import require_endpoint
from registry.storage.remote_options import is_true

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from obstore.store import GCSConfig, GCSCredential, ObjectStore, RetryConfig

# The emulators of Google's storage check no login; a key that says so is the only one with which obstore asks for none.
_NO_LOGIN = (
    '{{"gcs_base_url": "{}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}'
)
_OF_OBSTORE = ("service_account", "authorized_user")  # types of credentials that obstore 0.12 reads itself
_OF_GOOGLE = ("external_account", "external_account_authorized_user", "impersonated_service_account")
_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_VALID_FOR = timedelta(minutes=5)  # a token, where google-auth does not say for how long; it renews them itself
_RENEWING = Lock()


def open_gcs(remote: Remote, connection: Connection, wait: float, retries: "RetryConfig") -> "ObjectStore":
    """The store of a remote, with the timeout (seconds) for a silent connection. Raises StorageFailed."""
    endpoint = find_endpoint(remote)
    config, file = _config(remote.options, endpoint), _find_file(remote)
    if file and file.kind in _OF_OBSTORE:
        config["application_credentials"] = file.path
    return GCSStore.from_url(
        remote.url,
        config=config,
        client_options=connection.client_options(endpoint, wait),
        retry_config=retries,
        credential_provider=GoogleCredentials(file.path) if file and file.kind in _OF_GOOGLE else None,
    )


def find_credentials(remote: Remote) -> "Credentials | None":
    """The login for Google's own client; None where the remote has none. Raises StorageFailed."""
    from google.auth import default
    from google.auth.exceptions import DefaultCredentialsError
    from google.oauth2 import credentials, service_account

    if is_true(remote.options, "allow_anonymous_login"):
        return None
    file, scopes = _find_file(remote), [_SCOPE]
    made: Credentials
    if file and file.kind == "service_account":
        made = service_account.Credentials.from_service_account_file(file.path, scopes=scopes)  # type: ignore[no-untyped-call]
    elif file and file.kind == "authorized_user":
        made = credentials.Credentials.from_authorized_user_file(file.path, scopes)  # type: ignore[no-untyped-call]
    else:
        try:
            made = default(scopes=scopes)[0]
        except DefaultCredentialsError:
            return None
    return made


def find_endpoint(remote: Remote) -> str:
    """The URL of the service where it is not Google's own, which is empty. Raises StorageFailed.

    gcsfs, and so DVC, takes it from STORAGE_EMULATOR_HOST too; obstore knows no such variable.
    """
    host = os.environ.get("STORAGE_EMULATOR_HOST", "")
    emulator = host if "://" in host or not host else f"http://{host}"
    return require_endpoint(remote.options.get("endpointurl") or emulator, remote.name)


def _config(options: Mapping[str, str], endpoint: str) -> "GCSConfig":
    if endpoint and is_true(options, "allow_anonymous_login"):
        return {"service_account_key": _NO_LOGIN.format(endpoint)}
    config: GCSConfig = {"skip_signature": is_true(options, "allow_anonymous_login")}
    if endpoint:
        config["base_url"] = endpoint
    return config


class _File(NamedTuple):
    """A file of credentials, and their type."""

    path: str
    kind: str


def _find_file(remote: Remote) -> _File | None:
    """The file that the remote or the environment names, if any. Raises StorageFailed for one that cannot be used.

    gcsfs, and so DVC, takes a workload identity from the environment only.
    """
    own, common = remote.options.get("credentialpath", ""), os.environ.get(_VARIABLE, "")
    if is_true(remote.options, "allow_anonymous_login") or not (own or common):
        return None
    file = _File(own or common, _read_kind(own or common, remote.name))
    if own and file.kind in _OF_GOOGLE:
        fix = f"remove credentialpath from remote {remote.name}, and set {_VARIABLE} to that file"
        raise StorageFailed(
            f"Google credentials {own}: DVC accepts the type {file.kind} from the environment only", fix=fix
        )
    return file


def _read_kind(path: str, remote: str) -> str:
    """The type of the credentials in a file, of which nothing is shown. Raises StorageFailed where there are none."""
    fix = f"name the JSON file of a service account: dvc remote modify --local {remote or 'REMOTE'} credentialpath FILE"
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageFailed(f"Google credentials {path}: {error.strerror or 'cannot be read'}", fix=fix) from error
    except (ValueError, RecursionError):
        raise StorageFailed(f"Google credentials {path}: not a JSON file", fix=fix) from None
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in (*_OF_OBSTORE, *_OF_GOOGLE):
        expected = ", ".join((*_OF_OBSTORE, *_OF_GOOGLE))
        raise StorageFailed(f"Google credentials {path}: not a file of credentials, expected type {expected}", fix=fix)
    return str(kind)


@dataclass(frozen=True, slots=True)
class GoogleCredentials:
    """Credentials that google-auth renews, such as GitHub's workload identity, in the form that obstore calls.

    Can be pickled.
    """

    path: str

    def __call__(self) -> "GCSCredential":
        """A token, and until when it may be used. Raises StorageFailed."""
        # Both come with dvc-gs, which a registry on S3 does not install.
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            with _RENEWING:
                found = _load(self.path)
                if not found.valid:
                    found.refresh(Request())  # type: ignore[no-untyped-call]
        except (GoogleAuthError, OSError, ValueError):  # without the cause: it may have the server's response
            fix = "log in again, or check the workload identity provider and its service account"
            raise StorageFailed(f"Google credentials {self.path}: no valid credentials", fix=fix) from None
        expiry = found.expiry.replace(tzinfo=UTC) if found.expiry else datetime.now(UTC) + _VALID_FOR
        return {"token": found.token or "", "expires_at": expiry}


@cache
def _load(_path: str) -> "Credentials":
    """Those of GOOGLE_APPLICATION_CREDENTIALS, as gcsfs finds them; cached for each file."""
    from google.auth import default

    return default(scopes=[_SCOPE])[0]
