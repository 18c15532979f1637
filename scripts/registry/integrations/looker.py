"""Questions to Looker through its official SDK; nobody else speaks it.

Credentials come from LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET, or from a `looker.ini` at the
registry's root that Git ignores. They and the token that they buy are in no message and no file of ours.
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
from urllib.parse import quote_plus, urlsplit

import requests
from cattrs import BaseValidationError
from looker_sdk.error import SDKError
from looker_sdk.rtl import api_settings, auth_session, requests_transport, serialize, transport
from looker_sdk.sdk.api40.methods import Looker40SDK
from looker_sdk.sdk.api40.models import WriteQuery
from tqdm import tqdm

from registry.core.values import Column, Look, LookerQuery
from registry.errors import InvalidDocument, NotFound, Refused, RegistryError, ServiceFailed, StorageFailed

INI = "looker.ini"
PAUSES = (1, 2, 4, 8)  # seconds before each further try of one request
PATIENCE = 300  # seconds that all pauses of one request may take together
EDGE = 1 << 16  # bytes at either end of an answer in which an error row is looked for
COUNT = "registry_images"

CREDENTIALS = (
    "set LOOKERSDK_BASE_URL, LOOKERSDK_CLIENT_ID and LOOKERSDK_CLIENT_SECRET to an API key of that Looker "
    f"(Looker: Account, API keys), or write them into {INI} at the registry's root"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Looker answered: `rows` is a JSON array of objects by field name, `images` how many UUIDs it counts itself.

    `query` is what it was asked, `timezone` that of its times. `sql_hash` is None where the API key may not see SQL.
    """

    rows: Path
    images: int
    query: Mapping[str, object]
    timezone: str
    share_url: str | None
    sql_hash: str | None
    release: str | None


def ask(source: LookerQuery | Look, columns: Sequence[Column], *, root: Path, folder: Path) -> Answer:
    """Every row of a manifest's source, left as a file in `folder`, and Looker's own count of the images.

    Looker cuts answers short without a word (by default after 5,000 rows, or where the API key may not download without
    limit), so the caller has to compare. The count is a custom measure, the number of distinct values of the uuid's
    field under the same filters: it needs no measure in anybody's view, no right to run SQL, is one row that no limit
    cuts, and is not misled by a join that repeats rows.
    Raises ServiceFailed; NotFound and Refused for a Look that is not such a table.
    """
    subject = f"Look {source.id}" if isinstance(source, Look) else f"explore {source.view} of model {source.model}"
    with _client(root / INI, folder, subject) as sdk:
        asked = _saved(sdk, source, columns) if isinstance(source, Look) else _inline(source, columns)
        query = WriteQuery(**asked)
        release = sdk.versions(fields="looker_release_version").looker_release_version
        share_url = sdk.create_query(query, fields="model,view,share_url").share_url  # the SDK wants the first two
        sql_hash = _sql_hash(sdk, query)
        rows = _run(sdk, query)
        images = _count(sdk, asked, next(column.source for column in columns if column.name == "uuid"))
    return Answer(rows, images, asked, str(asked["query_timezone"]), share_url, sql_hash, release)


# --- queries ----------------------------------------------------------------------------------------------------------


def _inline(source: LookerQuery, columns: Sequence[Column]) -> dict[str, object]:
    return _given(
        model=source.model,
        view=source.view,
        fields=list(dict.fromkeys(column.source for column in columns)),
        filters=dict(source.filters),
        filter_expression=source.filter_expression,
        sorts=list(source.sorts),
        query_timezone=source.timezone,
    )


def _saved(sdk: Looker40SDK, source: Look, columns: Sequence[Column]) -> dict[str, object]:
    """A Look's query as it is now, so that what is hashed is what is run; its own limit and totals are left behind."""
    look = sdk.look(str(source.id), fields="deleted,query")
    query = look.query
    if look.deleted or query is None:
        raise NotFound(f"Look {source.id} was deleted", fix="restore it in Looker, or name another in source.look")
    if query.pivots:
        raise Refused(f"Look {source.id} is pivoted: it is no table of images", fix="remove its pivots in Looker")
    fields = list(query.fields or [])
    if missing := [column.source for column in columns if column.source not in fields]:
        shown = ", ".join(fields)
        fix = "add the field to the Look, or correct `from` under columns in the manifest"
        raise NotFound(f"Look {source.id} has no field {missing[0]}; it has {shown}", fix=fix)
    return _given(
        model=query.model,
        view=query.view,
        fields=fields,
        filters=dict(query.filters or {}),
        filter_expression=query.filter_expression,
        sorts=list(query.sorts or []),
        dynamic_fields=query.dynamic_fields,
        query_timezone=query.query_timezone or "UTC",
    )


def _given(**parts: object) -> dict[str, object]:
    return {name: part for name, part in parts.items() if part}


def _run(sdk: Looker40SDK, query: WriteQuery) -> Path:
    """Run a query; the transport below leaves the rows in a file and hands back its name."""
    file = Path(sdk.run_inline_query("json", query, limit=-1, cache=False, apply_formatting=False))
    with file.open("rb") as answer:
        ends = [answer.read(EDGE)]
        answer.seek(max(0, file.stat().st_size - EDGE))
        ends.append(answer.read())
    # What the database refuses comes with status 200, as a row of this one key.
    for end in ends:
        if fault := re.search(rb'"looker_error"\s*:\s*("(?:[^"\\]|\\.)*")', end):
            said = sdk.transport.clean(json.loads(fault[1], strict=False))
            raise ServiceFailed(f"Looker could not run the query: {said}", fix="correct source in the manifest")
    return file


def _count(sdk: Looker40SDK, asked: Mapping[str, object], field: str) -> int:
    measure = {"measure": COUNT, "based_on": field, "type": "count_distinct", "label": "Images", "expression": ""}
    hints = {"_kind_hint": "measure", "_type_hint": "number"}
    # Filters may use the query's other custom fields; its table calculations need columns that are not asked for here.
    custom = [one for one in json.loads(str(asked.get("dynamic_fields", "[]"))) if "table_calculation" not in one]
    dynamic = json.dumps([*custom, measure | hints])
    counting = {**asked, "fields": [COUNT], "sorts": [], "dynamic_fields": dynamic}
    rows = json.loads(_run(sdk, WriteQuery(**counting)).read_bytes())
    try:
        return int(rows[0][COUNT]) if rows else 0
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceFailed("Looker did not answer how many images there are", fix="try again") from error


def _sql_hash(sdk: Looker40SDK, query: WriteQuery) -> str | None:
    try:
        return sha256(sdk.run_inline_query("sql", query, limit=-1).encode()).hexdigest()
    except _Answered as error:
        if error.status in {403, 404}:  # the API key lacks the permission see_sql
            return None
        raise


# --- the connection ---------------------------------------------------------------------------------------------------


class _Answered(ServiceFailed):
    """Looker answered with a status that another try will not change."""

    def __init__(self, message: str, status: int, *, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class _Passing(Exception):
    """A fault that may pass; Looker may have said after how many seconds."""

    def __init__(self, message: str, after: float = 0) -> None:
        super().__init__(message)
        self.after = after


@contextmanager
def _client(ini: Path, folder: Path, subject: str) -> Iterator[Looker40SDK]:
    settings = _settings(ini)
    carrier = _Transport(settings, folder, subject)
    session = auth_session.AuthSession(settings, carrier, serialize.deserialize40, "4.0")
    sdk = Looker40SDK(session, serialize.deserialize40, serialize.serialize40, carrier, "4.0")
    carrier.say(f"asking Looker at {carrier.host} for {subject}")
    try:
        yield sdk
    except (SDKError, serialize.DeserializeError, BaseValidationError) as error:
        fix = "check LOOKERSDK_BASE_URL: it may lead to another server, or through a proxy that asks for a login"
        raise ServiceFailed(f"{carrier.host} does not answer as Looker's API does", fix=fix) from error
    finally:
        with suppress(RegistryError, SDKError):
            session.logout(transport_options={"timeout": 5})
        carrier.session.close()


def _settings(ini: Path) -> api_settings.ApiSettings:
    try:
        # Without a file the SDK would look into the current folder, which may be anywhere.
        name = str(ini) if ini.is_file() else ""
        settings = api_settings.ApiSettings(filename=name, sdk_version="registry", env_prefix="LOOKERSDK")
        config = settings.read_config()
    except (configparser.Error, ValueError, TypeError, IndexError, OSError):
        # The cause is not told: configparser quotes the line at fault, which may hold the secret.
        message = "cannot be read, or LOOKERSDK_TIMEOUT or LOOKERSDK_VERIFY_SSL is not what it should be"
        raise InvalidDocument(INI, message, fix=CREDENTIALS) from None
    missing = [name for name in ("base_url", "client_id", "client_secret") if not config.get(name)]
    if missing:
        names = ", ".join(f"LOOKERSDK_{name.upper()}" for name in missing)
        raise Refused(f"Looker cannot be asked without {names}", fix=CREDENTIALS)
    if urlsplit(settings.base_url).scheme not in {"http", "https"}:
        raise Refused("LOOKERSDK_BASE_URL is no address", fix="write it as https://acme.cloud.looker.com")
    settings.base_url = settings.base_url.rstrip("/")
    return settings


class _Transport(requests_transport.RequestsTransport):
    """The SDK's transport, made patient (it tries again), frugal (rows go to a file) and discreet (it tells no secret).

    The SDK's own reads whole answers, drops their status, and looks error messages up on a public server.
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
        """Send one request, again after faults that may pass. Raises ServiceFailed for all others."""
        headers = {**(authenticator({}) if authenticator else {}), **(transport_options or {}).get("headers", {})}
        self._secrets.add(headers.get("Authorization", "").removeprefix("Bearer "))
        sent = {"params": query_params, "data": body, "headers": headers, "auth": requests_transport.NullAuth()}
        sent["timeout"] = (transport_options or {}).get("timeout") or self.settings.timeout
        patience = PATIENCE
        for pause in () if method is transport.HttpMethod.DELETE else PAUSES:
            try:
                return self._send(method.name, path, sent)
            except _Passing as fault:
                wait = max(pause, fault.after)
                if wait > patience:
                    raise self._gave_up(f"{fault}; it asks to wait {wait:,.0f} seconds") from fault
                self.say(f"{fault}; trying again in {wait:,.0f} s")
                patience -= wait
                time.sleep(wait)
        try:
            return self._send(method.name, path, sent)
        except _Passing as fault:
            raise self._gave_up(str(fault)) from fault

    def _send(self, method: str, path: str, sent: Mapping[str, object]) -> transport.Response:
        try:
            with self.session.request(method, path, stream=True, **sent) as response:
                if not response.ok:
                    raise self._refusal(response, path)
                value = self._spool(response) if path.endswith("/run/json") else response.content
                return transport.Response(True, value, transport.ResponseMode.STRING)
        except requests.Timeout as error:
            fix = "set LOOKERSDK_TIMEOUT to more seconds, or narrow the query"
            raise ServiceFailed(f"Looker did not answer within {sent['timeout']} seconds", fix=fix) from error
        except requests.RequestException as error:
            raise _Passing(f"the connection to {self.host} broke: {self.clean(_cause(error))}") from error
        except OSError as error:
            fix = "free space, or set TMPDIR to a folder with more"
            raise StorageFailed(f"the rows cannot be written: {error.strerror}", fix=fix) from error

    def _spool(self, response: requests.Response) -> bytes:
        file = self.folder / f"answer-{len(list(self.folder.iterdir()))}.json"
        bar = tqdm(desc="rows from Looker", unit="B", unit_scale=True, delay=2, disable=None, leave=False)
        last = b""
        with file.open("wb") as rows, bar:
            for chunk in response.iter_content(1 << 20):
                rows.write(chunk)
                bar.update(len(chunk))
                last = (last + chunk)[-64:]
        if not last.rstrip().endswith(b"]"):  # a body without a length can end anywhere
            raise _Passing("Looker's answer broke off")
        return str(file).encode()

    def _refusal(self, response: requests.Response, path: str) -> Exception:
        """What to raise for a status of 400 or more."""
        status, said = response.status_code, self._message(response)
        if status == 429 or status >= 500:
            return _Passing(f"Looker answered {status}: {said}", _seconds(response.headers.get("Retry-After", "")))
        if path.endswith("/login") or status == 401:  # Looker answers a wrong key with 404
            return _Answered(f"Looker at {self.host} does not accept the API key: {said}", status, fix=CREDENTIALS)
        fix = {
            403: "ask a Looker admin for the permissions access_data, explore and download_without_limit there",
            404: "correct source in the manifest; an API key finds only what its Looker user may see",
        }.get(status, "correct source, or `from` under columns, in the manifest")
        return _Answered(f"Looker answered {status} for {self.subject}: {said}", status, fix=fix)

    def _message(self, response: requests.Response) -> str:
        try:
            body = response.json()
            details = [f"{fault.get('field')}: {fault.get('message')}" for fault in body.get("errors") or ()]
            return self.clean("; ".join([body["message"], *details]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return self.clean(response.text or response.reason)[:200]  # cut last, or half a secret would be left

    def _gave_up(self, fault: str) -> ServiceFailed:
        return ServiceFailed(
            f"{fault} ({self.subject})", fix="try again later, or check the network and LOOKERSDK_BASE_URL"
        )

    def clean(self, text: str) -> str:
        """A text from outside without our secrets and without what could steer a terminal."""
        for secret in filter(None, self._secrets):
            for form in (secret, quote_plus(secret)):  # as it is, and as the login's form sends it
                text = text.replace(form, "***")
        return "".join(sign if sign.isprintable() else " " for sign in text)[:2000]

    @staticmethod
    def say(text: str) -> None:
        """A line of progress."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress is shown


def _cause(error: BaseException) -> str:
    """The first of a chain of errors: the others wrap it in their own words."""
    while error.__context__:
        error = error.__context__
    return str(error)


def _seconds(retry_after: str) -> float:
    """`Retry-After` is a number of seconds or a date (RFC 9110, 10.2.3); anything else asks for nothing."""
    if retry_after.isdigit():
        return float(retry_after)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return 0.0
