"""Publishing that is killed, for real, at every step; and two publishes at once."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from support import model_files, release_auditor, repositories
from support.patience import PATIENCE
from support.repositories import Run, origin, production, staging

DATASET, MODEL = "datasets/pets@v1.0.0", "models/pets@v1.0.0"
WEIGHTS = repositories.md5(model_files.named(b"weights of 1.0.0"))
CAT = repositories.md5(b"one cat")


@pytest.fixture
def start(merged_model: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen]]:
    """Starts `registry publish` in a process group of its own; `git` is first looked for in `tmp_path/bin`."""
    (tmp_path / "bin").mkdir()
    started = []

    def run() -> subprocess.Popen:
        path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
        command = [sys.executable, "-m", "registry", "publish"]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        started.append(subprocess.Popen(command, cwd=merged_model, env={**os.environ, "PATH": path}, **options))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to the process and everything that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def wrap_git(folder: Path, matching: str, act: str) -> Path:
    """A `git` in `folder` that runs the shell line `act` where its arguments match; `$git "$@"` is the real one."""
    shim = folder / "git"
    lines = ("#!/bin/sh", f"git={shutil.which('git')}", f'case "$*" in {matching}) {act};; esac', 'exec $git "$@"\n')
    shim.write_text("\n".join(lines))
    shim.chmod(0o755)
    return shim


def join(fifo: Path, process: subprocess.Popen) -> int:
    """Open the writing end of a pipe at which something that `process` started waits; closing it lets that go on."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):  # ENXIO: there is no reader yet
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise AssertionError(f"no writer opened {fifo}: {process.communicate()}")


@pytest.fixture
def undisturbed(merged_model: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What an undisturbed publish leaves."""
    dataset, model = repositories.git_in(merged_model, "rev-parse", "HEAD~1", "HEAD").splitlines()
    return repositories.snapshot(staging(merged_model) / "files"), {DATASET: dataset, MODEL: model}


def resumes(root: Path, undisturbed: tuple[dict[str, str], dict[str, str]], run_registry: Run) -> bool:
    """Whether promise 1 holds now, and after another run everything is as if nothing had happened."""
    assert release_auditor.broken_promises(origin(root), production(root)) == []
    assert release_auditor.broken_promises(root, production(root)) == []
    done = run_registry(root, "publish")
    assert done.code == 0, done.err
    assert release_auditor.broken_promises(origin(root), production(root)) == []
    return repositories.published(root) == undisturbed and release_auditor.releases(root) == undisturbed[1]


# --- killed -----------------------------------------------------------------------------------------------------------


class SlowStaging(ThreadingHTTPServer):
    """Staging over HTTP, which stops in the middle of the object `held`, the `asked`th time that it is read."""

    daemon_threads = True

    def __init__(self, folder: Path, held: str, asked: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.held, self.asked = folder, held, asked
        self.is_there, self.go_on = threading.Event(), threading.Event()


class _Answer(BaseHTTPRequestHandler):
    server: SlowStaging

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        file = self.server.folder / self.path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        if with_body:
            self.wfile.write(data[:3])
            self.wfile.flush()
            if file.parent.name + file.name == self.server.held:
                self.server.asked -= 1
                if not self.server.asked:
                    self.server.is_there.set()
                    self.server.go_on.wait(PATIENCE)
            self.wfile.write(data[3:])

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def slow_staging(root: Path, held: str, asked: int) -> Iterator[SlowStaging]:
    config = root / ".dvc/config"
    before = config.read_text()
    with SlowStaging(staging(root), held, asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config.write_text(before.replace("../.registry/staging", f"http://127.0.0.1:{server.server_port}"))
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            config.write_text(before)


@pytest.mark.parametrize("which", ["an image", "the list of the images", "the weights"])
def test_killed_in_the_middle_of(
    which: str, merged_model: Path, start: Callable, undisturbed: tuple, run_registry: Run
) -> None:
    pointer = yaml.safe_load((merged_model / "datasets/pets/prepared.dvc").read_text())
    # The list is read once for the plan, and once more to be copied.
    md5, asked = {"an image": (CAT, 1), "the weights": (WEIGHTS, 1)}.get(which, (pointer["outs"][0]["md5"], 2))
    with slow_staging(merged_model, md5, asked) as server:
        process = start()
        assert server.is_there.wait(PATIENCE)
        kill(process)
    assert not repositories.place(production(merged_model), md5).exists()
    assert release_auditor.releases(merged_model) == release_auditor.releases(origin(merged_model)) == {}
    assert resumes(merged_model, undisturbed, run_registry)


@pytest.mark.parametrize(
    ("when", "step"),
    [("before", f"tag*{DATASET}*"), ("after", f"tag*{DATASET}*"), ("after", f"tag*{MODEL}*"), ("after", "push*")],
)
def test_killed(
    when: str, step: str, merged_model: Path, start: Callable, undisturbed: tuple, run_registry: Run, tmp_path: Path
) -> None:
    act = {"before": "kill -9 $PPID", "after": '$git "$@"; kill -9 $PPID'}[when]
    shim = wrap_git(tmp_path / "bin", step, act)
    assert start().wait(PATIENCE) == -signal.SIGKILL
    shim.unlink()
    assert resumes(merged_model, undisturbed, run_registry)


def test_killed_while_the_remote_takes_the_tags(
    merged_model: Path, start: Callable, undisturbed: tuple, run_registry: Run, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    hook = origin(merged_model) / "hooks/pre-receive"
    hook.write_text(f'#!/bin/sh\ncat "{tmp_path}/gate" > /dev/null\n')
    hook.chmod(0o755)
    process = start()
    gate = join(tmp_path / "gate", process)
    kill(process)
    os.close(gate)
    hook.unlink()
    assert sorted(release_auditor.releases(merged_model)) == [DATASET, MODEL]
    assert resumes(merged_model, undisturbed, run_registry)


# --- two at once ------------------------------------------------------------------------------------------------------


@pytest.fixture
def slower(merged_model: Path, start: Callable, tmp_path: Path) -> Callable[[], tuple[int, str]]:
    """A publish that is about to push its tags; the function lets it go on, and returns its exit code and stderr."""
    os.mkfifo(tmp_path / "gate")
    shim = wrap_git(tmp_path / "bin", "push*", f'cat "{tmp_path}/gate" > /dev/null')
    process = start()
    gate = join(tmp_path / "gate", process)

    def go_on() -> tuple[int, str]:
        shim.unlink()
        os.close(gate)
        _, err = process.communicate(timeout=PATIENCE)
        return process.returncode, err

    return go_on


def test_two_concurrent_publishes_of_one_commit_succeed(
    merged_model: Path, slower: Callable, undisturbed: tuple, run_registry: Run, tmp_path: Path
) -> None:
    other = repositories.other_clone(merged_model, tmp_path)
    assert run_registry(other, "publish", "datasets/pets").code == 0
    code, err = slower()
    assert (code, repositories.published(merged_model)) == (0, undisturbed), err
    theirs = repositories.git_in(other, "rev-parse", DATASET)
    assert repositories.git_in(merged_model, "rev-parse", DATASET) == theirs, "the tag object that was first is the tag"


def test_the_slower_of_two_publishes_with_different_data_fails(
    merged_model: Path, slower: Callable, run_registry: Run, tmp_path: Path
) -> None:
    other = repositories.other_clone(merged_model, tmp_path)
    repositories.dataset(other, "pets", repositories.MORE_PETS, "1.0.0")
    repositories.merge(other, "more pets, same version")
    assert run_registry(other, "publish", "datasets/pets").code == 0
    code, err = slower()
    assert code == 1
    assert f"{DATASET} exists at" in err
    assert "set a higher version" in err
    assert list(release_auditor.releases(origin(merged_model))) == [DATASET]
    assert release_auditor.broken_promises(origin(merged_model), production(merged_model)) == []
