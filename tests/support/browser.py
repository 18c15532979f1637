"""A headless Chromium for tests, spoken to by its DevTools protocol over a pipe: no port, no driver, no package.

It is found on PATH (or named by CHROMIUM); where there is none and apt-get is, Debian's own is unpacked once, without
root, into `.venv/chromium`. Run as a program, it does only that.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chromium-headless-shell")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
OWN = Path(__file__).parents[2] / ".venv/chromium"
PACKAGES = ("chromium-headless-shell", "chromium-common")
FLAGS = (
    "--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
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


def find() -> list[str]:
    """The command that starts a browser; fetched when there is none. Fails with the next step when that cannot be."""
    named = [os.environ.get("CHROMIUM", ""), *(shutil.which(name) or "" for name in NAMES), MAC]
    if found := next((name for name in named if name and Path(name).is_file()), None):
        return [found]
    if not OWN.is_dir():
        assert shutil.which("apt-get"), "there is no Chromium: install one, or name it: CHROMIUM=/path/to/chrome"
        fetch()
    libraries = f"{OWN}/usr/lib/{os.uname().machine}-linux-gnu"
    return ["env", f"LD_LIBRARY_PATH={libraries}", str(OWN / "usr/lib/chromium/chromium-headless-shell")]


def fetch() -> None:
    """Unpack Debian's headless Chromium, and the libraries that are not installed, into `.venv/chromium`."""
    asked = ["apt-get", "install", "--print-uris", "--yes", "--no-install-recommends", "-o", "Debug::NoLocking=1"]
    listed = subprocess.run([*asked, PACKAGES[0]], capture_output=True, text=True)
    if listed.returncode:  # a new machine may have no lists of packages yet
        subprocess.run(["apt-get", "update", "--quiet"], capture_output=True)
        listed = subprocess.run([*asked, PACKAGES[0]], capture_output=True, text=True)
    assert listed.returncode == 0, f"apt-get update, or install chromium yourself:\n{listed.stderr}"
    needed = {*PACKAGES, *re.findall(r"^'[^']+' ([a-z0-9.+-]+)_", listed.stdout, re.MULTILINE)}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "--quiet", *sorted(needed)], cwd=folder, check=True, capture_output=True)
        unpacked = Path(tempfile.mkdtemp(prefix=".chromium-", dir=OWN.parent))
        for package in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, unpacked], check=True)
    try:
        unpacked.rename(OWN)
    except OSError:  # another worker was faster
        shutil.rmtree(unpacked)


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
        return answer["result"]

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
        return json.loads(message)

    def _heard(self, event: dict[str, Any]) -> None:
        page, params = self._pages.get(event.get("sessionId", "")), event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded.add(event["sessionId"])
            case "Runtime.exceptionThrown":
                page.errors.append(params["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                page.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                page.errors.append(params["entry"]["text"])


@contextmanager
def started() -> Iterator[Browser]:
    """A browser with a profile of its own; it has ended when this is left."""
    theirs, send = os.pipe()
    receive, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [*find(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
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
