"""Running Looker queries through Looker's official SDK.

Credentials come from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET, or from a `looker.ini` at the
registry's root that Git ignores. Neither they nor the access token are ever part of a message or a file.
"""

import configparser
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import requests
from cattrs import BaseValidationError
from looker_sdk.error import SDKError
from looker_sdk.rtl import api_settings, auth_session, requests_transport, serialize, transport
from looker_sdk.sdk.api40.methods import Looker40SDK
from looker_sdk.sdk.api40.models import WriteQuery

from registry.core import progress, wording
from registry.core.values import Column, Look, LookerQuery
from registry.errors import InvalidDocument, NotFound, Refused, RegistryError, ServiceFailed, StorageFailed

INI = "looker.ini"
PAUSES = (1, 2, 4, 8)  # seconds before each further try of one request
PATIENCE = 300  # seconds that all pauses of one request may take together
EDGE = 1 << 16  # bytes at either end of a result in which an error row is searched for
COUNT = "registry_images"
MAX_MESSAGE = 2000  # characters of a message from outside

Query = dict[str, Any]  # fields of Looker's WriteQuery, as JSON: the API defines their types

CREDENTIALS = (
    "set LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET to an API key of that Looker "
    f"(Looker: Account, API keys), or write them into {INI} at the registry's root"
)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query: `rows` is a JSON array of objects by field name, `images` Looker's own count of UUIDs.

    `query` is the query that was run, `timezone` that of its times. `sql_hash` is None where the API key may not see
    SQL.
    """

    rows: Path
    images: int
    query: Mapping[str, object]
    timezone: str
    share_url: str | None
    sql_hash: str | None
    release: str | None


def run_query(source: LookerQuery | Look, columns: Sequence[Column], *, root: Path, folder: Path) -> QueryResult:
    """Every row of a manifest's source, left as a file in `folder`, and Looker's own count of the images.

    Looker truncates results without saying so (by default after 5,000 rows, or where the API key may not download
    without limit), so the caller has to compare. The count is a custom measure, the number of distinct values of the
    uuid's field under the same filters: it needs no measure in a view and no permission to run SQL, is one row that no
    limit truncates, and is right where a join repeats rows.
    Raises ServiceFailed; NotFound and Refused for a Look that is not such a table.
    """
    subject = f"Look {source.id}" if isinstance(source, Look) else f"explore {source.view} of model {source.model}"
    with _connect(root / INI, folder, subject) as looker:
        query = _look_query(looker, source, columns) if isinstance(source, Look) else _inline_query(source, columns)
        body = WriteQuery(**query)
        release = looker.sdk.versions(fields="looker_release_version").looker_release_version
        # The SDK requires model and view in the response.
        share_url = looker.sdk.create_query(body, fields="model,view,share_url").share_url
        sql_hash = _sql_hash(looker, body)
        rows = _run(looker, body)
        images = _count_images(looker, query, next(column.source for column in columns if column.name == "uuid"))
    return QueryResult(rows, images, query, str(query["query_timezone"]), share_url, sql_hash, release)


# --- queries ----------------------------------------------------------------------------------------------------------


def _inline_query(source: LookerQuery, columns: Sequence[Column]) -> Query:
    return _without_empty(
        model=source.model,
        view=source.view,
        fields=list(dict.fromkeys(column.source for column in columns)),
        filters=dict(source.filters),
        filter_expression=source.filter_expression,
        sorts=list(source.sorts),
        query_timezone=source.timezone,
    )


def _look_query(looker: "_Connection", source: Look, columns: Sequence[Column]) -> Query:
    """A Look's current query, so that the hashed query is the one that runs; without the Look's limit and totals."""
    look = looker.sdk.look(str(source.id), fields="deleted,query")
    query = look.query
    if look.deleted or query is None:
        raise NotFound(f"Look {source.id} was deleted", fix="restore it in Looker, or name another in source.look")
    if query.pivots:
        raise Refused(
            f"Look {source.id} is pivoted, so its result is not a table of images", fix="remove its pivots in Looker"
        )
    fields = list(query.fields or [])
    if missing := [column.source for column in columns if column.source not in fields]:
        shown = ", ".join(fields)
        fix = "add the field to the Look, or correct `from` under columns in the manifest"
        raise NotFound(f"Look {source.id} has no field {missing[0]}; it has {shown}", fix=fix)
    return _without_empty(
        model=query.model,
        view=query.view,
        fields=fields,
        filters=dict(query.filters or {}),
        filter_expression=query.filter_expression,
        sorts=list(query.sorts or []),
        dynamic_fields=query.dynamic_fields,
        query_timezone=query.query_timezone or "UTC",
    )


def _without_empty(**fields: object) -> Query:
    return {name: value for name, value in fields.items() if value}


def _run(looker: "_Connection", query: WriteQuery) -> Path:
    """Run a query; the transport below writes the rows to a file and returns its name as the response."""
    name = looker.sdk.run_inline_query("json", query, limit=-1, cache=False, apply_formatting=False)
    file = Path(str(name))
    with file.open("rb") as rows:
        ends = [rows.read(EDGE)]
        rows.seek(max(0, file.stat().st_size - EDGE))
        ends.append(rows.read())
    # An error of the database comes with status 200, as a row with only this key.
    for end in ends:
        if fault := re.search(rb'"looker_error"\s*:\s*("(?:[^"\\]|\\.)*")', end):
            message = looker.transport.redact(json.loads(fault[1], strict=False))
            raise ServiceFailed(f"Looker could not run the query: {message}", fix="correct source in the manifest")
    return file


def _count_images(looker: "_Connection", query: Query, field: str) -> int:
    """The number of distinct values of a field, under the filters of a query."""
    measure = {"measure": COUNT, "based_on": field, "type": "count_distinct", "label": "Images", "expression": ""}
    hints = {"_kind_hint": "measure", "_type_hint": "number"}
    # Filters may use the query's other custom fields; its table calculations need columns that this query lacks.
    others = [custom for custom in json.loads(query.get("dynamic_fields", "[]")) if "table_calculation" not in custom]
    counting = {**query, "fields": [COUNT], "sorts": [], "dynamic_fields": json.dumps([*others, measure | hints])}
    rows = json.loads(_run(looker, WriteQuery(**counting)).read_bytes())
    try:
        return int(rows[0][COUNT]) if rows else 0
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceFailed("Looker returned no number of images", fix="try again") from error


def _sql_hash(looker: "_Connection", query: WriteQuery) -> str | None:
    try:
        return sha256(str(looker.sdk.run_inline_query("sql", query, limit=-1)).encode()).hexdigest()
    except _StatusError as error:
        if error.status in {403, 404}:  # the API key lacks the permission see_sql
            return None
        raise


# --- the connection ---------------------------------------------------------------------------------------------------


class _StatusError(ServiceFailed):
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
class _Connection:
    """Looker's SDK, and the transport that it sends requests through."""

    sdk: Looker40SDK
    transport: "_Transport"


@contextmanager
def _connect(ini: Path, folder: Path, subject: str) -> Iterator[_Connection]:
    settings = _settings(ini)
    sender = _Transport(settings, folder, subject)
    session = auth_session.AuthSession(settings, sender, serialize.deserialize40, "4.0")
    sdk = Looker40SDK(session, serialize.deserialize40, serialize.serialize40, sender, "4.0")
    sender.log(f"querying Looker at {sender.host}: {subject}")
    try:
        yield _Connection(sdk, sender)
    except (SDKError, serialize.DeserializeError, BaseValidationError) as error:
        fix = "check LOOKERSDK_BASE_URL: it may lead to another server, or through a proxy that asks for a login"
        raise ServiceFailed(f"{sender.host} does not respond like Looker's API", fix=fix) from error
    finally:
        with suppress(RegistryError, SDKError):
            session.logout(transport_options={"timeout": 5})
        sender.session.close()


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


@dataclass(frozen=True, slots=True)
class _Request:
    """One HTTP request; `timeout` in seconds."""

    method: str
    url: str
    params: Mapping[str, str] | None
    body: bytes | None
    headers: Mapping[str, str]
    timeout: int


class _Transport(requests_transport.RequestsTransport):
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
            return _StatusError(f"Looker at {self.host} refused the API key: {message}", status, fix=CREDENTIALS)
        fix = {
            403: "ask a Looker admin for the permissions access_data, explore and download_without_limit there",
            404: "correct source in the manifest; an API key sees only what its Looker user may see",
        }.get(status, "correct source, or `from` under columns, in the manifest")
        return _StatusError(f"Looker responded with {status} for {self.subject}: {message}", status, fix=fix)

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
