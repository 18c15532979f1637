"""Installs groups of pyproject.toml into .venv, with uv where it is available.

python3 scripts/install.py [GROUP...]

Every version comes from requirements.txt, whoever installs. Groups add up: a group that is there stays, and moves with
the lock. Nothing is done where nothing has changed, and a .venv that is a link is used as it is: it belongs to another
checkout.

uv is the one in .venv or on PATH, else it comes from the index like any other package. It fetches in parallel what pip
fetches one by one (benchmarks/install.py). It reads no pip.conf and no PIP_ variables, so it is handed what pip is
configured with. Where pip is configured with something that uv has no word for, where uv is not to be had, where it
fails, and with INSTALLER=pip, pip installs.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

VENV = Path(".venv")
PYTHON = VENV / "bin/python"
STATE = VENV / "installed.json"
LOCK = "requirements.txt"

# pip's setting → uv's argument, for each of the words in the setting.
ARGUMENTS = {
    "build-constraint": "--build-constraints",
    "constraint": "--constraints",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "index-url": "--index-url",
    "trusted-host": "--allow-insecure-host",
}
# pip's setting → the variable that uv reads. A cache of its own is a border of trust on a runner, so uv keeps to it.
VARIABLES = {
    "cache-dir": "UV_CACHE_DIR",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "no-cache-dir": "UV_NO_CACHE",
    "proxy": "ALL_PROXY",
    "retries": "UV_HTTP_RETRIES",
    "timeout": "UV_HTTP_TIMEOUT",
}
# Settings that say how pip looks, not what is installed from where.
WITHOUT_EFFECT = {
    "break-system-packages", "config-file", "disable-pip-version-check", "log", "no-color", "no-input",
    "no-python-version-warning", "no-warn-script-location", "prefer-binary", "progress-bar", "quiet",
    "require-virtualenv", "root-user-action", "use-feature", "verbose",
}  # fmt: skip


class ForUv(NamedTuple):
    """pip's configuration in uv's words, and the settings that uv has no word for."""

    arguments: list[str]
    variables: dict[str, str]
    unknown: list[str]


# --- what is there ----------------------------------------------------------------------------------------------------


class State(NamedTuple):
    """What was installed last: the digest of the files that said what, and the groups."""

    digest: str = ""
    groups: frozenset[str] = frozenset()


def digest() -> str:
    """Of the files that say what is installed."""
    return hashlib.sha256(b"".join(Path(name).read_bytes() for name in (LOCK, "pyproject.toml"))).hexdigest()


def read_state() -> State | None:
    """None where there is no .venv, or its Python is gone, as after an upgrade of the system's."""
    if not PYTHON.exists() or subprocess.run([PYTHON, "-c", ""], check=False, capture_output=True).returncode:
        return None
    if not STATE.is_file():
        return State()
    state = json.loads(STATE.read_text())
    return State(state["digest"], frozenset(state["groups"]))


# --- pip's configuration for uv ---------------------------------------------------------------------------------------


def pip_settings(listed: str) -> dict[str, str]:
    """What `pip config list` printed, as setting → value: a variable wins over section install, that over global."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def for_uv(settings: dict[str, str]) -> ForUv:
    """How uv installs from where pip would."""
    told = ForUv([], {}, [])
    for name, value in settings.items():
        if name == "no-index" and value.lower() in ("1", "true", "yes", "on"):
            told.arguments.append("--no-index")
        elif name in ARGUMENTS:
            told.arguments.extend(word for one in value.split() for word in (ARGUMENTS[name], one))
        elif name in VARIABLES:
            told.variables[VARIABLES[name]] = str(Path(value).expanduser()) if value.startswith("~") else value
        elif name not in WITHOUT_EFFECT:
            told.unknown.append(name)
    if "extra-index-url" in settings:  # pip takes the best of all indexes, uv that of the first that has the name
        told.arguments.extend(["--index-strategy", "unsafe-best-match"])
    return told


# --- installing -------------------------------------------------------------------------------------------------------


def pip(*arguments: str, show: bool = True) -> int:
    """Its exit code."""
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=not show).returncode


def uv(*arguments: str) -> bool:
    """Whether uv has installed this; says why not."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    told = for_uv(pip_settings(listed))
    if told.unknown:
        say(f"uv has no word for what pip is configured with: {', '.join(told.unknown)}")
        return False
    program = find_uv()
    if not program:
        say("uv is not to be had here")
        return False
    command = [program, "pip", "install", "--quiet", "--python", PYTHON, *told.arguments, *arguments]
    try:
        subprocess.run(command, check=True, env={**os.environ, **told.variables})
    except (subprocess.CalledProcessError, OSError) as why:  # OSError: a build that this machine cannot run
        say(f"uv could not install this: {why}" if isinstance(why, OSError) else "uv could not install this")
        return False
    return True


def find_uv() -> str | None:
    """The one in .venv, which the lock pins, or on PATH, or fetched; None where it is not available."""
    own = VENV / "bin/uv"
    if not own.is_file() and (found := shutil.which("uv")):
        return found
    if not own.is_file():
        pip("--constraint", LOCK, "uv", show=False)
    return str(own) if own.is_file() else None


def install(groups: frozenset[str]) -> int:
    """The registry itself, editable, with these groups; 0 when all is there."""
    names = f"[{','.join(sorted(groups))}]" if groups else ""
    arguments = ["--constraint", LOCK, "--editable", f".{names}"]
    if os.environ.get("INSTALLER") != "pip":
        if uv(*arguments):
            return 0
        say("installing with pip, which takes minutes")
    return pip(*arguments)


def say(what: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{what}\n")


def main(wanted: frozenset[str]) -> int:
    """Bring .venv to the lock, with these groups besides those that it has."""
    if sys.version_info < (3, 11):  # noqa: UP036 (whoever starts this may have an older one)
        say("Python 3.11 or newer is needed: make PYTHON=/path/to/python3")
        return 1
    now, state = digest(), read_state()
    if state and (VENV.is_symlink() or (state.digest == now and wanted <= state.groups)):
        return 0
    groups = wanted | (state.groups if state else frozenset())
    say(f"installing into .venv: {' '.join(['registry', *sorted(groups)])} (a minute or two)")
    if not state:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    if failed := install(groups):
        return failed
    STATE.write_text(json.dumps({"digest": now, "groups": sorted(groups)}))
    return 0


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main(frozenset(sys.argv[1:])))
