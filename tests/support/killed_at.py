"""Runs `registry` and kills it before its Nth step in the world: python killed_at.py N FILE COMMAND...

A step opens a file for writing, makes, renames or removes something, or starts a program. No clock is involved, so a
number names the same moment in every run. FILE gets the number of steps of a run that comes to its end.
"""

import os
import signal
import sys
from pathlib import Path

from registry.cli import main

STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "subprocess.Popen"}


class Killer:
    """Counts the steps of this process, and ends it before the last one."""

    def __init__(self, last: int) -> None:
        self.steps, self.last = 0, last

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        """See `sys.addaudithook`."""
        if event in STEPS or (event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
            self.steps += 1
            if self.steps == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    killer = Killer(int(sys.argv[1]))
    sys.addaudithook(killer)
    code = main.run(sys.argv[3:])
    steps = killer.steps
    Path(sys.argv[2]).write_text(str(steps))
    sys.exit(code)
