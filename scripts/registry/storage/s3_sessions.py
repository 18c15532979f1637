"""Credentials for S3 and AWS's configuration, found and renewed by botocore as DVC finds them.

botocore does the work. `obstore.auth.boto3.Boto3CredentialProvider` (obstore 0.12) would do it too, but it imports
boto3, which DVC does not install; with a `credential_process` it cannot be pickled for worker processes; and by default
it passes on keys as valid for 30 minutes, which is longer than botocore guarantees.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import BotoCoreError, ClientError, TokenRetrievalError, UnauthorizedSSOTokenError
from botocore.session import Session

from registry.errors import LoginEnded, StorageFailed
from registry.storage.faults import CONTINUES
from registry.storage.s3_credentials import LOG_IN, AwsSettings, Credentials, Keys, Login

_ENDED = "the credentials for S3 have expired; the command did not finish, and found nothing wrong in the data"


def find_credentials(login: Login) -> Credentials | None:
    """Credentials that renew themselves when they expire; None where there are none. Raises StorageFailed."""
    with _translate_errors():
        found = _open_session(login).get_credentials()
    return partial(_current_keys, found) if found else None


def _current_keys(credentials: BotocoreCredentials) -> Keys:
    """The keys to sign with now. Raises StorageFailed where they have expired and cannot be renewed."""
    with _translate_errors():
        keys = credentials.get_frozen_credentials()
    return Keys(keys.access_key or "", keys.secret_key or "", keys.token)


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
