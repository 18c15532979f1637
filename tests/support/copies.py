"""Copies of the template as teams have them: thin, with the tooling of this environment in place of the pinned one."""

import shutil
import subprocess
import sys
from pathlib import Path

from registry.core.settings import Template
from registry.core.tree import Tree
from registry.scaffold import copy, skeleton, tooling
from registry.scaffold.init import Answers

ROOT = Path(__file__).parents[2]
ANSWERS = Answers("acme-data", ("@acme/data",), ".registry/staging", ".registry/production", ".registry/lake")


def make(
    folder: Path, template: Tree | None = None, pin: Template | None = None, answers: Answers = ANSWERS, url: str = ""
) -> Path:
    """A copy in a folder, with nothing committed and no data."""
    plan = copy.plan(template or skeleton.of_tooling(), answers, pin or tooling.pin(), url)
    copy.make(plan.files, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """What Git would commit, with the permission to execute as a letter before the bytes."""
    listed = subprocess.check_output(
        ["git", "-C", folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], text=True
    )
    found = [folder / name for name in listed.split("\0") if name and (folder / name).is_file()]
    return {
        file.relative_to(folder).as_posix(): (b"x" if file.stat().st_mode & 0o100 else b"-") + file.read_bytes()
        for file in found
    }


def build_wheel(folder: Path, template: Path = ROOT) -> Path:
    """The wheel of a checkout of the template, in a folder."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(template)]
    subprocess.run([*pip, "wheel", *options], check=True, stdin=subprocess.DEVNULL)
    return max(folder.glob("*.whl"))


def wheel(folder: Path) -> Path:
    """The tooling's wheel, unpacked: a folder for PYTHONPATH."""
    file = build_wheel(folder / "dist")
    shutil.unpack_archive(file, folder / "unpacked", "zip")
    return folder / "unpacked"
