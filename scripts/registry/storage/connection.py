"""How to connect to a server, for obstore's client and for our own alike: certificates, timeouts, proxies."""

import http.client
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from registry.core.settings import Remote
from registry.errors import StorageFailed
from registry.storage.faults import untrusted_certificate

if TYPE_CHECKING:
    from obstore.store import ClientConfig

CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT, WRITE_TIMEOUT = 30.0, 300.0  # without a byte of a response; reqwest counts the time of sending, too
COPY_TIMEOUT = 60.0  # the same for a server that copies an object before it responds
REQUEST_TIMEOUT = timedelta(hours=1)  # for a whole request: obstore's 30 s cut large objects off
# requests', which botocore reads too, then curl's. SSL_CERT_FILE and SSL_CERT_DIR are read by OpenSSL and rustls.
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PEM = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Connection:
    """The certificates that are trusted, and how long to wait.

    `bundle` is a file or folder of CA certificates in addition to the system's; `verify` false accepts any certificate.
    Timeouts are in seconds; None leaves the default of each kind of request. Can be pickled.
    """

    verify: bool = True
    bundle: str = ""
    connect_timeout: float | None = None
    read_timeout: float | None = None

    def require_valid(self) -> None:
        """Raises StorageFailed for a bundle that cannot be read, or that has no certificate."""
        if self.verify and self.bundle:
            try:
                _parse(self.roots)
            except ssl.SSLError as error:
                raise self._unreadable("is not a certificate in PEM format") from error

    @cached_property
    def roots(self) -> bytes:
        """The certificates of the bundle, as PEM; empty without one. Raises StorageFailed."""
        if not self.bundle:
            return b""
        path = Path(self.bundle).expanduser()
        try:
            files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
            found = b"\n".join(data for file in files if _PEM in (data := file.read_bytes()))
        except OSError as error:
            raise self._unreadable(error.strerror or "cannot be read") from error
        if not found:
            raise self._unreadable("has no certificate in PEM format")
        return found

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The context for Python's client; making one takes 0.06 s. Raises StorageFailed."""
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.roots:
            context.load_verify_locations(cadata=_as_text(self.roots))
        return context

    def client_options(self, address: str, read_timeout: float) -> "ClientConfig":
        """The same for obstore; `read_timeout` (seconds) where the remote sets none. Raises StorageFailed."""
        options: ClientConfig = {
            "timeout": REQUEST_TIMEOUT,
            "connect_timeout": timedelta(seconds=self.connect_timeout or CONNECT_TIMEOUT),
            "read_timeout": timedelta(seconds=self.read_timeout or read_timeout),
            "allow_http": address.startswith("http:"),
        }
        if not self.verify:
            options["allow_invalid_certificates"] = True
        elif self.roots:
            options["root_certificate"] = self.roots
        return options

    def connect(self, address: str, remote: Remote) -> "Channel":
        """A connection of Python's client to a remote's server, through the environment's proxy if there is one."""
        parts, proxy = urlsplit(address), find_proxy(address)
        is_tls = parts.scheme == "https"
        host, wait = _without_user(proxy or parts.netloc), self.connect_timeout or CONNECT_TIMEOUT
        connection = (
            http.client.HTTPSConnection(host, timeout=wait, context=self.tls)
            if is_tls
            else http.client.HTTPConnection(host, timeout=wait)
        )
        if proxy and is_tls:
            connection.set_tunnel(parts.hostname or "", parts.port or http.client.HTTPS_PORT, _login(proxy))
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            fault = untrusted_certificate(error.verify_message).for_remote(remote)
            raise StorageFailed(f"{address}: {fault.message}", fix=fault.fix) from error
        connection.sock.settimeout(self.read_timeout or COPY_TIMEOUT)
        if proxy and not is_tls:
            return Channel(connection, f"http://{parts.netloc}", _login(proxy))
        return Channel(connection)

    def __getstate__(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def _unreadable(self, fault: str) -> StorageFailed:
        fix = "correct ssl_verify, or the variable that names the CA bundle (AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE)"
        return StorageFailed(f"CA bundle {self.bundle}: {fault}", fix=fix)


@cache
def _parse(roots: bytes) -> None:
    """Raises SSLError for what is no certificate. Once for all stores: a system's own bundle takes 0.03 s."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_as_text(roots))


def _as_text(roots: bytes) -> str:
    return roots.decode("ascii", "ignore")


def find_connection(options: Mapping[str, str], bundle: str = "") -> Connection:
    """What a remote's options say; else `bundle`, then the environment's. Raises StorageFailed for an unusable bundle.

    As with DVC, an `ssl_verify` goes before every variable.
    """
    own = options.get("ssl_verify", "")
    is_flag = own.lower() in {"true", "false"}
    found = own or bundle or next((os.environ[name] for name in BUNDLE_VARIABLES if os.environ.get(name)), "")
    connection = Connection(
        verify=own.lower() != "false",
        bundle="" if is_flag else found,
        connect_timeout=_seconds(options, "connect_timeout", "connection_timeout"),
        read_timeout=_seconds(options, "read_timeout", "timeout"),
    )
    connection.require_valid()
    return connection


def _seconds(options: Mapping[str, str], *names: str) -> float | None:
    return next((float(options[name]) for name in names if name in options), None)


@dataclass(frozen=True, slots=True)
class Channel:
    """An open connection to a server; a proxy for plain HTTP is asked with whole URLs, and headers of its own."""

    connection: http.client.HTTPConnection
    prefix: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def put(self, path: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The response to a PUT without a body. Raises OSError, HTTPException."""
        self.connection.request("PUT", f"{self.prefix}{path}", b"", {**headers, **self.headers})
        return self.connection.getresponse()

    def head(self, path: str) -> http.client.HTTPMessage:
        """The headers of the response to a HEAD; then the connection is closed. Raises OSError, HTTPException."""
        try:
            self.connection.request("HEAD", f"{self.prefix}{path}", headers=dict(self.headers))
            return self.connection.getresponse().headers
        finally:
            self.connection.close()


# --- proxies ----------------------------------------------------------------------------------------------------------


def find_proxy(address: str) -> str:
    """The host and port of the proxy for a URL, with user and password if it has them; empty without one."""
    parts = urlsplit(address)
    if proxy_bypass(parts.netloc):
        return ""
    proxies = getproxies()
    url = proxies.get(parts.scheme) or proxies.get("all", "")
    return (urlsplit(url).netloc if "://" in url else url) if url else ""


def is_reachable_by_python(address: str) -> bool:
    """Whether Python's client can go the same way as obstore's: not to a proxy that wants TLS or SOCKS itself."""
    url = getproxies().get(urlsplit(address).scheme) or getproxies().get("all", "")
    return not find_proxy(address) or url.partition("://")[0] == "http" or "://" not in url


def _without_user(netloc: str) -> str:
    return netloc.rpartition("@")[2]


def _login(proxy: str) -> dict[str, str]:
    user, mark, _ = proxy.rpartition("@")
    return {"Proxy-Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"} if mark else {}
