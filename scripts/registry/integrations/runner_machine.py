"""Whether this machine fits the jobs of a self-hosted GPU runner: what is there, beside what they need."""

import json
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from registry.errors import NotFound, ToolFailed
from registry.integrations import hardware
from registry.integrations.process import run

OLDEST = (2, 327, 1)  # the first release of GitHub's runner that runs actions of Node 24
PROGRAMS = ("git", "make", "tar")
DISK = 30 * 10**9  # bytes: .venv with CUDA, and space for data
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that jobs need, what was found, and what to do where that does not fit (else empty)."""

    name: str
    found: str
    fix: str = ""


def requirements(folder: Path) -> Iterator[Requirement]:
    """What jobs need, beside what this machine has; GitHub's runner is unpacked in `folder`."""
    fits = platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"}
    yield Requirement("system", f"{platform.system()} {platform.machine()}", "" if fits else "use Linux x64 or arm64")
    for name in PROGRAMS:
        path = shutil.which(name)
        yield Requirement(name, path or "missing", "" if path else f"install {name}")
    yield _runner(folder)
    yield _one_job(folder)
    yield _driver()
    yield _training()
    free = shutil.disk_usage(folder if folder.is_dir() else Path.home()).free
    few = f"free {DISK // 10**9} GB, or attach a larger disk"
    yield Requirement("disk", f"{free / 10**9:,.0f} GB free", "" if free >= DISK else few)


def _runner(folder: Path) -> Requirement:
    wanted = ".".join(map(str, OLDEST))
    fix = f"unpack release {wanted} or later of github.com/actions/runner in {folder}"
    try:
        said = run([str(folder / "bin/Runner.Listener"), "--version"], quiet=True).decode(errors="replace").strip()
    except (NotFound, ToolFailed):
        return Requirement("GitHub's runner", "missing", fix)
    found = _VERSION.match(said)
    fits = found is not None and tuple(map(int, found.groups())) >= OLDEST
    return Requirement("GitHub's runner", said, "" if fits else fix)


def _one_job(folder: Path) -> Requirement:
    """Whether the runner is registered for one job, where it is registered here."""
    name, path = "one job", folder / ".runner"
    try:
        settings = json.loads(path.read_bytes().decode("utf-8-sig"))  # GitHub's runner writes it with a BOM
    except FileNotFoundError:
        return Requirement(name, "not registered yet")
    except ValueError:
        settings = None
    if isinstance(settings, dict) and settings.get("ephemeral") is True:
        return Requirement(name, "ephemeral")
    return Requirement(name, "every job", "register it with --ephemeral or a JIT configuration (docs/runner.md)")


def _driver() -> Requirement:
    gpu, driver = hardware.gpu_and_driver()
    fix = "" if gpu else "install the NVIDIA driver, so that nvidia-smi names a GPU"
    return Requirement("driver", f"{driver} ({gpu})" if gpu else "missing", fix)


def _training() -> Requirement:
    """Whether the installed torch can use the GPU: its build of CUDA needs a driver that is new enough."""
    script = "import torch; print(torch.version.cuda or 'no CUDA', torch.cuda.is_available())"
    try:
        build, usable = run([sys.executable, "-c", script], quiet=True).decode().strip().rsplit(" ", 1)
    except (ToolFailed, ValueError):
        return Requirement("torch", "missing", "make venv WITH=train")
    fix = (
        "" if usable == "True" else f"update the driver to one for CUDA {build}, or install a build of torch with CUDA"
    )
    return Requirement("torch", f"CUDA build {build}", fix)
