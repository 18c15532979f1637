"""A headless Chromium for tests, spoken to by its DevTools protocol over a pipe: no port, no driver, no package.

It is found on PATH (or named by CHROMIUM); where none starts and apt-get is there, Debian's own is unpacked, without
root, into `.venv/chromium`, and again when that one does not start. Run as a program, it does only that.
"""

import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chromium-headless-shell")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
OWN = Path(sys.prefix) / "chromium"
NEXT = "install Chromium, or name one: CHROMIUM=/path/to/chrome"
PACKAGES = ("chromium-headless-shell", "chromium-common")
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--no-sandbox",  # which root and many containers cannot have; the pages are our own
)  # fmt: skip
# The protocol's pipes have to be the descriptors 3 and 4 of the browser.
PLACE = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


# --- finding one ------------------------------------------------------------------------------------------------------


@cache
def find() -> list[str]:
    """The command that starts a browser; fetched when there is none. Fails with the next step when that cannot be."""
    if named := os.environ.get("CHROMIUM"):
        assert not (why := fault([named])), f"CHROMIUM={named} does not start: {why}"
        return [named]
    on_machine = [*filter(None, map(shutil.which, NAMES)), MAC]
    if found := next((name for name in on_machine if not fault([name])), None):
        return [found]
    with one_at_a_time():
        if fault(own(OWN)):
            fetch()
    return own(OWN)


def fault(command: list[str]) -> str:
    """Why a browser does not start; "" when it does. A name on PATH can be a stub, as Ubuntu's chromium-browser is."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        asked = [*command, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", "about:blank"]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        except OSError as error:
            return str(error)
    return "" if "<html>" in done.stdout else f"exit code {done.returncode}: {done.stderr.strip()[-1000:]}"


def own(folder: Path) -> list[str]:
    """The command for the one in `.venv/chromium`: it finds the libraries that came with it, some in sub-folders."""
    libraries = sorted({str(file.parent) for file in (folder / "usr/lib").rglob("lib*.so*")})
    program = str(folder / "usr/lib/chromium/chromium-headless-shell")
    return ["env", f"LD_LIBRARY_PATH={os.pathsep.join(libraries)}", program]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of the processes that need a browser, one fetches it; the others wait."""
    with OWN.with_name(".chromium-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch() -> None:
    """Unpack Debian's headless Chromium, and the libraries that are not installed, into `.venv/chromium`."""
    assert shutil.which("apt-get"), f"there is no Chromium and no apt-get: {NEXT}"
    with tempfile.TemporaryDirectory(prefix=".chromium-", dir=OWN.parent) as folder:
        packages, unpacked = Path(folder, "packages"), Path(folder, "unpacked")
        packages.mkdir()
        if download(packages).returncode:  # a new machine may have no lists of packages yet
            subprocess.run(["apt-get", "update", "--quiet"], capture_output=True)
            done = download(packages)
            assert done.returncode == 0, f"apt-get cannot download Chromium: {NEXT}\n{done.stderr}"
        for package in packages.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, unpacked], check=True)
        assert not (why := fault(own(unpacked))), f"Debian's Chromium does not start here: {NEXT}\n{why}"
        if OWN.exists():  # it did not start
            OWN.rename(Path(folder, "broken"))
        unpacked.rename(OWN)


def download(folder: Path) -> subprocess.CompletedProcess[str]:
    """Into a folder in place of apt's cache, so that it does not matter what lies there.

    `--reinstall`, because the files of an installed chromium-common are needed beside the program, too.
    """
    options = ["-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::archives={folder}"]
    asked = ["apt-get", "install", "--download-only", "--reinstall", "--yes", "--no-install-recommends", *options]
    return subprocess.run([*asked, *PACKAGES], capture_output=True, text=True)


# --- speaking to it ---------------------------------------------------------------------------------------------------


@dataclass
class Page:
    """One page in a session of its own; `errors` are exceptions, and what it or the browser logged as an error."""

    browser: "Browser"
    session: str
    errors: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def evaluate(self, script: str) -> Any:
        """The value of an expression of JavaScript, which may be a promise."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


class Browser:
    """A browser that was started; `open` gives a page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._ids = itertools.count(1)
        self._rest = b""
        self._pages: dict[str, Page] = {}
        self._loaded: set[str] = set()

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            self._heard(answer)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, address: str, width: int, theme: str) -> Page:
        """A page that has loaded, as wide as this, for people who prefer `light` or `dark`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        page.call("Page.navigate", url=address)
        while session not in self._loaded:
            self._heard(self._next())
        return page

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            got = os.read(self._receive, 1 << 20)
            assert got, "the browser ended"
            self._rest += got
        message, _, self._rest = self._rest.partition(b"\0")
        event: dict[str, Any] = json.loads(message)
        return event

    def _heard(self, event: dict[str, Any]) -> None:
        session, params = event.get("sessionId", ""), event.get("params", {})
        if event.get("method") == "Page.loadEventFired":
            self._loaded.add(session)
        elif (page := self._pages.get(session)) and (error := _error(event.get("method"), params)):
            page.errors.append(error)


def _error(method: str | None, params: dict[str, Any]) -> str:
    """What an event says of an error; empty for any other event."""
    match method:
        case "Runtime.exceptionThrown":
            return str(params["exceptionDetails"]["text"])
        case "Runtime.consoleAPICalled" if params["type"] == "error":
            return str(params["args"])
        case "Log.entryAdded" if params["entry"]["level"] == "error":
            return str(params["entry"]["text"])
    return ""


@contextmanager
def started() -> Iterator[Browser]:
    """A browser with a profile of its own; it has ended when this is left."""
    theirs, send = os.pipe()
    receive, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [*find(), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        placed = [sys.executable, "-c", PLACE, str(theirs), str(answers), *command]
        process = subprocess.Popen(placed, pass_fds=(theirs, answers), stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(answers)
        try:
            yield Browser(send, receive)
        finally:
            os.close(send)  # which ends it
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(receive)


if __name__ == "__main__":
    find()
