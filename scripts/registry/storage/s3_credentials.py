"""Credentials for S3, found and renewed by botocore as DVC finds them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from registry.errors import StorageFailed

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials
    from botocore.session import Session


LENT = timedelta(minutes=10)  # obstore asks again in the last 5 of these; botocore renews keys 15 before they end

LOG_IN = "log in to that cloud, or set its environment variables"


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs for a remote: its own options in DVC's configuration, then botocore's chain, as DVC does."""

    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    profile: str = ""
    config_file: str = ""
    credentials_file: str = ""
    is_anonymous: bool = False

    def find(self) -> "Credentials":
        """Credentials that renew themselves when they expire. Raises StorageFailed where there are none."""
        around = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith("AWS_"))
        with _explained():
            found = _find(self, around)
        if not found:
            raise StorageFailed("there are no credentials for S3", fix=LOG_IN)
        return found


@cache
def _find(login: Login, _around: tuple[tuple[str, str], ...]) -> "Credentials | None":
    """Found once for an environment, so that all stores renew the same ones."""
    from botocore.credentials import Credentials

    if login.access_key:
        return Credentials(login.access_key, login.secret_key, login.token or None)
    return _session(login).get_credentials()


def keys_of(credentials: "Credentials") -> "ReadOnlyCredentials":
    """The keys of this moment. Raises StorageFailed where they have expired and cannot be renewed."""
    with _explained():
        return credentials.get_frozen_credentials()


@contextmanager
def _explained() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, OSError, ValueError):  # STS refused; a credential_process failed, said nonsense
        # Without the cause: it may hold what that program said.
        raise StorageFailed("there are no current credentials for S3", fix=LOG_IN) from None


def configured_region(login: Login) -> str | None:
    """The region of the profile, or of AWS_DEFAULT_REGION; None also where the profile cannot be read."""
    from botocore.exceptions import BotoCoreError

    try:
        return _session(login).get_config_variable("region")
    except BotoCoreError:
        return None  # who asks for its keys is told


def _session(login: Login) -> "Session":
    from botocore.session import Session

    found = Session(profile=login.profile or None)
    for name in ("config_file", "credentials_file"):
        if path := getattr(login, name):
            found.set_config_variable(name, path)
    return found


@dataclass(frozen=True, slots=True)
class Provider:
    """A Login in the form that obstore asks for. Can be pickled."""

    login: Login

    def __call__(self) -> Mapping[str, object]:
        """The keys, and until when obstore may use them."""
        keys = keys_of(self.login.find())
        until = datetime.now(UTC) + LENT
        found = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key, "expires_at": until}
        return found | ({"token": keys.token} if keys.token else {})
