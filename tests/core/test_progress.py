"""Progress on a terminal, and without one, as Git's hooks show it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from registry.core import progress


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes any time is told, and each state of it."""
    monkeypatch.setattr(progress, "DELAY", 1e-9)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr(progress, "MIN_INTERVAL", 0)


def count_to(total: int) -> None:
    with progress.bar("linking", total) as advance:
        for _ in range(total):
            advance(1, 0)


@pytest.mark.usefixtures("_impatient")
def test_hooks_tell_progress_by_lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROGRESS", "lines")
    count_to(3)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()
    assert all(line.startswith("registry: linking") for line in err.splitlines())
    assert "\r" not in err
    assert "3/3 [" in err
    assert "MB" not in err


@pytest.mark.usefixtures("_impatient")
def test_without_a_terminal_there_is_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    count_to(3)
    assert capfd.readouterr() == ("", "")


def test_short_work_is_silent(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROGRESS", "lines")
    monkeypatch.setattr(progress, "DELAY", 1e9)
    count_to(3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_impatient")
def test_lines_have_an_interval(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PROGRESS", "lines")
    monkeypatch.setattr(progress, "INTERVAL", 1e9)
    count_to(100)
    assert len(capfd.readouterr().err.splitlines()) == 1


CHILD = """
import sys
from registry.core import progress
progress.DELAY = 0.01
with progress.waiting("waiting for a test"):
    sys.stdin.readline()
print("done")
"""


def test_waiting_is_shown_on_a_terminal_and_cleared() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, text=True) as child:
        os.close(theirs)
        shown = b""
        while b"waiting for a test: 00:0" not in shown:
            shown += os.read(ours, 1024)
        out, _ = child.communicate("\n")
    assert out == "done\n"
    assert os.read(ours, 1024).endswith(b"\r")
    os.close(ours)


def test_waiting_is_silent_elsewhere() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], input="\n", capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
