"""Install groups of pyproject.toml into .venv: with uv if it is available, otherwise with pip.

Usage: python3 scripts/install.py [GROUP...]

All versions come from requirements.txt. Groups accumulate: one that is installed stays, and is updated with the others.
The plug-ins of DVC for the remotes of .dvc/config (groups gs and azure) are added.

If neither requirements.txt nor pyproject.toml has changed and all groups are there, nothing is done. A .venv that is a
symbolic link belongs to another checkout and is left as it is.

uv is the one in .venv or on PATH; otherwise pip installs it into .venv first. It downloads in parallel and is several
times faster (benchmarks/install.py). uv reads neither pip.conf nor PIP_ variables, so pip's configuration is passed on.
pip installs instead if it is configured with something that uv has no option for, if uv is not available or fails, and
with INSTALLER=pip.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

VENV = Path(".venv")
PYTHON = VENV / "bin/python"
STATE = VENV / "installed.json"
LOCK = "requirements.txt"

# pip's setting → uv's option, repeated for each value.
ARGUMENTS = {
    "build-constraint": "--build-constraints",
    "constraint": "--constraints",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
    "index-url": "--index-url",
    "trusted-host": "--allow-insecure-host",
}
# pip's setting → uv's environment variable. The cache is one, because on a shared runner jobs of different trust have
# separate ones.
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
# Settings that do not change what is installed from where.
WITHOUT_EFFECT = {
    "break-system-packages", "config-file", "disable-pip-version-check", "log", "no-color", "no-input",
    "no-python-version-warning", "no-warn-script-location", "prefer-binary", "progress-bar", "quiet",
    "require-virtualenv", "root-user-action", "use-feature", "verbose",
}  # fmt: skip


class ForUv(NamedTuple):
    """pip's configuration for uv, and the settings that uv has no option for."""

    arguments: list[str]
    variables: dict[str, str]
    unknown: list[str]


# --- what is there ----------------------------------------------------------------------------------------------------


class State(NamedTuple):
    """What was installed last: the digest of requirements.txt and pyproject.toml, and the groups."""

    digest: str = ""
    groups: frozenset[str] = frozenset()


def digest() -> str:
    """Of requirements.txt and pyproject.toml."""
    return hashlib.sha256(b"".join(Path(name).read_bytes() for name in (LOCK, "pyproject.toml"))).hexdigest()


def runs(code: str) -> bool:
    """Whether .venv's Python runs this without an error."""
    return PYTHON.exists() and not subprocess.run([PYTHON, "-c", code], check=False, capture_output=True).returncode


def read_state() -> State | None:
    """None if there is no .venv, or if its Python no longer runs, e.g. after an upgrade of the system's."""
    if not runs(""):
        return None
    if not STATE.is_file():
        return State()
    state = json.loads(STATE.read_text())
    return State(state["digest"], frozenset(state["groups"]))


def plugins() -> frozenset[str]:
    """The groups with which DVC opens the remotes of .dvc/config."""
    config = Path(".dvc/config")
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    schemes = re.findall(r"""^\s*["']?url["']?\s*=\s*["']*(gs|azure)://""", text, re.IGNORECASE | re.MULTILINE)
    return frozenset(scheme.lower() for scheme in schemes)


# --- pip's configuration for uv ---------------------------------------------------------------------------------------


def pip_settings(listed: str) -> dict[str, str]:
    """The output of `pip config list` as setting → value: a variable overrides [install], that overrides [global]."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def for_uv(settings: dict[str, str]) -> ForUv:
    """The options and variables that make uv use the same packages as pip."""
    passed_on = ForUv([], {}, [])
    for name, value in settings.items():
        if name == "no-index" and value.lower() in ("1", "true", "yes", "on"):
            passed_on.arguments.append("--no-index")
        elif name in ARGUMENTS:
            passed_on.arguments.extend(word for one in value.split() for word in (ARGUMENTS[name], one))
        elif name in VARIABLES:
            passed_on.variables[VARIABLES[name]] = str(Path(value).expanduser()) if value.startswith("~") else value
        elif name not in WITHOUT_EFFECT:
            passed_on.unknown.append(name)
    # pip takes the best version of all indexes; uv's default is the first index that has the package.
    if "extra-index-url" in settings:
        passed_on.arguments.extend(["--index-strategy", "unsafe-best-match"])
    return passed_on


# --- installing -------------------------------------------------------------------------------------------------------


def pip(*arguments: str, show: bool = True) -> int:
    """Run `pip install`; returns its exit code."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=not show).returncode


def uv(*arguments: str) -> bool:
    """Run `uv pip install`; False if it did not, after saying why."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    passed_on = for_uv(pip_settings(listed))
    if passed_on.unknown:
        say(f"uv has no option for pip's setting {', '.join(passed_on.unknown)}")
        return False
    program = find_uv()
    if not program:
        say("uv is not available")
        return False
    command = [program, "pip", "install", "--quiet", "--python", str(PYTHON), *passed_on.arguments, *arguments]
    try:
        subprocess.run(command, check=True, env={**os.environ, **passed_on.variables})
    except (subprocess.CalledProcessError, OSError) as why:  # OSError: a binary that this machine cannot run
        say(f"uv failed: {why}" if isinstance(why, OSError) else "uv failed")
        return False
    return True


def find_uv() -> str | None:
    """The one in .venv or on PATH; otherwise it is installed. None if that fails."""
    own = VENV / "bin/uv"
    if not own.is_file() and (found := shutil.which("uv")):
        return found
    if not own.is_file():
        pip("--constraint", LOCK, "uv", show=False)
    return str(own) if own.is_file() else None


def install(groups: frozenset[str]) -> int:
    """Install the registry itself (editable) with these groups; returns an exit code."""
    names = f"[{','.join(sorted(groups))}]" if groups else ""
    arguments = ["--constraint", LOCK, "--editable", f".{names}"]
    if os.environ.get("INSTALLER") != "pip":
        if uv(*arguments):
            return 0
        say("installing with pip, which can take minutes")
    return pip(*arguments)


def make_venv(*, clear: bool) -> int:
    """Make .venv, or add pip to one without it, such as uv makes; returns an exit code."""
    if not clear and runs("import pip"):
        return 0
    command = [sys.executable, "-m", "venv", *(["--clear"] if clear else []), str(VENV)]
    return subprocess.run(command, check=False).returncode


def say(what: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"{what}\n")


def main(wanted: frozenset[str]) -> int:
    """Update .venv to requirements.txt, with these groups in addition to those that it has."""
    if sys.version_info < (3, 11):  # noqa: UP036 - started by any python3
        say("Python 3.11 or newer is needed: make PYTHON=/path/to/python3")
        return 1
    now, state, wanted = digest(), read_state(), wanted | plugins()
    if state and (VENV.is_symlink() or (state.digest == now and wanted <= state.groups)):
        return 0
    groups = wanted | (state.groups if state else frozenset())
    say(f"installing into .venv: {' '.join(['registry', *sorted(groups)])} (a minute or two)")
    if failed := make_venv(clear=not state) or install(groups):
        return failed
    STATE.write_text(json.dumps({"digest": now, "groups": sorted(groups)}))
    return 0


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main(frozenset(sys.argv[1:])))
