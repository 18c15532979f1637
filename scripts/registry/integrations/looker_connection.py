"""A session with Looker's API through Looker's official SDK: from a login to a logout."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from cattrs import BaseValidationError, Converter
from cattrs.cols import is_sequence, list_structure_factory
from looker_sdk.error import SDKError
from looker_sdk.rtl import auth_session, auth_token, serialize, transport
from looker_sdk.sdk.api40.methods import Looker40SDK
from looker_sdk.sdk.api40.models import Query

from registry.errors import RegistryError, ServiceFailed
from registry.integrations.looker_responses import OTHER_SERVER, StatusError
from registry.integrations.looker_settings import read_settings
from registry.integrations.looker_transport import Transport

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
            self.unknown.append(f"{what}: {_reason(error)}")
            return None


def _reason(error: Exception) -> str:
    if not isinstance(error, ServiceFailed):
        return "the response is not as Looker describes it"
    is_forbidden = isinstance(error, StatusError) and error.status == HTTPStatus.FORBIDDEN
    return f"{error.message}; {error.fix}" if is_forbidden else error.message


@contextmanager
def connect(ini: Path, folder: Path, subject: str) -> Iterator[Connection]:
    """A session of the API key; `folder` is where rows go, `subject` names what is queried in messages.

    Raises Refused and InvalidDocument for settings, and ServiceFailed.
    """
    settings = read_settings(ini)
    sender = Transport(settings, folder, subject)
    session = auth_session.AuthSession(settings, sender, _deserialize, "4.0")
    sdk = Looker40SDK(session, _deserialize, serialize.serialize40, sender, "4.0")

    def forget_session() -> None:
        session.token = auth_token.AuthToken()

    sender.forget_session = forget_session
    sender.stop_query = lambda body: _stop_query(sdk, body)
    sender.log(f"querying Looker at {sender.host}: {subject}")
    try:
        with _ending_in_order():
            _log_in(session)  # first, so that a wrong key is told before an optional question meets it
            yield Connection(sdk, sender, [])
    except NOT_LOOKER as error:
        raise ServiceFailed(f"{sender.host} does not respond like Looker's API", fix=OTHER_SERVER) from error
    finally:
        with suppress(RegistryError, SDKError):
            session.logout(transport_options={"timeout": 5})
        sender.session.close()


def _deserialize(data: str, structure: Any) -> Any:
    """What the SDK's deserialize40 returns and raises, without its work for each response.

    It registers the hook of `_converter` each time, so cattrs writes and compiles the code of each model again, and
    asks one predicate more for each response before.
    """
    try:
        return _converter().structure(json.loads(data), structure)
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise serialize.DeserializeError(str(error)) from error


@cache
def _converter() -> Converter:
    serialize.converter40.register_structure_hook_factory(is_sequence, list_structure_factory)
    return serialize.converter40


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """A signal that ends the process, such as that of a job that is cancelled, lets it stop its query first."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, leave)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _log_in(session: auth_session.AuthSession) -> None:
    session.authenticate({})
    if not (session.token.access_token and session.token.expires_in):
        raise SDKError("the response to the login has no access token")


def _stop_query(sdk: Looker40SDK, body: bytes) -> bool:
    """Stop the query that a request began; whether it was running and is stopped.

    Another run of the same API key may ask the same: of two nothing is stopped. That the list is empty proves nothing,
    since a key may see no running query at all.
    """
    quick = transport.TransportOptions(timeout=10)
    try:
        user = sdk.me(fields="id", transport_options=quick).id
        running = [
            one.query_task_id
            for one in sdk.all_running_queries(transport_options=quick)
            if one.query_task_id and one.user and one.user.id == user and _asks(one.query, body)
        ]
        if len(running) != 1:
            return False
        sdk.kill_query(running[0], transport_options=quick)
    except (ServiceFailed, *NOT_LOOKER):
        return False
    return True


def _asks(query: Query | None, body: bytes) -> bool:
    asked = json.loads(body or b"{}")
    return query is not None and all(
        (getattr(query, name) or None) == (asked.get(name) or None) for name in ("model", "view", "fields", "filters")
    )
