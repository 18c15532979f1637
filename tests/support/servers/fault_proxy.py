"""A proxy on loopback in front of an S3 server: it breaks what it is told to break and counts what passes.

Requests pass byte for byte with the Host header that the client wrote. Signature V4 signs that header, and a server
checks the signature against the header that it gets, so both agree although the server listens elsewhere.
"""

import socket
import socketserver
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader
from threading import Event, RLock, Thread
from typing import Self
from urllib.parse import urlsplit

from support.servers.http_wire import Cut, Head, Request, parse_request, read_body, read_head, with_length
from support.servers.resigning import Ignore

# --- what goes wrong --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy answers in S3's words; the server never hears of the request."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Page:
    """What answers is no S3 server: this status, these headers, this body."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset: before the server heard of it, or (`served`) when it has done what was asked."""

    served: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds pass before the request is passed on: 20 ms are a distant bucket, a minute is a stall."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Truncate:
    """Half of the answer's body comes, then the connection closes."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """One bit in the middle of the answer's body is another."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The first answer is given again to all who ask the same: a listing from before the last writes."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The answer's head and body are others, as long as before: what `change` makes of the bytes of each."""

    change: Callable[[bytes], bytes]


Deed = Answer | Page | Reset | Wait | Truncate | Corrupt | Stale | Rewrite | Ignore

INTERNAL_ERROR = Answer(500, "InternalError", "We encountered an internal error. Please try again.")
SLOW_DOWN = Answer(503, "SlowDown", "Please reduce your request rate.")
EXPIRED_TOKEN = Answer(400, "ExpiredToken", "The provided token has expired.")  # 400 in S3's list of error codes
# CopyObject has sent its 200 before it knows whether the copy will succeed.
COPY_FAILED = Answer(200, "InternalError", "We encountered an internal error. Please try again.")


def always(_: Request) -> bool:
    """Every request."""
    return True


def only(*kinds: str, key: str = "") -> Callable[[Request], bool]:
    """Requests of these kinds (of any, when none is named) whose key contains `key`."""
    return lambda request: (not kinds or request.kind in kinds) and key in request.key


@dataclass(slots=True)
class Fault:
    """`deed` befalls requests that match `when`: those after the first `after`, and `times` of them (None: all)."""

    deed: Deed
    when: Callable[[Request], bool] = always
    times: int | None = 1
    after: int = 0

    def hits(self, request: Request) -> bool:
        """Whether this request is hit; counts it."""
        if self.times == 0 or not self.when(request):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


# --- the proxy --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Exchange:
    """A request that came; `sent` and `received` are bytes of bodies so far, `status` is 0 while there is no answer."""

    kind: str
    bucket: str
    key: str
    status: int = 0
    sent: int = 0
    received: int = 0


class FaultProxy:
    """`with FaultProxy(server.url) as proxy:` and clients go to `proxy.url`; nothing is wrong until `add`.

    The first fault that hits a request is the one that befalls it. Safe to use from many threads; leaving closes every
    connection and ends every thread.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.url = ""
        self.closing = Event()
        self._lock = RLock()  # what a fault waits for may ask what came so far
        self._faults: list[Fault] = []
        self._exchanges: list[Exchange] = []
        self._answers: dict[str, tuple[int, bytes, bytes]] = {}
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def add(self, *faults: Fault) -> None:
        """From now on these too go wrong."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Nothing goes wrong any more, and nothing was counted."""
        with self._lock:
            self._faults, self._exchanges, self._answers = [], [], {}

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every request so far, in the order in which they came."""
        with self._lock:
            return tuple(self._exchanges)

    def counts(self) -> Counter[str]:
        """How many requests of each kind came, those that went wrong too."""
        return Counter(one.kind for one in self.exchanges)

    def moved(self, *kinds: str) -> tuple[int, int]:
        """Bytes of bodies that went (up, down) in requests of these kinds, or of all."""
        chosen = [one for one in self.exchanges if not kinds or one.kind in kinds]
        return sum(one.sent for one in chosen), sum(one.received for one in chosen)

    # --- for its connections ------------------------------------------------------------------------------------------

    def judge(self, head: Head) -> tuple[Request, Exchange, Deed | None]:
        """What a request is, where to count it, and what befalls it."""
        with self._lock:
            request = parse_request(len(self._exchanges) + 1, head)
            exchange = Exchange(request.kind, request.bucket, request.key)
            self._exchanges.append(exchange)
            return request, exchange, next((fault.deed for fault in self._faults if fault.hits(request)), None)

    def recall(self, request: Request) -> tuple[int, bytes, bytes] | None:
        """The answer (status, head, body) that was kept for requests like this one."""
        with self._lock:
            return self._answers.get(f"{request.method} {request.target}")

    def keep(self, request: Request, answer: tuple[int, bytes, bytes]) -> None:
        """Keep an answer for those who ask the same."""
        with self._lock:
            self._answers.setdefault(f"{request.method} {request.target}", answer)

    def track(self, sock: socket.socket, *, is_open: bool) -> None:
        """Connections that must not outlive the proxy."""
        with self._lock:
            (self._open.add if is_open else self._open.discard)(sock)
            if is_open and self.closing.is_set():
                sock.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that server_close waits for them
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Connection)


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection, and the one to the server that belongs to it."""

    server: _Server
    request: socket.socket

    def setup(self) -> None:
        self.proxy = self.server.proxy
        self.client = self._track(self.request)
        self.upstream: socket.socket | None = None
        self.is_last = False  # one side announced that this exchange is the last on its connection

    def handle(self) -> None:
        with suppress(Cut, OSError):
            while not self.is_last and (head := read_head(self.client)):
                self.is_last = head.says("connection", "close")
                request, self.exchange, deed = self.proxy.judge(head)
                self._do(deed, request, head)

    def finish(self) -> None:
        for sock in filter(None, (self.request, self.upstream)):
            self.proxy.track(sock, is_open=False)
            sock.close()
        self.client.close()  # only when its last file is closed is a socket closed
        if self.upstream:
            self.answers.close()

    def _track(self, sock: socket.socket) -> BufferedReader:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.proxy.track(sock, is_open=True)
        return sock.makefile("rb")

    def _do(self, deed: Deed | None, request: Request, head: Head) -> None:
        match deed:
            case Answer() | Page():
                self._take(head)
                status, answer, body = _in_words(deed) if isinstance(deed, Answer) else _as_written(deed)
                self._say(status, answer, b"" if request.method == "HEAD" else body)
            case Reset():
                if deed.served:
                    self._ask(request, head)
                # Lingering for no time at all makes closing a reset.
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.is_last = True
            case Truncate() | Corrupt():
                status, answer, body = self._ask(request, head)
                self._say(status, answer, _spoilt(deed, body))
                self.is_last = self.is_last or isinstance(deed, Truncate)
            case Rewrite():
                status, answer, body = self._ask(request, head)
                self._say(status, deed.change(answer), deed.change(body))
            case Stale():
                if kept := self.proxy.recall(request):
                    self._take(head)
                else:
                    self.proxy.keep(request, kept := self._ask(request, head))
                self._say(*kept)
            case Ignore():
                self._pass_on(deed.rewrite(head))
                self._pass_back(request)
            case _:
                if isinstance(deed, Wait) and self.proxy.closing.wait(deed.seconds):
                    raise Cut
                self._pass_on(head)
                self._pass_back(request)

    # --- from the client to the server --------------------------------------------------------------------------------

    def _pieces(self, head: Head) -> Iterator[bytes]:
        if head.says("expect", "100-continue"):
            self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        for raw, payload in read_body(self.client, head):
            self.exchange.sent += len(payload)
            yield raw

    def _take(self, head: Head) -> None:
        for _ in self._pieces(head):
            pass

    def _pass_on(self, head: Head) -> None:
        if not self.upstream:
            self.upstream = socket.create_connection(self.proxy.upstream)
            self.answers = self._track(self.upstream)
        is_heard = self._tell(head.raw)
        for raw in self._pieces(head):
            is_heard = is_heard and self._tell(raw)

    def _tell(self, raw: bytes) -> bool:
        """False when the server has stopped listening, as it may when it refuses: its answer is there to be read."""
        assert self.upstream is not None  # `_pass_on` connects
        try:
            self.upstream.sendall(raw)
        except OSError:
            return False
        return True

    # --- from the server to the client --------------------------------------------------------------------------------

    def _hear(self, request: Request) -> tuple[int, Head, Iterator[tuple[bytes, bytes]]]:
        while head := read_head(self.answers):
            status = int(head.first.split(" ")[1])
            if status == HTTPStatus.CONTINUE:
                continue
            self.is_last = self.is_last or head.says("connection", "close")
            return status, head, iter(()) if request.method == "HEAD" else read_body(self.answers, head)
        raise Cut

    def _pass_back(self, request: Request) -> None:
        # Counted before it is sent: who has an answer finds it in the counts.
        self.exchange.status, head, pieces = self._hear(request)
        self.request.sendall(head.raw)
        for raw, payload in pieces:
            self.exchange.received += len(payload)
            self.request.sendall(raw)

    def _ask(self, request: Request, head: Head) -> tuple[int, bytes, bytes]:
        """The server's whole answer: status, head, body."""
        self._pass_on(head)
        status, answer, pieces = self._hear(request)
        body = b"".join(payload for _, payload in pieces)
        return status, answer.raw if request.method == "HEAD" else with_length(answer, len(body)), body

    def _say(self, status: int, head: bytes, body: bytes) -> None:
        self.exchange.status, self.exchange.received = status, len(body)
        self.request.sendall(head + body)


def _spoilt(deed: Truncate | Corrupt, body: bytes) -> bytes:
    middle = len(body) // 2
    if isinstance(deed, Truncate):
        return body[:middle]
    return body[:middle] + bytes(byte ^ 1 for byte in body[middle : middle + 1]) + body[middle + 1 :]


def _as_written(page: Page) -> tuple[int, bytes, bytes]:
    headers = {**page.headers, "Content-Length": str(len(page.body))}
    lines = [f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return page.status, "\r\n".join([*lines, "", ""]).encode(), page.body


def _in_words(answer: Answer) -> tuple[int, bytes, bytes]:
    error = f"<Error><Code>{answer.code}</Code><Message>{answer.message}</Message><RequestId>0</RequestId></Error>"
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + error.encode()
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\nContent-Type: application/xml\r\n"
    return answer.status, f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body
