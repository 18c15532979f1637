"""Who signs requests to S3: keys that a remote or the environment has, or what botocore finds elsewhere.

Where the keys are static and AWS has no configuration on this machine, as in CI, there is nothing for botocore to find:
it is not imported, which takes a fifth of the time in which a command starts.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from registry.errors import StorageFailed

if TYPE_CHECKING:
    from obstore.store import S3Credential


KEYS_VALID_FOR = timedelta(minutes=10)  # obstore asks again in the last 5; botocore renews keys 15 before they expire
SHORTEST_SHOWN = 16  # characters of an access key whose last four are shown: AWS's have at least so many
LOG_IN = "log in to that cloud, or set its environment variables"


class Keys(NamedTuple):
    """What signs a request."""

    access_key: str
    secret_key: str
    token: str | None = None


Credentials = Callable[[], Keys]  # the keys to sign with now. Raises StorageFailed where they cannot be renewed


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
            key = self.find_credentials()().access_key
            return f"access key …{key[-4:] if len(key) >= SHORTEST_SHOWN else ''}"
        return "a login without credentials"

    def find_credentials(self) -> Credentials:
        """Credentials that renew themselves when they expire. Raises StorageFailed where there are none."""
        environment = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith("AWS_"))
        found = _find_credentials(self, environment)
        if not found:
            raise StorageFailed("no credentials for S3", fix=LOG_IN)
        return found

    @property
    def is_configured(self) -> bool:
        """Whether AWS's own configuration on this machine may have a say: a profile, or one of its files."""
        files = (
            ("AWS_CONFIG_FILE", self.config_file or "~/.aws/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", self.credentials_file or "~/.aws/credentials"),
        )
        paths = [os.path.expandvars(os.environ.get(name, default)) for name, default in files]
        return (
            bool(self.profile)
            or not {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"}.isdisjoint(os.environ)
            or any(os.path.isfile(os.path.expanduser(path)) for path in paths)  # noqa: PTH111, PTH113 - as botocore
        )


@cache
def _find_credentials(login: Login, _environment: tuple[tuple[str, str], ...]) -> Credentials | None:
    """Cached for each environment, so that all stores renew the same credentials."""
    if keys := _find_static(login):
        return lambda: keys
    from registry.storage import s3_sessions  # only here: see the module

    return s3_sessions.find_credentials(login)


def _find_static(login: Login) -> Keys | None:
    """The keys of the remote; else those of the environment, where botocore would take them and they do not expire."""
    if login.access_key:
        return Keys(login.access_key, login.secret_key, login.token or None)
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if login.is_configured or os.environ.get("AWS_CREDENTIAL_EXPIRATION") or not (access_key and secret_key):
        return None
    token = os.environ.get("AWS_SECURITY_TOKEN") or os.environ.get("AWS_SESSION_TOKEN")
    return Keys(access_key, secret_key, token or None)


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
    if login.is_configured:
        from registry.storage import s3_sessions  # only here: see the module

        return s3_sessions.read_settings(login)
    ignores_endpoints = os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    return AwsSettings(
        endpoint="" if ignores_endpoints else endpoint,
        region=os.environ.get("AWS_DEFAULT_REGION", ""),
        bundle=os.environ.get("AWS_CA_BUNDLE", ""),
    )


@dataclass(frozen=True, slots=True)
class CredentialProvider:
    """A Login in the form that obstore calls. Can be pickled."""

    login: Login

    def __call__(self) -> "S3Credential":
        """The keys, and until when obstore may use them. Raises StorageFailed."""
        keys = self.login.find_credentials()()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + KEYS_VALID_FOR,
        }
