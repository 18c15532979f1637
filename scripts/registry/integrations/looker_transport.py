"""Requests to Looker's API over HTTP: tried again where that helps, rows to a file, no secret in a message.

Queries are run by one request whose rows are streamed. Looker's query tasks, which are asked for their state, would not
do: what is streamed is not kept for them, says the API's description of create_query_task.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from looker_sdk.rtl import requests_transport, transport
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from registry.console import say
from registry.core import progress, wording
from registry.errors import ServiceFailed, StorageFailed
from registry.integrations.looker_responses import (
    EDGE,
    OTHER_SERVER,
    PROXY_LOGIN,
    Exchange,
    QueryState,
    Secrets,
    SessionEnded,
    TransientError,
    require_answer,
    require_content,
    require_no_fault,
    require_rows,
)
from registry.integrations.looker_settings import Settings, proxy_passwords

PAUSES = (1, 2, 4, 8)  # seconds before each further try of one request
PATIENCE = 300  # seconds that all pauses of one request may take together
RERUNS = 1  # how often a query is run again that may have made the database work
CONNECT_TIMEOUT = 10  # seconds
QUICK_TIMEOUT = 120  # seconds, for what is no query

CA_BUNDLE = "set REQUESTS_CA_BUNDLE to a file with the certificate authority of your network"

# A query is silent until its first row, and networks forget silent connections after some minutes (Azure, where the
# machines of GitHub are, after 4); so TCP says something every minute.
KEEP_ALIVE = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), 60)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL")  # Linux and Windows, macOS, all
        if hasattr(socket, name)
    ),
]


@dataclass(frozen=True, slots=True)
class _Request:
    """One HTTP request; `authenticate` gives the header of the session as it is now, `timeout` is in seconds."""

    method: str
    params: Mapping[str, str] | None
    authenticate: transport.TAuthenticator
    headers: Mapping[str, str]
    timeout: int
    exchange: Exchange


@dataclass(slots=True)
class _Tries:
    """What is left for one request."""

    pauses: Iterator[float] = field(default_factory=lambda: iter(PAUSES))
    patience: float = PATIENCE  # seconds
    reruns: int = RERUNS
    sessions: int = 1  # how often a new one may be begun


class _KeepAlive(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, socket_options=KEEP_ALIVE, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, socket_options=KEEP_ALIVE, **options)


class Transport(requests_transport.RequestsTransport):
    """The SDK's transport with retries, with rows written to a file, and with secrets removed from messages.

    The SDK's own transport keeps whole responses in memory, drops their status, and looks up error messages on a public
    server. `forget_session` makes the next request log in; `stop_query` gets a query's body, and is True when that
    query was running and is stopped.
    """

    def __init__(self, settings: Settings, folder: Path, subject: str) -> None:
        super().__init__(settings, requests.Session())
        self.session.mount("https://", _KeepAlive())
        self.session.mount("http://", _KeepAlive())
        self.folder = folder
        self.subject = subject
        self.host = urlsplit(settings.base_url).hostname or ""
        self.forget_session: Callable[[], None] = lambda: None
        self.stop_query: Callable[[bytes], bool] = lambda _: False
        config = settings.read_config()
        self._secrets = Secrets()
        self._secrets.add(config["client_id"], config["client_secret"])
        self._secrets.add(*proxy_passwords())
        self._is_stopping = False

    def request(
        self,
        method: transport.HttpMethod,
        path: str,
        query_params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        authenticator: transport.TAuthenticator = None,
        transport_options: transport.TransportOptions | None = None,
    ) -> transport.Response:
        """Send one request, and again where that helps. Raises ServiceFailed."""
        options = transport_options or {}
        exchange = Exchange(self.host, self.subject, self._secrets, path, body)
        usual = self.settings.timeout if exchange.is_query else min(self.settings.timeout, QUICK_TIMEOUT)
        timeout = options.get("timeout") or usual
        request = _Request(method.name, query_params, authenticator, options.get("headers", {}), timeout, exchange)
        tries = _Tries(iter(()), sessions=0) if method is transport.HttpMethod.DELETE else _Tries()
        while True:
            try:
                return self._send(request)
            except SessionEnded as ended:
                self._begin_session(ended, tries)
            except TransientError as fault:
                self._pause(fault, request, tries)
            except (KeyboardInterrupt, SystemExit):
                if exchange.is_query:
                    self._stop(exchange)
                raise

    # --- one try ------------------------------------------------------------------------------------------------------

    def _send(self, request: _Request) -> transport.Response:
        headers = {**(request.authenticate({}) if request.authenticate else {}), **request.headers}
        authorization = headers.get("Authorization", "")
        self._secrets.add(authorization.removeprefix("Bearer "))
        if not re.fullmatch("[!-~ ]*", authorization):  # no token of Looker's; it would be quoted in an error
            raise ServiceFailed(f"{self.host} does not respond like Looker's API", fix=OTHER_SERVER)
        exchange = request.exchange
        try:
            with progress.waiting("waiting for Looker"):
                response = self.session.request(
                    request.method,
                    exchange.path,
                    params=request.params,
                    data=exchange.body,
                    headers=headers,
                    auth=requests_transport.NullAuth(),
                    timeout=(min(CONNECT_TIMEOUT, request.timeout), request.timeout),
                    allow_redirects=False,
                    stream=True,
                )
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._connection_fault(error, request) from error
        with response:
            value = self._receive(response, request)
        return transport.Response(True, value, transport.ResponseMode.STRING)

    def _receive(self, response: requests.Response, request: _Request) -> bytes:
        try:
            require_answer(response, request.exchange)
            if request.exchange.is_query:
                return self._save_rows(response, request.exchange)
            if request.method != "DELETE":
                require_content(response.content, request.exchange, response.status_code)
            return response.content
        except requests.RequestException as error:
            if _has(error, ReadTimeoutError):
                raise self._timed_out(request) from error
            raise TransientError(f"Looker's response was cut off: {self._cause(error)}", QueryState.ENDED) from error
        except OSError as error:
            fix = "free disk space, or set TMPDIR to a folder with more"
            raise StorageFailed(f"the rows cannot be written: {error.strerror}", fix=fix) from error

    def _save_rows(self, response: requests.Response, exchange: Exchange) -> bytes:
        """Write a response to a new file; the file's name."""
        file = self.folder / f"result-{len(list(self.folder.iterdir()))}.json"
        start = end = b""
        with file.open("wb") as rows, progress.counter("rows from Looker", "B") as advance:
            for chunk in response.iter_content(1 << 20):
                if not start:
                    require_rows(chunk, exchange)
                    start = chunk[:EDGE]
                rows.write(chunk)
                advance(len(chunk))
                end = (end + chunk)[-EDGE:]
        if not end.rstrip().endswith(b"]"):  # a body without a length may end anywhere
            raise TransientError("Looker's response was cut off", QueryState.ENDED)
        require_no_fault((start, end), exchange)
        return str(file).encode()

    # --- what failed --------------------------------------------------------------------------------------------------

    def _connection_fault(self, error: Exception, request: _Request) -> Exception:
        """The error for a request without a response."""
        cause = self._cause(error)
        if isinstance(error, requests.exceptions.ProxyError):
            if "407" in cause:
                return ServiceFailed(f"the proxy before {self.host} asks for a login: {cause}", fix=PROXY_LOGIN)
            return TransientError(f"the proxy before {self.host} failed: {cause}")
        if isinstance(error, requests.ConnectTimeout) or _has(error, NewConnectionError):
            return TransientError(f"the connection to {self.host} failed: {cause}")
        if isinstance(error, requests.Timeout):
            return self._timed_out(request)
        if isinstance(error, requests.exceptions.SSLError | ssl.SSLError) and "EOF" not in cause:
            return ServiceFailed(f"{self.host} cannot be reached over TLS: {cause}", fix=_tls_fix(cause))
        if "CA certificate bundle" in cause:  # of `requests`, which names the file
            return ServiceFailed(f"{self.host} cannot be reached over TLS: {cause}", fix=CA_BUNDLE)
        if isinstance(error, ValueError) and not isinstance(
            error, ssl.SSLError
        ):  # addresses that requests cannot use, also a proxy's
            return ServiceFailed(f"{self.host} cannot be reached: {cause}", fix=OTHER_SERVER)
        return TransientError(f"the connection to {self.host} failed: {cause}", QueryState.MAY_RUN)

    def _timed_out(self, request: _Request) -> ServiceFailed:
        fault = f"Looker did not respond within {wording.plural(request.timeout, 'second')}"
        if not request.exchange.is_query:
            return self._give_up(fault)
        self._stop(request.exchange)
        return ServiceFailed(
            f"{fault} ({self.subject})", fix="set LOOKERSDK_TIMEOUT to more seconds, or narrow the query"
        )

    def _begin_session(self, ended: SessionEnded, tries: _Tries) -> None:
        if not tries.sessions:
            raise ended.error from ended
        tries.sessions -= 1
        self.log("the session with Looker ended; logging in again")
        self.forget_session()

    def _pause(self, fault: TransientError, request: _Request, tries: _Tries) -> None:
        """Wait until a request may be tried again. Raises ServiceFailed where it may not."""
        if request.exchange.is_query and fault.state is not QueryState.NOT_RUN:
            self._require_rerun(fault, request, tries)
        pause = next(tries.pauses, None)
        if pause is None or self._is_stopping:
            raise self._give_up(str(fault)) from fault
        wait = max(pause, _seconds(fault.retry_after))
        if wait > tries.patience:
            raise self._give_up(f"{fault}; Retry-After is {wait:,.0f} seconds") from fault
        self.log(f"{fault}; trying again in {wait:,.0f} s")
        tries.patience -= wait
        time.sleep(wait)

    def _require_rerun(self, fault: TransientError, request: _Request, tries: _Tries) -> None:
        """Every run is work for the database: no second one beside the first, and no third one."""
        if fault.state is QueryState.MAY_RUN and not self._stop(request.exchange):
            fix = "wait until the query has ended (Looker: Admin, Queries), then select again"
            raise ServiceFailed(f"{fault}; the query may still be running ({self.subject})", fix=fix) from fault
        if not tries.reruns:
            raise self._give_up(str(fault)) from fault
        tries.reruns -= 1

    def _stop(self, exchange: Exchange) -> bool:
        """Stop a query in Looker; whether it was running and is stopped."""
        self._is_stopping = True
        try:
            is_stopped = self.stop_query(exchange.body or b"")
        finally:
            self._is_stopping = False
        outcome = "was stopped in Looker" if is_stopped else "may still be running in the database"
        self.log(f"the query {outcome}")
        return is_stopped

    def _give_up(self, fault: str) -> ServiceFailed:
        fix = "try again later, or check the network and LOOKERSDK_BASE_URL"
        return ServiceFailed(f"{fault} ({self.subject})", fix=fix)

    def _cause(self, error: BaseException) -> str:
        """The message of the first error of a chain."""
        while error.__context__:
            error = error.__context__
        return self.redact(str(error))

    def redact(self, text: str) -> str:
        """A text from outside without secrets, and without characters that could control a terminal."""
        return self._secrets.redact(text)

    @staticmethod
    def log(text: str) -> None:
        """Print a line of progress on stderr."""
        say(text, err=True)


def _has(error: BaseException, kind: type[Exception]) -> bool:
    """Whether an error of this kind is in a chain, also as an argument or as the reason of urllib3's last try."""
    chain: BaseException | None = error
    while chain is not None:
        if any(isinstance(one, kind) for one in (chain, getattr(chain, "reason", None), *chain.args)):
            return True
        chain = chain.__context__
    return False


def _tls_fix(cause: str) -> str:
    if "expired" in cause or "not yet valid" in cause:
        return "renew the certificate of the server, or correct the clock of this machine"
    if "certificate verify failed" in cause and "mismatch" not in cause:
        return CA_BUNDLE
    return "check the scheme, host and port of LOOKERSDK_BASE_URL"


def _seconds(retry_after: str) -> float:
    """`Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3); anything else is no delay."""
    if retry_after.isdecimal():
        return float(retry_after)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0
