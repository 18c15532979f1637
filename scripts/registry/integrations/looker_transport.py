"""Requests to Looker's API over HTTP: tried again after transient failures, rows to a file, no secret in a message."""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import requests
from looker_sdk.rtl import api_settings, requests_transport, transport

from registry.core import progress, wording
from registry.errors import ServiceFailed, StorageFailed

INI = "looker.ini"
PAUSES = (1, 2, 4, 8)  # seconds before each further try of one request
PATIENCE = 300  # seconds that all pauses of one request may take together
MAX_MESSAGE = 2000  # characters of a message from outside

CREDENTIALS = (
    "set LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET to an API key of that Looker "
    f"(Looker: Account, API keys), or write them into {INI} at the registry's root"
)


class StatusError(ServiceFailed):
    """Looker responded with a status that is not worth another try."""

    def __init__(self, message: str, status: int, *, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class _TransientError(Exception):
    """A failure that is worth another try, after as many seconds as Looker's Retry-After says."""

    def __init__(self, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class _Request:
    """One HTTP request; `timeout` in seconds."""

    method: str
    url: str
    params: Mapping[str, str] | None
    body: bytes | None
    headers: Mapping[str, str]
    timeout: int


class Transport(requests_transport.RequestsTransport):
    """The SDK's transport with retries, with rows written to a file, and with secrets removed from messages.

    The SDK's own transport keeps whole responses in memory, drops their status, and looks up error messages on a public
    server.
    """

    def __init__(self, settings: api_settings.ApiSettings, folder: Path, subject: str) -> None:
        super().__init__(settings, requests.Session())
        self.folder = folder
        self.subject = subject
        self.host = urlsplit(settings.base_url).hostname
        config = settings.read_config()
        self._secrets = {config["client_id"], config["client_secret"]}

    def request(
        self,
        method: transport.HttpMethod,
        path: str,
        query_params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        authenticator: transport.TAuthenticator = None,
        transport_options: transport.TransportOptions | None = None,
    ) -> transport.Response:
        """Send one request, and again after transient failures. Raises ServiceFailed for all others."""
        options = transport_options or {}
        headers = {**(authenticator({}) if authenticator else {}), **options.get("headers", {})}
        self._secrets.add(headers.get("Authorization", "").removeprefix("Bearer "))
        timeout = options.get("timeout") or self.settings.timeout
        request = _Request(method.name, path, query_params, body, headers, timeout)
        remaining: float = PATIENCE
        for pause in () if method is transport.HttpMethod.DELETE else PAUSES:
            try:
                return self._send(request)
            except _TransientError as fault:
                wait = max(pause, fault.retry_after)
                if wait > remaining:
                    raise self._give_up(f"{fault}; Retry-After is {wait:,.0f} seconds") from fault
                self.log(f"{fault}; trying again in {wait:,.0f} s")
                remaining -= wait
                time.sleep(wait)
        try:
            return self._send(request)
        except _TransientError as fault:
            raise self._give_up(str(fault)) from fault

    def _send(self, request: _Request) -> transport.Response:
        try:
            with self.session.request(
                request.method,
                request.url,
                params=request.params,
                data=request.body,
                headers=request.headers,
                auth=requests_transport.NullAuth(),
                timeout=request.timeout,
                stream=True,
            ) as response:
                if not response.ok:
                    raise self._failure(response, request.url)
                value = self._save_rows(response) if request.url.endswith("/run/json") else response.content
                return transport.Response(True, value, transport.ResponseMode.STRING)
        except requests.Timeout as error:
            fix = "set LOOKERSDK_TIMEOUT to more seconds, or narrow the query"
            seconds = wording.plural(request.timeout, "second")
            raise ServiceFailed(f"Looker did not respond within {seconds}", fix=fix) from error
        except requests.RequestException as error:
            raise _TransientError(f"the connection to {self.host} failed: {self.redact(_cause(error))}") from error
        except OSError as error:
            fix = "free disk space, or set TMPDIR to a folder with more"
            raise StorageFailed(f"the rows cannot be written: {error.strerror}", fix=fix) from error

    def _save_rows(self, response: requests.Response) -> bytes:
        """Write a response to a new file; the file's name."""
        file = self.folder / f"result-{len(list(self.folder.iterdir()))}.json"
        end = b""
        with file.open("wb") as rows, progress.counter("rows from Looker", "B") as advance:
            for chunk in response.iter_content(1 << 20):
                rows.write(chunk)
                advance(len(chunk))
                end = (end + chunk)[-64:]
        if not end.rstrip().endswith(b"]"):  # a body without a length may end anywhere
            raise _TransientError("Looker's response was cut off")
        return str(file).encode()

    def _failure(self, response: requests.Response, path: str) -> Exception:
        """The error for a status of 400 or more."""
        status, message = response.status_code, self._message(response)
        if status == 429 or status >= 500:
            retry_after = _seconds(response.headers.get("Retry-After", ""))
            return _TransientError(f"Looker responded with {status}: {message}", retry_after)
        if path.endswith("/login") or status == 401:  # Looker responds to a wrong key with 404
            return StatusError(f"Looker at {self.host} refused the API key: {message}", status, fix=CREDENTIALS)
        fix = {
            403: "ask a Looker admin for the permissions access_data, explore and download_without_limit there",
            404: "correct source in the manifest; an API key sees only what its Looker user may see",
        }.get(status, "correct source, or `from` under columns, in the manifest")
        return StatusError(f"Looker responded with {status} for {self.subject}: {message}", status, fix=fix)

    def _message(self, response: requests.Response) -> str:
        try:
            body = response.json()
            details = [f"{fault.get('field')}: {fault.get('message')}" for fault in body.get("errors") or ()]
            return self.redact("; ".join([body["message"], *details]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.redact(response.text or response.reason)[:200]  # truncated last: half a secret is not redacted

    def _give_up(self, fault: str) -> ServiceFailed:
        fix = "try again later, or check the network and LOOKERSDK_BASE_URL"
        return ServiceFailed(f"{fault} ({self.subject})", fix=fix)

    def redact(self, text: str) -> str:
        """A text from outside without secrets, and without characters that could control a terminal."""
        for secret in filter(None, self._secrets):
            for form in (secret, quote_plus(secret)):  # as it is, and as the login form sends it
                text = text.replace(form, "***")
        return "".join(sign if sign.isprintable() else " " for sign in text)[:MAX_MESSAGE]

    @staticmethod
    def log(text: str) -> None:
        """Print a line of progress on stderr."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress is shown


def _cause(error: BaseException) -> str:
    """The message of the first error of a chain."""
    while error.__context__:
        error = error.__context__
    return str(error)


def _seconds(retry_after: str) -> float:
    """`Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3); anything else is no delay."""
    if retry_after.isdigit():
        return float(retry_after)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0
