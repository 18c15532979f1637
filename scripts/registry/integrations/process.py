"""Running other programs: a command is printed on stderr as it is run, and its error carries its own stderr."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry.console import plain, say
from registry.errors import NotFound, ToolFailed

STDERR = 2
TOO_LONG = 124  # the exit code of timeout(1)


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    quiet: bool = False,
    capture: bool = True,
    timeout: float | None = None,
    inherit: bool = True,
) -> bytes:
    """Run `command` and return its standard output; `env` is added to this process's environment.

    Without `inherit`, `env` is the whole environment.
    A query is `quiet`: it is not printed. Without `capture`, all output goes to stderr.
    Raises ToolFailed when it exits non-zero or runs for more than `timeout` seconds (it is killed then), NotFound when
    it is not installed.
    """
    if not quiet:
        say(f"$ {plain(shlex.join(command))}", err=True)
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**(os.environ if inherit else {}), **(env or {})},
            stdin=subprocess.DEVNULL if stdin is None else None,
            input=stdin,
            stdout=subprocess.PIPE if capture else STDERR,
            stderr=subprocess.PIPE if capture else None,
            check=False,
            timeout=timeout,
        )
    except FileNotFoundError as error:
        raise NotFound(f"{command[0]} is not installed", fix=f"install {command[0]} and put it on PATH") from error
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(command, TOO_LONG, f"killed after {timeout:,} seconds") from error
    if done.returncode:
        stdout, stderr = ((stream or b"").decode(errors="replace") for stream in (done.stdout, done.stderr))
        raise ToolFailed(command, done.returncode, stderr, stdout=stdout)
    return done.stdout or b""


def tool_path() -> str:
    """PATH with this interpreter's folder first, so that its `python`, `dvc` and `registry` are found."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
