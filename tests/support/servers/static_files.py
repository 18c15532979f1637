"""A web server over a folder, as a bucket's web face is: a folder is not listed, and nothing can be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread


@dataclass
class StaticFiles:
    """A server: its address, and the paths that it was asked for.

    The answer to a path that ends with `held` stays incomplete: `reached` is set, and it ends when `released` is.
    """

    url: str = ""
    paths: list[str] = field(default_factory=list)
    held: str = ""
    reached: Event = field(default_factory=Event)
    released: Event = field(default_factory=Event)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, files: StaticFiles, *args: object, **options: object) -> None:
        self.files = files
        super().__init__(*args, **options)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.files.paths.append(self.path)
        if self.files.held and self.path.endswith(self.files.held):
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.files.reached.set()
            self.files.released.wait()
            return
        super().do_GET()

    def list_directory(self, _: object) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[StaticFiles]:
    """A server over a folder, on loopback."""
    files = StaticFiles()
    handler = partial(_Handler, files, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        files.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield files
        finally:
            files.released.set()
            server.shutdown()
            thread.join()
