"""The settings of an API key of Looker: from the environment or `looker.ini`, judged before the first request.

Credentials come from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET, or from a `looker.ini` at the
registry's root that Git ignores. Neither they nor the access token are ever part of a message or a file.
"""

import configparser
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

from looker_sdk.rtl import api_settings

from registry.core import wording
from registry.errors import InvalidDocument, Refused

INI = "looker.ini"
MAX_TIMEOUT = 86_400  # seconds; sockets take no number of any size
TIMEOUT = 3600  # seconds for which a query may run before its first row, unless LOOKERSDK_TIMEOUT says another number
HOSTED = (".looker.com", ".looker.app")  # where Google runs Looker, always with TLS

CREDENTIALS = (
    "set LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET to an API key of that Looker "
    f"(Looker: Account, API keys), or write them into {INI} at the registry's root"
)


class Settings(api_settings.ApiSettings):
    """The SDK's settings, without the spaces and line ends that a secret is often pasted with."""

    def read_config(self) -> api_settings.SettingsConfig:
        """The settings by name, as texts. Raises Refused for those that are unusable, without showing them."""
        config = super().read_config()
        for name in ("base_url", "client_id", "client_secret", "timeout", "verify_ssl"):
            if name in config:
                config[name] = config[name].strip()
        seconds = config.get("timeout") or str(TIMEOUT)
        if not re.fullmatch("[0-9]{1,5}", seconds) or not 0 < int(seconds) <= MAX_TIMEOUT:
            fix = "set a whole number of seconds from 1 to 86400, or nothing"
            raise Refused("LOOKERSDK_TIMEOUT is not a number of seconds", fix=fix)
        config["timeout"] = seconds
        try:
            self._bool(config.get("verify_ssl", ""))
        except TypeError:
            raise Refused("LOOKERSDK_VERIFY_SSL is neither true nor false", fix="set true, or nothing") from None
        return config


def read_settings(ini: Path) -> Settings:
    """The settings. Raises Refused where one is missing or unusable, and InvalidDocument for a file."""
    try:
        # Without a file name, the SDK would read one in the current folder.
        name = str(ini) if ini.is_file() else ""
        settings = Settings(filename=name, sdk_version="registry", env_prefix="LOOKERSDK")
        config = settings.read_config()
    except (configparser.Error, ValueError, TypeError, IndexError, OSError):
        # The cause is left out: configparser quotes the faulty line, which may contain the secret.
        raise _unreadable(ini) from None
    missing = [name for name in ("base_url", "client_id", "client_secret") if not config.get(name)]
    if missing:
        names = wording.join([f"LOOKERSDK_{name.upper()}" for name in missing])
        raise Refused(f"{names} {'is' if len(missing) == 1 else 'are'} not set", fix=CREDENTIALS)
    settings.base_url = _origin(config["base_url"])
    return settings


def _unreadable(ini: Path) -> InvalidDocument:
    with suppress(OSError):
        if ini.read_bytes().startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
            fault = "begins with a byte order mark, as some editors and shells on Windows write it"
            return InvalidDocument(INI, fault, fix="save it as UTF-8 without a byte order mark")
    return InvalidDocument(INI, "cannot be read as [Looker], base_url=…, client_id=…, client_secret=…", fix=CREDENTIALS)


def has_key(root: Path) -> bool:
    """Whether an API key is set, or part of one, in the environment or in the registry's `looker.ini`."""
    return any(os.environ.get(f"LOOKERSDK_{name}") for name in ("CLIENT_ID", "CLIENT_SECRET")) or (root / INI).is_file()


def proxy_passwords() -> Iterator[str]:
    """The passwords of the proxies that the environment names. Raises Refused for a proxy that is no address."""
    for scheme, proxy in getproxies().items():
        if scheme in {"http", "https", "all"}:
            try:
                parts = urlsplit(proxy if "://" in proxy else f"//{proxy}")
                host, password = parts.hostname, parts.password or ""
            except ValueError:
                host, password = None, ""
            if not host:  # `requests` fails on some of them, and quotes others with their password
                name = f"{scheme.upper()}_PROXY"
                raise Refused(f"{name} is not the address of a proxy", fix=f"write {name} as http://HOST:PORT")
            yield from (password, unquote(password))


def _origin(base_url: str) -> str:
    """Scheme, host and port of an address, which may be that of a page or of the API: the SDK appends its own path."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # no label is empty or longer than 63 signs
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), None, None
    if parts.scheme not in {"http", "https"} or not host:
        raise Refused("LOOKERSDK_BASE_URL is not a URL", fix="write it as https://acme.cloud.looker.com")
    if parts.username or parts.password:
        raise Refused("LOOKERSDK_BASE_URL contains a login", fix=f"write it as {parts.scheme}://{host}")
    if parts.scheme == "http" and host.endswith(HOSTED):  # it would carry the key before it redirects
        raise Refused(f"LOOKERSDK_BASE_URL is http://{host}, expected https", fix=f"write it as https://{host}")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}:{port}" if port else f"{parts.scheme}://{name}"
