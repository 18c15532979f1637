"""A session with Looker's API through Looker's official SDK: from the API key to a logout.

Credentials come from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET, or from a `looker.ini` at the
registry's root that Git ignores. Neither they nor the access token are ever part of a message or a file.
"""

import configparser
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from cattrs import BaseValidationError
from looker_sdk.error import SDKError
from looker_sdk.rtl import api_settings, auth_session, serialize
from looker_sdk.sdk.api40.methods import Looker40SDK

from registry.core import wording
from registry.errors import InvalidDocument, Refused, RegistryError, ServiceFailed
from registry.integrations.looker_transport import CREDENTIALS, INI, Transport

T = TypeVar("T")

# What the SDK raises for a response that its models do not describe.
NOT_LOOKER = (SDKError, serialize.DeserializeError, BaseValidationError)


@dataclass(frozen=True, slots=True)
class Connection:
    """Looker's SDK, and the transport that it sends requests through."""

    sdk: Looker40SDK
    transport: Transport
    unknown: list[str]  # what Looker did not tell, each with the reason

    def ask_optional(self, what: str, ask: Callable[[], T]) -> T | None:
        """The answer to a question that no selection depends on; where it fails, None, and `unknown` says why."""
        try:
            return ask()
        except (ServiceFailed, *NOT_LOOKER) as error:
            reason = error.message if isinstance(error, ServiceFailed) else "the response is not as Looker describes it"
            self.unknown.append(f"{what}: {reason}")
            return None


@contextmanager
def connect(ini: Path, folder: Path, subject: str) -> Iterator[Connection]:
    """A session of the API key; `folder` is where rows go, `subject` names what is queried in messages.

    Raises Refused and InvalidDocument for settings, and ServiceFailed.
    """
    settings = _settings(ini)
    sender = Transport(settings, folder, subject)
    session = auth_session.AuthSession(settings, sender, serialize.deserialize40, "4.0")
    sdk = Looker40SDK(session, serialize.deserialize40, serialize.serialize40, sender, "4.0")
    sender.log(f"querying Looker at {sender.host}: {subject}")
    try:
        _log_in(session)  # first, so that a wrong key is told before an optional question meets it
        yield Connection(sdk, sender, [])
    except NOT_LOOKER as error:
        fix = "check LOOKERSDK_BASE_URL: it may lead to another server, or through a proxy that asks for a login"
        raise ServiceFailed(f"{sender.host} does not respond like Looker's API", fix=fix) from error
    finally:
        with suppress(RegistryError, SDKError):
            session.logout(transport_options={"timeout": 5})
        sender.session.close()


def has_key(root: Path) -> bool:
    """Whether an API key is set, or part of one, in the environment or in the registry's `looker.ini`."""
    return any(os.environ.get(f"LOOKERSDK_{name}") for name in ("CLIENT_ID", "CLIENT_SECRET")) or (root / INI).is_file()


def _log_in(session: auth_session.AuthSession) -> None:
    session.authenticate({})
    if not (session.token.access_token and session.token.expires_in):
        raise SDKError("the response to the login has no access token")


def _settings(ini: Path) -> api_settings.ApiSettings:
    try:
        # Without a file name, the SDK would read one in the current folder.
        name = str(ini) if ini.is_file() else ""
        settings = api_settings.ApiSettings(filename=name, sdk_version="registry", env_prefix="LOOKERSDK")
        config = settings.read_config()
    except (configparser.Error, ValueError, TypeError, IndexError, OSError):
        # The cause is left out: configparser quotes the faulty line, which may contain the secret.
        message = "cannot be read, or LOOKERSDK_TIMEOUT or LOOKERSDK_VERIFY_SSL has an invalid value"
        raise InvalidDocument(INI, message, fix=CREDENTIALS) from None
    missing = [name for name in ("base_url", "client_id", "client_secret") if not config.get(name)]
    if missing:
        names = wording.join([f"LOOKERSDK_{name.upper()}" for name in missing])
        raise Refused(f"{names} {'is' if len(missing) == 1 else 'are'} not set", fix=CREDENTIALS)
    if urlsplit(settings.base_url).scheme not in {"http", "https"}:
        raise Refused("LOOKERSDK_BASE_URL is not a URL", fix="write it as https://acme.cloud.looker.com")
    settings.base_url = settings.base_url.rstrip("/")
    return settings
