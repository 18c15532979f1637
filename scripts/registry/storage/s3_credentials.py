"""Credentials for S3, found and renewed by botocore as DVC finds them.

botocore does the work; by hand there is only what a remote's own options in DVC's configuration require, and a provider
in obstore's form. `obstore.auth.boto3.Boto3CredentialProvider` (obstore 0.12) would be that provider, but it imports
boto3, which DVC does not install; with a `credential_process` it cannot be pickled for worker processes; and by default
it passes on keys as valid for 30 minutes, which is longer than botocore guarantees.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, TokenRetrievalError, UnauthorizedSSOTokenError
from botocore.session import Session

from registry.errors import LoginEnded, StorageFailed
from registry.storage.faults import CONTINUES

if TYPE_CHECKING:
    from obstore.store import S3Credential


KEYS_VALID_FOR = timedelta(minutes=10)  # obstore asks again in the last 5; botocore renews keys 15 before they expire
SHORTEST_SHOWN = 16  # characters of an access key whose last four are shown: AWS's have at least so many
_ENDED = "the credentials for S3 have expired; the command did not finish, and found nothing wrong in the data"
LOG_IN = "log in to that cloud, or set its environment variables"


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs requests to a remote: its options in DVC's configuration, then botocore's chain, as with DVC."""

    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    profile: str = ""
    config_file: str = ""
    credentials_file: str = ""
    is_anonymous: bool = False

    def __reduce__(self) -> tuple[Callable[..., "Login"], tuple[object, ...]]:
        """Without keys: another process has its own environment, profile or role."""
        return Login, ("", "", "", self.profile, self.config_file, self.credentials_file, self.is_anonymous)

    def describe(self) -> str:
        """Who this is, without a secret: the profile, or the end of the access key's id, as `aws configure list`."""
        if self.is_anonymous:
            return "anonymous"
        if profile := self.profile or (not self.access_key and os.environ.get("AWS_PROFILE")):
            return f"profile {profile}"
        with suppress(StorageFailed):
            key = current_keys(self.find_credentials()).access_key or ""
            return f"access key …{key[-4:] if len(key) >= SHORTEST_SHOWN else ''}"
        return "a login without credentials"

    def find_credentials(self) -> Credentials:
        """Credentials that renew themselves when they expire. Raises StorageFailed where there are none."""
        environment = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith("AWS_"))
        with _translate_errors():
            found = _find_credentials(self, environment)
        if not found:
            raise StorageFailed("no credentials for S3", fix=LOG_IN)
        return found


@cache
def _find_credentials(login: Login, _environment: tuple[tuple[str, str], ...]) -> Credentials | None:
    """Cached for each environment, so that all stores renew the same credentials."""
    if login.access_key:
        return Credentials(login.access_key, login.secret_key, login.token or None)
    return _open_session(login).get_credentials()


def current_keys(credentials: Credentials) -> ReadOnlyCredentials:
    """The keys to sign with now. Raises StorageFailed where they have expired and cannot be renewed."""
    with _translate_errors():
        return credentials.get_frozen_credentials()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, UnauthorizedSSOTokenError, TokenRetrievalError) as error:
        if type(error) is RuntimeError and "expired" not in str(error):
            raise
        # Renewed ones, too: of a variable (AWS_CREDENTIAL_EXPIRATION), a credential_process, a session of SSO.
        raise LoginEnded(_ENDED, fix=f"log in again, then {CONTINUES}") from None
    except (BotoCoreError, ClientError, OSError, ValueError):  # STS failed, or a credential_process
        # Without the cause: it may have that program's output.
        raise StorageFailed("no valid credentials for S3", fix=LOG_IN) from None


class AwsSettings(NamedTuple):
    """What AWS's own configuration says of S3 (profile, then variables, as botocore orders them); empty where nothing.

    `endpoint` is a URL, `bundle` a file of CA certificates; `is_virtual`: addressing_style is virtual.
    """

    endpoint: str = ""
    region: str = ""
    bundle: str = ""
    is_virtual: bool = False


def read_settings(login: Login) -> AwsSettings:
    """AWS's configuration for a login; empty where its profile cannot be read, which `find_credentials` reports."""
    session = _open_session(login)
    try:
        s3 = session.get_scoped_config().get("s3")
        return AwsSettings(
            endpoint=_configured_endpoint(session),
            region=session.get_config_variable("region") or "",
            bundle=session.get_config_variable("ca_bundle") or "",
            is_virtual=isinstance(s3, dict) and s3.get("addressing_style") == "virtual",
        )
    except BotoCoreError:
        return AwsSettings()


def _configured_endpoint(session: Session) -> str:
    """The endpoint that botocore's client would have: of a variable, a profile, or its `services` section."""
    config = session.get_component("config_store")
    if config.get_config_variable("ignore_configured_endpoint_urls"):
        return ""
    provider = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), "s3")
    return provider.provide() or ""


def _open_session(login: Login) -> Session:
    session = Session(profile=login.profile or None)
    # DVC puts a remote's paths into these variables, unless they are set.
    if login.config_file and "AWS_CONFIG_FILE" not in os.environ:
        session.set_config_variable("config_file", login.config_file)
    if login.credentials_file and "AWS_SHARED_CREDENTIALS_FILE" not in os.environ:
        session.set_config_variable("credentials_file", login.credentials_file)
    return session


@dataclass(frozen=True, slots=True)
class CredentialProvider:
    """A Login in the form that obstore calls. Can be pickled."""

    login: Login

    def __call__(self) -> "S3Credential":
        """The keys, and until when obstore may use them. Raises StorageFailed."""
        keys = current_keys(self.login.find_credentials())
        return {
            "access_key_id": keys.access_key or "",
            "secret_access_key": keys.secret_key or "",
            "token": keys.token,
            "expires_at": datetime.now(UTC) + KEYS_VALID_FOR,
        }
