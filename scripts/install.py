"""Install the tooling and groups of requirements.txt into .venv: with uv if it is available, otherwise with pip.

Usage: python3 scripts/install.py [GROUP...]

All versions come from requirements.txt, and both installers refuse a file whose hash is not there. Groups accumulate:
one that is installed stays, and is updated with the others. The plug-ins of DVC for the remotes of .dvc/config (groups
gs and azure) are added. No build downloads anything: the group build is installed first, and builds run with it.

The tooling is this checkout, if it has the code (editable); otherwise it is what `template:` in registry.yaml names:
the commit of a Git repository, whose id is its checksum, or a wheel with its SHA-256.

One package has an exception: torch. PyPI has no CPU build for Linux, so where pip is configured with another source of
torch (a wheel `torch-VERSION+…` in a folder of find-links, or PyTorch's own index), torch comes from there without a
comparison of its hash, and CUDA is not installed. Otherwise requirements-torch.txt has the hashes of all.

If neither the requirements nor the tooling's pin have changed and all groups are there, nothing is done. A .venv that
is a symbolic link belongs to another checkout and is left as it is.

uv is the one in .venv or on PATH; otherwise pip installs it into .venv first. It downloads in parallel and is several
times faster (benchmarks/installing.py). uv reads neither pip.conf nor PIP_ variables: pip's configuration is passed on.
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
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

VENV = Path(".venv")
PYTHON = VENV / "bin/python"
STATE = VENV / "installed.json"
LOCK, TORCH = "requirements.txt", "requirements-torch.txt"
PROJECT, SETTINGS = Path("pyproject.toml"), Path("registry.yaml")
ALWAYS = frozenset({"base", "build", "registry"})
# A package of the lock: its version and hashes, and below them the groups that need it.
_BLOCK = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)[^\n]*(?:\n +--hash[^\n]*)*(?:\n +# ([a-z0-9 ]+))?", re.MULTILINE)

# What pip installs the tooling from: the commit of a repository, or a wheel with its SHA-256.
PIN = re.compile(r"git\+(https|ssh|file)://[^\s#]+@[0-9a-f]{40,64}|(https|file)://[^\s#]+\.whl#sha256=[0-9a-f]{64}")

# pip's setting → uv's option, repeated for each value.
ARGUMENTS = {
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
# Settings that do not change what is installed from where. Constraints do not, because every version is pinned; and uv
# accepts no range beside hashes.
WITHOUT_EFFECT = {
    "break-system-packages", "build-constraint", "config-file", "constraint", "disable-pip-version-check", "log",
    "no-color", "no-input",
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
    """What was installed last: the digest of the requirements and pyproject.toml, the groups, and the tooling's pin."""

    digest: str = ""
    groups: frozenset[str] = frozenset()
    tooling: str = ""


def digest() -> str:
    """Of the requirements and, in a checkout with the code, of pyproject.toml."""
    names = (LOCK, TORCH, *([str(PROJECT)] if is_editable() else []))
    return hashlib.sha256(b"".join(Path(name).read_bytes() for name in names)).hexdigest()


def is_editable() -> bool:
    """Whether this checkout has the code of the tooling."""
    return Path("scripts/registry").is_dir()


def pinned() -> str:
    """The tooling that registry.yaml names, as an address for pip; empty where the checkout has the code.

    Read by PyYAML, which is in .venv. Raises SystemExit for a file that names none.
    """
    if is_editable():
        return ""
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin.read())['template']))"
    text = SETTINGS.read_text(encoding="utf-8") if SETTINGS.is_file() else ""
    done = subprocess.run([PYTHON, "-c", code], input=text, check=False, capture_output=True, text=True)
    pin = json.loads(done.stdout) if done.returncode == 0 else {}
    place = str(pin.get("wheel") or f"git+{pin.get('source')}@{pin.get('commit')}")
    if not PIN.fullmatch(place):
        raise SystemExit(f"{SETTINGS}: no valid template:, expected source (a URL), version and commit (a full id)")
    return place  # without `NAME @`, which pip before 24 does not take in front of file:///


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
    return State(state["digest"], frozenset(state["groups"]), state.get("tooling", ""))


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


# --- what is installed ------------------------------------------------------------------------------------------------


class Package(NamedTuple):
    """A package of the lock: its version, its lines with hashes, and the groups that need it."""

    name: str
    version: str
    lines: str
    groups: frozenset[str]


def packages(lock: str | Path) -> Iterator[Package]:
    """The packages of requirements.txt or requirements-torch.txt."""
    for found in _BLOCK.finditer(Path(lock).read_text(encoding="utf-8")):
        yield Package(found[1], found[2], found[0], frozenset((found[3] or "").split()))


def other_torch(settings: dict[str, str], version: str) -> bool:
    """Whether pip is configured with another build of torch than PyPI's."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    folders = [Path(one.removeprefix("file://")) for one in settings.get("find-links", "").split()]
    indexes = f"{settings.get('index-url', '')} {settings.get('extra-index-url', '')}"
    has_wheel = any(any(folder.glob(f"torch-{version}+*-{tag}-*.whl")) for folder in folders if folder.is_dir())
    return has_wheel or "://download.pytorch.org/" in indexes


class Part(NamedTuple):
    """One call of the installer: lines of requirements, and its options."""

    lines: tuple[str, ...]
    options: tuple[str, ...]


HASHED = ("--require-hashes", "--no-build-isolation")
NO_BUILD = ("--require-hashes", "--only-binary", ":all:")


def parts(groups: frozenset[str], settings: dict[str, str]) -> Iterator[Part]:
    """What builds, then all else, then another build of torch. The tooling follows: see `tooling`."""
    locked = [package for package in packages(LOCK) if package.groups & (groups | ALWAYS)]
    yield Part(tuple(one.lines for one in locked if "build" in one.groups), NO_BUILD)
    torch = list(packages(TORCH)) if "train" in groups else []
    version = next((package.version for package in torch if package.name == "torch"), "")
    other = bool(version) and other_torch(settings, version)
    yield Part(tuple(one.lines for one in [*locked, *([] if other else torch)]), HASHED)
    if other:
        yield Part((f"torch=={version}",), ("--no-deps",))


def tooling() -> Part:
    """The tooling: of this checkout, or the one that is pinned, in place of any other."""
    options = ("--no-deps", "--no-build-isolation")
    if pin := pinned():
        # uv (0.13) takes no `#sha256=` behind a local file; both take the hash as an option, and compare it.
        return Part((pin.replace("#sha256=", " --hash=sha256:"),), (*options, "--force-reinstall"))
    return Part((), (*options, "--editable", "."))


# --- installing -------------------------------------------------------------------------------------------------------


def configured() -> dict[str, str]:
    """The settings of pip."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    return pip_settings(listed)


def pip(part: Part, *, show: bool = True) -> int:
    """Run `pip install`; returns its exit code."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _run([*command, *part.options], part.lines, show=show)


def _run(command: list[str], lines: Iterable[str], *, show: bool = True, env: dict[str, str] | None = None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, LOCK)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if file.stat().st_size:
            command = [*command, "--requirement", str(file)]
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=not show, env={**os.environ, **(env or {})}
        )
        return done.returncode


def uv(wanted: Iterable[Part], settings: dict[str, str]) -> bool:
    """Run `uv pip install` for each part; False if one was not installed, after saying why."""
    passed_on = for_uv(settings)
    if passed_on.unknown:
        say(f"uv has no option for pip's setting {', '.join(passed_on.unknown)}")
        return False
    program = find_uv()
    if not program:
        say("uv is not available")
        return False
    command = [program, "pip", "install", "--quiet", "--python", str(PYTHON), *passed_on.arguments]
    try:
        for part in wanted:
            if _run([*command, *part.options], part.lines, env=passed_on.variables):
                say("uv failed")
                return False
    except OSError as why:  # a binary that this machine cannot run
        say(f"uv failed: {why}")
        return False
    return True


def find_uv() -> str | None:
    """The one in .venv or on PATH; otherwise it is installed. None if that fails."""
    own = VENV / "bin/uv"
    if not own.is_file() and (found := shutil.which("uv")):
        return found
    if not own.is_file():
        lines = tuple(package.lines for package in packages(LOCK) if package.name == "uv")
        pip(Part(lines, ("--require-hashes", "--no-deps")), show=False)
    return str(own) if own.is_file() else None


def install(groups: frozenset[str]) -> int:
    """Install these groups and then the tooling, which they build; returns an exit code."""
    settings = configured()
    return _install(tuple(parts(groups, settings)), settings) or _install((tooling(),), settings)


def _install(wanted: tuple[Part, ...], settings: dict[str, str]) -> int:
    if os.environ.get("INSTALLER") != "pip":
        if uv(wanted, settings):
            return 0
        say("installing with pip, which can take minutes")
    return next((failed for part in wanted if (failed := pip(part))), 0)


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
    """Update .venv to the requirements, with these groups in addition to those that it has."""
    if sys.version_info < (3, 11):  # noqa: UP036 - started by any python3
        say("Python 3.11 or newer is needed: make PYTHON=/path/to/python3")
        return 1
    now, state, wanted = digest(), read_state(), wanted | plugins()
    if state and (VENV.is_symlink() or (state.digest == now and wanted <= state.groups and state.tooling == pinned())):
        return 0
    groups = wanted | (state.groups if state else frozenset())
    say(f"installing into .venv: {' '.join(['registry', *sorted(groups)])} (a minute or two)")
    if failed := make_venv(clear=not state) or install(groups):
        return failed
    STATE.write_text(json.dumps({"digest": now, "groups": sorted(groups), "tooling": pinned()}))
    return 0


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main(frozenset(sys.argv[1:])))
