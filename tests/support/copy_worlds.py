"""Worlds (`act_runs`) of copies of the template, whose jobs install the tooling by its pin, each into its .venv."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.core.settings import Template
from registry.integrations.git_trees import Revision, WorkTree
from registry.scaffold import wheels
from registry.scaffold.init import Answers
from support import act_runs, copies, repositories
from support.act_runs import ROLES, World
from support.repositories import git_in
from support.workflow_files import ROOT


def make_template(root: Path) -> Path:
    """This repository as it is on disk, in two commits: v1.0.0, and v1.1.0 with a change in a workflow."""
    for entry in WorkTree(ROOT).list():
        (root / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / entry.path, root / entry.path)
    git_in(root.parent, "init", "--quiet", "--initial-branch=main", str(root))
    for version in ("1.0.0", "1.1.0"):
        project = root / "pyproject.toml"
        project.write_text(project.read_text().replace('version = "1.0.0"', f'version = "{version}"', 1))
        nightly = root / ".github/workflows/nightly.yml"
        nightly.write_text(nightly.read_text().replace("name: Nightly checks", f"name: Nightly checks {version}", 1))
        git_in(root, "tag", f"v{version}", repositories.commit(root, version))
    return root


def pin_wheel(template: Path, folder: Path) -> Template:
    """v1.0.0, pinned by its wheel, which is built in a folder."""
    git_in(folder, "clone", "--quiet", "--branch", "v1.0.0", str(template), "clone")
    file = copies.build_wheel(folder / "dist", folder / "clone")
    pin = Template(template.as_uri(), "1.0.0", git_in(template, "rev-parse", "v1.0.0"))
    return wheels.pin(pin, file.as_uri())


def build_next(template: Path, wheel: Template, folder: Path) -> Path:
    """The wheel of v1.1.0, beside the one that is pinned."""
    git_in(folder, "clone", "--quiet", "--branch", "v1.1.0", str(template), "next")
    place = Path(wheel.wheel.removeprefix("file://").partition("#")[0]).parent
    return copies.build_wheel(place, folder / "next")


def make_thin(top: Path, template: Path, pin: Template, fill: Callable[[Path], None]) -> None:
    """A thin copy of v1.0.0 whose objects are in folders, pushed; `fill` puts the artifacts into it."""
    places = (str(top / "storage" / name) for name in ("staging", "production", "lake"))
    answers = Answers("acme-data", ("@acme/data",), *places)
    root = copies.make(top / "registry", Revision(template, "v1.0.0"), pin, answers)
    (root / ".venv").unlink()
    fill(root)
    push(top)


def push(top: Path) -> None:
    """Give `registry` in a folder what a world has, and an origin to which its first commit is pushed."""
    root = top / "registry"
    for name in ("home", "roles"):
        (top / name).mkdir()
    for role in ROLES:
        (top / "roles" / role).touch()  # of folders
    repositories.add_origin(root)
    repositories.registry(root, "check", "--fix", "--all")
    repositories.commit(root, "our registry")
    if any((root / "datasets").glob("*/")):
        pushed = repositories.registry(root, "push")
        assert pushed.returncode == 0, pushed.stderr
    git_in(root, "push", "--quiet", "--set-upstream", "origin", "main")


@contextmanager
def world(top: Path) -> Iterator[World]:
    """The world in that folder, with a GitHub that listens."""
    with act_runs.world(top, server=None) as found:
        found.own_tooling = True
        yield found
