"""What a response of Looker means: an answer, a failure that passes, or an error that names its cause.

One status has many causes: an HTML page is a proxy's, not Looker's; 401 is a session that ended, 404 at the login a
wrong key; a database's error comes with status 200. So status, media type and text are judged together.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum, auto
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from registry.core import wording
from registry.errors import ServiceFailed
from registry.integrations.looker_settings import CREDENTIALS

MAX_MESSAGE = 2000  # characters of a message from outside
EDGE = 1 << 16  # bytes of a response that are read for its message
BOM = b"\xef\xbb\xbf"

OTHER_SERVER = "check LOOKERSDK_BASE_URL: it may lead to another server, or through a proxy that asks for a login"
PROXY_LOGIN = (
    "write the proxy's login into HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), or its exception into NO_PROXY"
)

# What a request needs, by the end of its path: https://cloud.google.com/looker/docs/admin-panel-users-roles
PERMISSIONS = (
    (re.compile(r"/queries/run/sql$"), ("see_sql",)),
    (re.compile(r"/run/\w+$"), ("access_data", "explore", "download_without_limit")),
    (re.compile(r"/queries($|/)"), ("explore",)),
    (re.compile(r"/looks/"), ("see_looks",)),
    (re.compile(r"/lookml_models/"), ("explore",)),
    (re.compile(r"/projects/"), ("see_lookml", "develop")),
    (re.compile(r"/running_queries"), ("see_queries",)),
    (re.compile(r"/dashboard"), ("see_user_dashboards", "see_lookml_dashboards")),
)
CUSTOM = "create_custom_fields"

# How Looker and databases word what is over soon; the query has not run. Looker drops queries that waited in its queue
# for 120 or 600 seconds: https://cloud.google.com/looker/docs/best-practices/query-timeouts-and-queueing
PASSES = re.compile(
    r"queue|pool ?timeout|concurren|too many|throttl|rate.?limit|timed out waiting|temporar|try again|overload"
    r"|unavailable|connection (?:was |is )?(?:refused|reset|closed|lost)",
    re.IGNORECASE,
)


class QueryState(StrEnum):
    """What is known of a query whose rows did not come."""

    NOT_RUN = auto()
    ENDED = auto()
    MAY_RUN = auto()


class StatusError(ServiceFailed):
    """Looker responded with a status that is not worth another try."""

    def __init__(self, message: str, status: int, *, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class TransientError(Exception):
    """A failure that is worth another try, after as many seconds as Looker's Retry-After says."""

    def __init__(self, message: str, state: QueryState = QueryState.NOT_RUN, retry_after: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.retry_after = retry_after


class SessionEnded(Exception):
    """Looker no longer knows the access token; `error` is for when a new one does not help."""

    def __init__(self, error: StatusError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class Secrets:
    """What no message may contain."""

    values: set[str] = field(default_factory=set)

    def add(self, *secrets: str) -> None:
        """Keep secrets; the empty text is none."""
        self.values.update(secret for secret in secrets if secret)

    def redact(self, text: str) -> str:
        """A text from outside without secrets, and without characters that could control a terminal."""
        for secret in sorted(self.values, key=len, reverse=True):
            text = re.sub(_pattern(secret), "***", text)
        return "".join(sign if sign.isprintable() else " " for sign in text)[:MAX_MESSAGE]


@cache
def _pattern(secret: str) -> str:
    """A secret in any form in which a server may repeat it: each sign as it is, or as in forms, JSON or HTML."""
    return "".join(sign if sign.isalnum() and sign.isascii() else _sign(sign) for sign in secret)


def _sign(sign: str) -> str:
    in_form = "".join(f"%{byte:02x}" for byte in sign.encode(errors="surrogateescape"))
    in_json = "".join(rf"\\u{int.from_bytes(pair):04x}" for pair in _pairs(sign.encode("utf-16-be", "surrogatepass")))
    # Rails and Go also write the & of HTML as JSON does.
    names = [*re.findall("&(.+);", html.escape(sign)), f"#0*{ord(sign)}", f"#x0*{ord(sign):x}"]
    in_html = rf"(?:&|\\u0026)(?:{'|'.join(names)});"
    space = [r"\+"] if sign == " " else []
    # The longer forms first: the & of a secret must not match that of &amp; alone.
    return rf"(?:(?i:{'|'.join([in_form, in_json, in_html, *space])})|\\?{re.escape(sign)})"


def _pairs(data: bytes) -> Iterator[bytes]:
    return (data[start : start + 2] for start in range(0, len(data), 2))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and who it is for: `subject` is what is queried, `body` as it was sent."""

    host: str
    subject: str
    secrets: Secrets
    path: str
    body: bytes | None = None

    @property
    def is_query(self) -> bool:
        """Whether the request makes the database work."""
        return self.path.endswith("/run/json")

    @property
    def is_login(self) -> bool:
        """Whether the request asks for a session."""
        return self.path.endswith("/login")


def require_answer(response: requests.Response, exchange: Exchange) -> None:
    """Raise the error of a response that is no answer; the rows of a query are not looked at yet."""
    status = response.status_code
    if 300 <= status < 400:
        raise _redirected(response, exchange)
    if status >= 400:
        raise _failure(response, exchange)
    if exchange.is_query and status in {HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT}:
        raise TransientError(f"Looker responded with {status} and no rows", QueryState.MAY_RUN)


def require_content(body: bytes, exchange: Exchange, status: int) -> None:
    """Raise the error of a response that is empty, a page or no text."""
    if not body.strip():
        raise TransientError(f"Looker responded with {status} and nothing else")
    _require_no_page(body[:EDGE].removeprefix(BOM).lstrip(), exchange, status)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise StatusError(
            f"{exchange.host} does not respond like Looker's API but with bytes that are no text",
            status,
            fix=OTHER_SERVER,
        ) from error


def _require_no_page(start: bytes, exchange: Exchange, status: int = 200) -> None:
    """The media type does not tell: pages come with others, and answers with that of pages."""
    if start.startswith(b"<"):
        raise _html_page(start, exchange, status)


def require_rows(start: bytes, exchange: Exchange) -> None:
    """Raise the error of a response that does not start like a list of rows; `start` is its first piece."""
    text = start.removeprefix(BOM).lstrip()
    _require_no_page(text, exchange)
    if text and not text.startswith(b"["):
        raise query_fault(_message(text) or exchange.secrets.redact(text.decode(errors="replace"))[:200], exchange)


def require_no_fault(edges: Iterable[bytes], exchange: Exchange) -> None:
    """Raise the error of a database, which comes with status 200 as a row with only this key, first or last."""
    for edge in edges:
        if fault := re.search(rb'"looker_error"\s*:\s*("(?:[^"\\]|\\.)*")', edge):
            raise query_fault(json.loads(fault[1], strict=False), exchange)


def query_fault(message: str, exchange: Exchange) -> Exception:
    """What Looker says instead of rows, as a failure that passes or as an error."""
    shown = exchange.secrets.redact(message)
    if PASSES.search(message):
        return TransientError(f"Looker could not run the query: {shown}")
    fix = "correct source in the manifest; if it is about the connection to the database, ask a Looker admin"
    return ServiceFailed(f"Looker could not run the query: {shown}", fix=fix)


# --- failures ---------------------------------------------------------------------------------------------------------


def _failure(response: requests.Response, exchange: Exchange) -> Exception:
    """The error for a status of 400 or more."""
    status, start = response.status_code, _start(response)
    is_page, said = start.startswith(b"<"), _message(start)
    message = exchange.secrets.redact(said or _title(start) or _text(start) or response.reason)
    if is_page and status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED:
        return _html_page(start, exchange, status)
    if status in {408, 425, 429} or status >= 500:
        return TransientError(
            f"Looker responded with {status}: {message}", _state_after(status), response.headers.get("Retry-After", "")
        )
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return StatusError(f"the proxy before {exchange.host} asks for a login: {message}", status, fix=PROXY_LOGIN)
    if is_page:
        return _html_page(start, exchange, status)
    if exchange.is_login and not said:  # Looker's own errors are JSON
        shown = f"{exchange.host} does not respond like Looker's API but with {status}: {message}"
        return StatusError(shown, status, fix=OTHER_SERVER)
    if exchange.is_login:  # Looker responds to a wrong key with 404
        return StatusError(f"Looker at {exchange.host} refused the API key: {message}", status, fix=_login_fix(status))
    if status == HTTPStatus.UNAUTHORIZED:
        fix = "ask a Looker admin whether the user of the API key is disabled, or its sessions are ended"
        shown = f"Looker at {exchange.host} refused the session of the API key, also a new one: {message}"
        return SessionEnded(StatusError(shown, status, fix=fix))
    shown = f"Looker responded with {status} for {exchange.subject}: {message}"
    return StatusError(shown, status, fix=_fix(status, exchange))


def _state_after(status: int) -> QueryState:
    """A gateway that waited in vain (504; a CDN's 520 to 527) says nothing of the query that it passed on."""
    if status == HTTPStatus.GATEWAY_TIMEOUT or 520 <= status <= 527:
        return QueryState.MAY_RUN
    return QueryState.NOT_RUN if status in {408, 425, 429, 503} else QueryState.ENDED


def _login_fix(status: int) -> str:
    if status == HTTPStatus.FORBIDDEN:
        return "ask a Looker admin whether the user of the API key is disabled, or this machine's address not allowed"
    return CREDENTIALS


def _fix(status: int, exchange: Exchange) -> str:
    is_custom = b'"dynamic_fields"' in (exchange.body or b"")
    if status == HTTPStatus.FORBIDDEN:
        first = next((names for path, names in PERMISSIONS if path.search(exchange.path)), ())
        names = [*first, *([CUSTOM] if is_custom else [])]
        if not names:
            return "ask a Looker admin what the user of the API key may do"
        return f"ask a Looker admin for the permission{'s' if len(names) > 1 else ''} {wording.join(names)} there"
    if status == HTTPStatus.NOT_FOUND:
        return "correct source in the manifest; an API key sees only what its Looker user may see"
    custom = f"; or ask a Looker admin for the permission {CUSTOM}" if is_custom else ""
    return f"correct source, or `from` under columns, in the manifest{custom}"


def _redirected(response: requests.Response, exchange: Exchange) -> ServiceFailed:
    """Never followed: the key would go to another server, and a POST would become a GET."""
    target = urlsplit(urljoin(exchange.path, response.headers.get("Location", "")))
    shown = exchange.secrets.redact(f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}")
    is_same = target.path == urlsplit(exchange.path).path
    fix = (
        f"set LOOKERSDK_BASE_URL to {target.scheme}://{target.netloc}" if is_same and target.scheme == "https" else None
    )
    return StatusError(f"{exchange.host} redirects to {shown}", response.status_code, fix=fix or OTHER_SERVER)


def _html_page(start: bytes, exchange: Exchange, status: int) -> StatusError:
    title = exchange.secrets.redact(_title(start))
    page = f"an HTML page{f', «{title}»' if title else ''}"
    shown = f"{exchange.host} does not respond like Looker's API but with {status} and {page}"
    return StatusError(shown, status, fix=OTHER_SERVER)


# --- messages ---------------------------------------------------------------------------------------------------------


def _start(response: requests.Response) -> bytes:
    """The first bytes of a body, without a byte order mark and blanks."""
    start = b""
    for piece in response.iter_content(EDGE):
        start += piece
        if len(start) >= EDGE:
            break
    return start.removeprefix(BOM).lstrip()


def _message(start: bytes) -> str:
    """The message of an error in JSON, with its details, or nothing."""
    try:
        body: Any = json.loads(start)
        details = [f"{fault.get('field')}: {fault.get('message')}" for fault in body.get("errors") or ()]
        message = body.get("message") or body.get("looker_error") or body.get("error")
        return "; ".join([*([str(message)] if message else []), *details])
    except (ValueError, TypeError, AttributeError):
        return ""


def _title(start: bytes) -> str:
    found = re.search(rb"<title[^>]*>(.*?)</title>", start, re.IGNORECASE | re.DOTALL)
    return " ".join(found[1].decode(errors="replace").split())[:200] if found else ""


def _text(start: bytes) -> str:
    return start.decode(errors="replace").strip()
