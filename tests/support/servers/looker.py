"""A Looker on loopback that keeps rows, answers queries over them as Looker 26 does, and misbehaves when told to."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLIENT_ID, CLIENT_SECRET, TOKEN = "id-fK3vPq9", "Zx81/Lm+Qw&secret", "token-9aYt5Bc2"
DEFAULT_LIMIT = 5000

Row = dict[str, object]


@dataclass
class Fault:
    """What happens instead, `times` times, to requests whose path ends with `path`."""

    path: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"message": "told to fail", "documentation_url": "https://cloud.google.com/looker/docs/"}'
    cut: int | None = None  # close the connection after so many bytes of the body
    whole: bool = True  # whether a cut body says how long it would have been
    delay: float = 0  # seconds before an answer
    times: int = 1


@dataclass
class Call:
    """A request as it came."""

    method: str
    path: str
    params: dict[str, str]
    body: dict[str, Any]  # JSON
    headers: dict[str, str]


@dataclass
class LookerServer:
    """Its rows are those of explore `images` of model `photos`; `cap` cuts answers short, whatever the limit."""

    rows: list[Row]
    looks: dict[int, Row] = field(default_factory=dict)
    cap: int | None = None
    may_see_sql: bool = True
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    def env(self) -> dict[str, str]:
        """The environment variables of an API key."""
        return {
            "LOOKERSDK_BASE_URL": self.url,
            "LOOKERSDK_CLIENT_ID": CLIENT_ID,
            "LOOKERSDK_CLIENT_SECRET": CLIENT_SECRET,
            "NO_PROXY": "127.0.0.1",
        }

    def paths(self, end: str) -> list[Call]:
        """The requests whose path ends so."""
        return [call for call in self.calls if call.path.endswith(end)]

    # --- answers: (status, JSON or text) ------------------------------------------------------------------------------

    def answer(self, call: Call) -> tuple[int, object]:
        """What Looker says to a request."""
        if not call.path.startswith("/api/"):
            return _NOT_FOUND
        path = call.path.removeprefix("/api")
        if path == "/4.0/login":
            good = (call.body.get("client_id"), call.body.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
            return (200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}) if good else _NOT_FOUND
        if call.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, _error("Requires authentication.")
        match path.removeprefix("/4.0").strip("/").split("/"):
            case ["logout"]:
                return 204, ""
            case ["versions"]:
                return 200, _chosen(call, {"looker_release_version": "26.22.7", "web_server_url": self.url})
            case ["looks", number] if int(number) in self.looks:
                return 200, _chosen(call, self.looks[int(number)])
            case ["queries"]:
                made = {**call.body, "id": "7", "share_url": f"{self.url}/x/AbCdEf"}
                return self.explored(call) or (200, _chosen(call, made))
            case ["queries", "run", "sql"]:
                return self.explored(call) or self.sql(call)
            case ["queries", "run", "json"]:
                return self.explored(call) or self.run(call)
        return _NOT_FOUND

    def explored(self, call: Call) -> tuple[int, object] | None:
        """An error where there is no such explore, or where a field is not in it."""
        if (call.body["model"], call.body["view"]) != ("photos", "images"):
            return _NOT_FOUND
        known = {"registry_images", *(self.rows[0] if self.rows else call.body["fields"])}
        if strange := [name for name in call.body["fields"] if name not in known]:
            fault = {"field": "fields", "code": "invalid", "message": f"unknown field {strange[0]}"}
            return 422, _error("Validation Failed") | {"errors": [fault | {"documentation_url": ""}]}
        return None

    def sql(self, call: Call) -> tuple[int, object]:
        """The SQL that it would run."""
        chosen = f"SELECT {', '.join(call.body['fields'])} FROM images WHERE {call.body.get('filters')}"
        return (200, chosen) if self.may_see_sql else (403, _error("You do not have permission to see SQL."))

    def run(self, call: Call) -> tuple[int, object]:
        """Rows of a query; `count_distinct` over one field when the query has such a custom measure."""
        assert call.body.get("filter_config") is None
        wanted = {name: text.split(",") for name, text in (call.body.get("filters") or {}).items()}
        rows = [row for row in self.rows if all(str(row[name]) in texts for name, texts in wanted.items())]
        for custom in json.loads(call.body.get("dynamic_fields") or "[]"):
            if custom.get("measure") in call.body["fields"]:
                assert custom["type"] == "count_distinct"
                values = {row[custom["based_on"]] for row in rows} - {None}
                return 200, [{custom["measure"]: len(values)}]
        limit = int(call.params.get("limit") or call.body.get("limit") or DEFAULT_LIMIT)
        limits = [number for number in (limit, self.cap) if number is not None and number >= 0]
        rows = rows[: min(limits, default=len(rows))]
        return 200, [{name: row[name] for name in call.body["fields"]} for row in rows]

    @contextmanager
    def serve(self) -> Iterator["LookerServer"]:
        """Listen on a free port of loopback."""
        with _Server(("127.0.0.1", 0), _handler(self)) as server:
            server.daemon_threads = True
            server.block_on_close = False
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: some tests are about clients that close the connection."""


def _chosen(call: Call, whole: Row) -> Row:
    names = call.params["fields"].split(",") if "fields" in call.params else list(whole)
    return {name: whole[name] for name in names if name in whole}


def _error(message: str) -> dict[str, object]:
    return {"message": message, "documentation_url": "https://cloud.google.com/looker/docs/r/err/4.0/404/get/looks"}


_NOT_FOUND = (404, _error("Not found"))


def _text(said: object) -> str:
    if isinstance(said, list):  # rows: one a line
        return f"[{','.join(f'{chr(10)}{json.dumps(row)}' for row in said)}]"
    return said if isinstance(said, str) else json.dumps(said)


def _handler(looker: LookerServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, or every answer waits 40 ms for an acknowledgement

        def _serve(self) -> None:
            url = urlsplit(self.requestline.split()[1])  # self.path has lost a second slash
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            is_form = "form" in (self.headers.get("Content-Type") or "")
            body = {key: values[0] for key, values in parse_qs(text).items()} if is_form else json.loads(text or "{}")
            params = {key: values[0] for key, values in parse_qs(url.query).items()}
            call = Call(self.command, url.path, params, body, dict(self.headers))
            looker.calls.append(call)
            fault = next((fault for fault in looker.faults if fault.times and url.path.endswith(fault.path)), None)
            if fault:
                fault.times -= 1
                Event().wait(fault.delay)
            if fault and fault.status != 200:
                return self._send(fault.status, fault.body, fault.headers)
            status, said = looker.answer(call)
            kind = "text/plain" if isinstance(said, str) else "application/json;charset=utf-8"
            return self._send(status, _text(said).encode(), {"Content-Type": kind}, fault)

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

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler
