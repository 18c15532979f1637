"""A GitHub on loopback, over HTTPS, that keeps what it is sent (`hub.GitHub`).

It speaks REST as an Enterprise Server does, since that is how `gh` (2.102) can be led here: `gh` wants HTTPS on any
host but github.com, looks for the API below `/api/v3/`, takes `GH_ENTERPRISE_TOKEN` (never `GH_TOKEN`), trusts
`SSL_CERT_FILE`; `gh api` takes its host from `GH_HOST` alone, other commands from `GH_REPO` (`HOST/OWNER/NAME`) too.

Each request and each answer is judged by GitHub's own description (tests/openapi); leaving `serve` fails on what was
found. `gh pr comment` asks in GraphQL, which is answered but not judged.
"""

import json
import re
import ssl
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from support.openapi import description
from support.servers.github_answers import Call, Fault, Row, error, found, not_found
from support.servers.github_state import ACTIONS, TOKEN, GitHub, say
from support.servers.http_wire import Head, read_body
from support.servers.token_issuer import make_certificate

__all__ = ["TOKEN", "Fault", "GitHub", "serve"]

ROOTS = re.compile("^/api/(v3|uploads)(?=/)")

# --- GraphQL: what `gh pr comment` asks -------------------------------------------------------------------------------


def graphql(github: GitHub, asked: Row) -> Row:
    """The answer to who asks, or to one of the three questions of `gh pr comment` (2.102)."""
    given = asked.get("variables", {})
    if "viewer { login }" in asked["query"]:
        return {"data": {"viewer": {"login": github.viewer}}}
    if "addComment" in asked["query"]:
        row = say(github, int(given["input"]["subjectId"].removeprefix("PR_")), given["input"]["body"])
        return {"data": {"addComment": {"commentEdge": {"node": {"url": row["html_url"]}}}}}
    if "updateIssueComment" in asked["query"]:
        _, row = found(github.comments, "id", given["input"]["id"].removeprefix("C_"))
        row["body"] = given["input"]["body"]
        return {"data": {"updateIssueComment": {"issueComment": {"url": row["html_url"]}}}}
    if "query PullRequestByNumber" not in asked["query"]:
        github.violations.append(f"no response is defined for {asked['query']}")
    status, pull = found(github.pulls, "number", given.get("pr_number"))
    if status != 200:
        return {"data": None, "errors": [{"type": "NOT_FOUND", "message": "Could not resolve to a PullRequest."}]}
    nodes = [
        {"id": f"C_{row['id']}", "author": {"login": row["user"]["login"]}, "body": row["body"], "url": row["html_url"],
         "viewerDidAuthor": row["user"] == ACTIONS, "createdAt": description.SAMPLES["date-time"]}
        for row in github.comments if row["issue"] == pull["number"]
    ]  # fmt: skip
    comments = {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}, "totalCount": len(nodes)}
    known = {"id": f"PR_{pull['number']}", "number": pull["number"], "url": pull["html_url"], "comments": comments}
    return {"data": {"repository": {"pullRequest": known}}}


# --- HTTP -------------------------------------------------------------------------------------------------------------


@contextmanager
def serve(github: GitHub) -> Iterator[GitHub]:
    """Listen on a free port of loopback, over TLS; at the end, what was not as GitHub describes it is an error."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_certificate(Path(folder))
        with _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"github": github})) as server:
            server.github = github
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(made.path, made.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            github.host, github.certificate = f"127.0.0.1:{server.server_address[1]}", made.path
            Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            try:
                yield github
            finally:
                server.shutdown()
    assert github.violations == []


class _Server(ThreadingHTTPServer):
    github: GitHub

    def handle_error(self, request: object, client_address: object) -> None:
        """An error of our own is a violation too."""
        self.github.violations.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    github: GitHub
    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = b"".join(payload for _, payload in read_body(self.rfile, Head("", headers, b"")))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in {"token", "bearer"} or token != TOKEN:
            self._send(401, error("Bad credentials" if token else "Requires authentication", 401))
        elif self.path == "/api/graphql":
            with self.github._lock:
                fault = self.github.fault(self.command, self.path)
                answer = error(fault.message, fault.status) if fault else graphql(self.github, json.loads(body))
            self._send(fault.status if fault else 200, answer, fault.headers if fault else None)
        else:
            self._rest(body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do  # noqa: N815 - what http.server asks for

    def _rest(self, body: bytes) -> None:
        parts = urlsplit(ROOTS.sub("", self.path))
        query = dict(parse_qsl(parts.query))
        if not (routed := _route(self.command, parts.path)):
            self.github.violations.append(f"no response is defined for {self.command} {parts.path}")
            self._send(*not_found())
            return
        template, values = routed
        call = Call(self.command, template, values, query, self._read(body))
        with self.github._lock:
            self.github.calls.append(call)
            fault = self.github.fault(self.command, parts.path)
            if not fault or fault.executed:
                status, answer = self.github.answer(call)
                data = _encoded(call, status, answer)
                self._judge(call, body, status, data)
        if fault:
            self._send(fault.status, error(fault.message, fault.status), fault.headers)
        else:
            self._send(status, data, self._link(call, query, answer))

    def _read(self, body: bytes) -> Any:
        """The JSON of a request; the bytes of a file."""
        is_json = self.headers.get("Content-Type", "").startswith(description.JSON)
        return json.loads(body) if body and is_json else body or None

    def _judge(self, call: Call, body: bytes, status: int, data: bytes) -> None:
        path = call.template.format(**{name: quote(value, safe="") for name, value in call.values.items()})
        exchange = description.Exchange(call.method.lower(), call.template, path, call.query, body, status, data)
        if isinstance(call.body, bytes):
            exchange = replace(exchange, host="https://uploads.github.com", content=description.BYTES)
        self.github.violations += description.faults(exchange)

    def _link(self, call: Call, query: Mapping[str, str], answer: Any) -> dict[str, str]:
        """The header that leads to the next page, after a full one."""
        listed = answer.values() if isinstance(answer, dict) else [answer]
        rows = next((value for value in listed if isinstance(value, list)), [])
        if call.method != "GET" or not rows or len(rows) < int(query.get("per_page", 30)):
            return {}
        more = "&".join(f"{name}={quote(value)}" for name, value in query.items() if name != "page")
        path = urlsplit(self.path).path
        page = int(query.get("page", 1)) + 1
        return {"Link": f'<https://{self.github.host}{path}?{more}{"&" * bool(more)}page={page}>; rel="next"'}

    def _send(self, status: int, answer: Any, headers: Mapping[str, str] | None = None) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


def _encoded(call: Call, status: int, answer: Any) -> bytes:
    if status == 204:
        return b""
    known = description.complete(call.method.lower(), call.template, status, answer) if status < 400 else answer
    return json.dumps(known).encode()


def _route(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The template of the description that a path fits, fixed words before names, and the (decoded) values in it."""
    fitting = [
        (template, found.groupdict())
        for template, operations in description.load()["paths"].items()
        if method.lower() in operations and (found := re.fullmatch(_pattern(template), path))
    ]
    if not fitting:
        return None
    template, values = min(fitting, key=lambda one: one[0].count("{"))
    return template, {name: unquote(value) for name, value in values.items()}


def _pattern(template: str) -> str:
    # A ref or a tag may hold slashes, encoded or not.
    return re.sub(
        r"\\{(\w+)\\}",
        lambda name: f"(?P<{name[1]}>{'.+' if name[1] in {'ref', 'tag'} else '[^/]+'})",
        re.escape(template),
    )
