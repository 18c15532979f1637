"""A Dask cluster over TCP: a scheduler and workers as processes of their own, which can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from distributed import Client

from support.patience import PATIENCE

QUIET = ("--no-dashboard",)
# Workers that end with their scheduler, and start without a nanny: each is one process.
WORKER = ("--no-nanny", "--no-dashboard", "--nthreads", "2", "--death-timeout", str(PATIENCE))


class DaskCluster:
    """One scheduler, and workers with an environment of their own."""

    def __init__(self, folder: Path, env: Mapping[str, str], *, protocol: str = "tcp") -> None:
        self.folder, self.env, self.protocol = folder, env, protocol
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, workers: int = 2) -> None:
        """The scheduler, at the address that it had before, and as many workers as are missing."""
        if not self.scheduler or self.scheduler.poll() is not None:
            self.kill_workers()  # they end with their scheduler, sooner or later
            known = self.folder / "scheduler.json"
            known.unlink(missing_ok=True)
            port = self.address.rpartition(":")[2] or "0"
            place = ("--host", f"{self.protocol}://127.0.0.1", "--port", port, "--scheduler-file", str(known))
            # A task that two workers died of is given up: four would be as good, and take longer to start.
            self.scheduler = self._spawn(
                "dask_scheduler", *place, *QUIET, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1"
            )
            deadline = time.monotonic() + PATIENCE
            while not (known.is_file() and known.read_bytes().endswith(b"}")) and time.monotonic() < deadline:
                assert self.scheduler.poll() is None, self.log()
                time.sleep(0.02)
            self.address = json.loads(known.read_text())["address"]
        self.workers = [one for one in self.workers if one.poll() is None]
        while len(self.workers) < workers:
            self.add_worker()

    def add_worker(self, **env: str) -> "subprocess.Popen[bytes]":
        self.workers.append(self._spawn("dask_worker", self.address, *WORKER, **env))
        return self.workers[-1]

    def wait(self) -> None:
        """Until the scheduler has all workers."""
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=PATIENCE)

    def kill_workers(self) -> None:
        for process in self.workers:
            _kill(process)
        self.workers.clear()

    def kill(self) -> None:
        """Everything."""
        self.kill_workers()
        if self.scheduler:
            _kill(self.scheduler)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _spawn(self, program: str, *args: str, **env: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *args], cwd=self.folder, stdin=subprocess.DEVNULL,
                env={**os.environ, **self.env, **env}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
