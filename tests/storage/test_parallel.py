"""Worker processes end with the process that started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from registry.storage.local import Folder
from support.patience import PATIENCE

SLOW = """
import os, sys, time
from pathlib import Path
from registry.storage import ingest, lake_objects
from registry.storage.local import Folder

def slow(key, data):
    os.write(1, b"reading\\n")  # at once: `print` may be cut by what the other worker prints
    time.sleep(3600)

if __name__ == "__main__":
    ingest.PROCESSES_FROM = 1
    lake, other = map(Folder, map(Path, sys.argv[1:]))
    ingest.ingest(lake_objects.Ingest(lake, other, other, slow), lake.list())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_a_killed_parent(lake: Folder, tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, tmp_path / "slow.py", lake.url, tmp_path / "staging"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        try:
            started = parent.stdout.readline()
            children = psutil.Process(parent.pid).children(recursive=True)
        finally:
            os.kill(parent.pid, how)
        assert started == b"reading\n"
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert len(children) >= 2
        assert alive == []
