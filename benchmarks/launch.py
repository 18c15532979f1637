"""What a command used: a small process starts it, since no child's highest memory is less than that of its parent.

python benchmarks/launch.py OUTPUT COMMAND …, which has the command write into the file OUTPUT, and prints a `Used`
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Used(NamedTuple):
    """Seconds, processor seconds with those of children, and megabytes of memory of a process at the highest."""

    wall: float
    cpu: float
    memory: float


def launch(
    command: Sequence[str], cwd: Path, env: Mapping[str, str], output: Path, accept: Sequence[int] = (0,)
) -> Used:
    """Run a command without input, and write what it prints into a file; ends the program where it fails."""
    program = [sys.executable, "-S", "-E", __file__, str(output), *command]
    done = subprocess.run(program, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    status, *used = json.loads(done.stdout)
    if status not in accept:
        raise SystemExit(f"{' '.join(command)}\n{output.read_text(errors='replace')[-3000:]}")
    return Used(*used)


def main() -> None:
    output, *command = sys.argv[1:]
    begun = time.perf_counter()
    into = [(os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), (os.POSIX_SPAWN_DUP2, 1, 2)]
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=into)
    _, status, used = os.wait4(process, 0)
    wall, unit = time.perf_counter() - begun, 1e6 if sys.platform == "darwin" else 1e6 / 1024
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps([code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / unit]))


if __name__ == "__main__":
    main()
