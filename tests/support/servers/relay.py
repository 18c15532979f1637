"""Servers that pass bytes on: a TLS front before a plain server, and a proxy with and without CONNECT."""

import socket
import socketserver
import ssl
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Self
from urllib.parse import urlsplit

from support.servers.http_wire import read_body, read_head


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that refuses the certificate is what some tests want."""


class _Relay(ABC):
    """`with` it, and clients go to `port`."""

    def __init__(self) -> None:
        self.lock, self.seen = Lock(), list[str]()
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, ValueError):
                    relay.serve(self.request)

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    @abstractmethod
    def serve(self, client: socket.socket) -> None:
        """One connection."""

    def __enter__(self) -> Self:
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class TlsFront(_Relay):
    """HTTPS in front of a plain HTTP server, with a certificate and its key in the file `path`."""

    def __init__(self, upstream: str, path: Path) -> None:
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(path)
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "", parts.port or 80)

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"https://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        """Decrypt a connection."""
        with (
            self.context.wrap_socket(client, server_side=True) as secured,
            socket.create_connection(self.upstream) as server,
        ):
            _pump_both(secured, server)


class Proxy(_Relay):
    """A forward proxy; `seen` has the first line of each request, `login` is what Proxy-Authorization must be."""

    def __init__(self, login: str = "") -> None:
        super().__init__()
        self.login = login

    def serve(self, client: socket.socket) -> None:
        """A tunnel, or requests with whole URLs, each on a connection of its own."""
        reader = client.makefile("rb")
        while head := read_head(reader):
            with self.lock:
                self.seen.append(head.first)
            if self.login and head.headers.get("proxy-authorization") != self.login:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                continue
            method, target, _ = head.first.split(" ")
            address = target if method == "CONNECT" else urlsplit(target).netloc
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    _pump_both(client, server)
                    return
                server.sendall(head.raw.replace(f"http://{address}".encode(), b"", 1))
                for raw, _ in read_body(reader, head):
                    server.sendall(raw)
                _pass_back(server, client, is_head=method == "HEAD")


def _pass_back(server: socket.socket, client: socket.socket, *, is_head: bool) -> None:
    with server.makefile("rb") as reader:
        answer = read_head(reader)
        if answer:
            client.sendall(answer.raw)
            for raw, _ in () if is_head else read_body(reader, answer):
                client.sendall(raw)


def _pump_both(one: socket.socket, other: socket.socket) -> None:
    back = Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
