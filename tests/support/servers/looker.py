"""A Looker on loopback: explores over SQLite, judged by Looker's published API, which misbehaves when told to.

Every request and every answer is compared with the operations and types of Looker's SDK. What they do not allow is
refused with 400, kept in `violations`, and fails the test when the server ends. How to set up joins, users and zones is
shown in `support.servers.looker_explores`.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.servers import looker_types
from support.servers.looker_api import TOKEN, Answer, Api, error
from support.servers.looker_explores import Explore, Row, User, View
from support.servers.looker_filters import Unsupported
from support.servers.looker_types import Call

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "TOKEN", "Fault", "LookerServer"]

CLIENT_ID, CLIENT_SECRET = User("1", "").client_id, User("1", "").client_secret
TOLD_TO_FAIL = b'{"message": "told to fail", "documentation_url": "https://cloud.google.com/looker/docs/"}'


@dataclass
class Fault:
    """What happens instead, `times` times, to requests whose path ends with `path`."""

    path: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # what is said instead; by default a message for a status, the true answer for 200
    cut: int | None = None  # close the connection after so many bytes of the body
    whole: bool = True  # whether a cut body says how long it would have been
    delay: float = 0  # seconds before an answer, in which a query runs and can be killed
    drop: bool = False  # close the connection without a response
    ends_session: bool = False  # all tokens end before the request is looked at
    times: int = 1


class LookerServer(Api):
    """A Looker with explore `images` of model `photos` over `rows`, or with the given explores."""

    def __init__(self, rows: Sequence[Row] | None = None, **state: Any) -> None:
        explores = state.pop("explores", None) or [Explore("photos", "images", View("images", []))]
        super().__init__(explores=[*explores], **state)
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.violations: list[str] = []
        if rows is not None:
            self.rows = rows

    @property
    def rows(self) -> Sequence[Row]:
        """The rows of the first explore's base view."""
        return self.explores[0].base.rows

    @rows.setter
    def rows(self, rows: Sequence[Row]) -> None:
        view = self.explores[0].base
        if not rows:  # the fields of an empty table are known
            view.fields = (*view.all_fields().values(),)
            self.explores[0].is_open = not view.fields
        view.rows = rows

    def env(self, user: User | None = None) -> dict[str, str]:
        """The environment variables of a user's API key, by default the first's."""
        user = user or self.users[0]
        return {
            "LOOKERSDK_BASE_URL": self.url,
            "LOOKERSDK_CLIENT_ID": user.client_id,
            "LOOKERSDK_CLIENT_SECRET": user.client_secret,
            "NO_PROXY": "127.0.0.1",
        }

    def paths(self, end: str) -> list[Call]:
        """The requests whose path ends so."""
        return [call for call in self.calls if call.path.endswith(end)]

    def judged(self, call: Call, text: str) -> Answer:
        """The answer to a request; 400 where Looker's description does not allow it."""
        # The SDK itself logs out without a version.
        path = call.path.removeprefix("/api").replace("/logout", "/4.0/logout", call.path == "/api/logout")
        found = looker_types.find(call.method, path.removeprefix("/4.0")) if path.startswith("/4.0/") else None
        if found is None:
            return Answer(404, "<html><title>404 Not Found</title></html>", "text/html;charset=utf-8")
        operation, call.values = found
        call.operation = operation.name
        faults = list(looker_types.judge_request(operation, call, text))
        if names := call.params.get("fields"):
            faults += looker_types.unknown_names(names, operation.answer, operation.name)
        try:
            answer = error(400, faults[0]) if faults else self.answer(call)
        except (sqlite3.Error, KeyError, TypeError, AttributeError) as fault:  # of this stand-in, or of its test
            faults, answer = [f"{operation.name}: {fault!r}"], error(500, "An error has occurred.")
        except Unsupported as unsupported:
            faults, answer = [f"the Looker of the tests does not know a {unsupported}"], error(400, str(unsupported))
        if answer.status == 200:
            faults += looker_types.judge_answer(operation, answer.said)
        self.violations += faults
        return answer

    @contextmanager
    def serve(self) -> Iterator["LookerServer"]:
        """Listen on a free port of loopback. Raises AssertionError at the end for what the description forbids."""
        with _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"looker": self})) as server:
            server.daemon_threads = True
            server.block_on_close = False
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()
        assert not self.violations, "Looker's API does not allow this:\n" + "\n".join(self.violations)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: some tests are about clients that close the connection."""


def _parse(text: str, content_type: str) -> dict[str, Any]:
    if "form" in content_type:
        return {key: values[0] for key, values in parse_qs(text).items()}
    with suppress(ValueError):
        return json.loads(text)  # type: ignore[no-any-return] # what is not an object is told by the judge
    return {}


class _Handler(BaseHTTPRequestHandler):
    looker: LookerServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or every answer waits 40 ms for an acknowledgement

    def _serve(self) -> None:
        url = urlsplit(self.requestline.split()[1])  # self.path has lost a second slash
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        params = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = _parse(text, self.headers.get("Content-Type") or "")
        call = Call(self.command, url.path, params, body, dict(self.headers))
        self.looker.calls.append(call)
        fault = next((fault for fault in self.looker.faults if fault.times and url.path.endswith(fault.path)), None)
        if fault:
            fault.times -= 1
            if fault.ends_session:
                self.looker.end_sessions()
            self._wait(fault, call)
        if fault and fault.drop:
            self.close_connection = True
            return None
        if fault and (fault.status != 200 or fault.body is not None):
            said = TOLD_TO_FAIL if fault.body is None else fault.body
            return self._send(fault.status, said, fault.headers, fault)
        answer = self.looker.judged(call, text)
        said = (answer.said if isinstance(answer.said, str) else json.dumps(answer.said)).encode()
        return self._send(answer.status, said, {"Content-Type": answer.media_type}, fault)

    def _wait(self, fault: Fault, call: Call) -> None:
        """A query that takes its time can be seen among the running ones, and goes on when its client has gone."""
        user = self.looker.sessions.get(call.headers.get("Authorization", "").removeprefix("Bearer "))
        is_query = user is not None and call.path.endswith("/run/json")
        if not fault.delay or not is_query or user is None:
            Event().wait(fault.delay)
            return
        self.looker.start(call.body, user).stop.wait(fault.delay)

    def _send(self, status: int, data: bytes, headers: Mapping[str, str], fault: Fault | None = None) -> None:
        cut = fault.cut if fault else None
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if fault is None or cut is None or fault.whole:
            self.send_header("Content-Length", str(len(data)))
        if cut is not None:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[:cut])

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _serve  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Silent."""
