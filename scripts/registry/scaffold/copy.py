"""A copy of the template as files: its skeleton, with the settings and the pinned tooling of one registry."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from string import Template as Text

from registry.core import documents, settings
from registry.core.atomic_write import write_atomically
from registry.core.settings import Template
from registry.core.tree import DictTree, Tree
from registry.errors import NotFound, Refused
from registry.integrations import git
from registry.scaffold import generated_files, init, skeleton
from registry.scaffold.init import Answers, Plan

README = "README.md"
NOWHERE = "https://github.com/ORGANIZATION/REPOSITORY"  # in README.md, until the address is known
_EXECUTABLE, _READABLE = 0o755, 0o644


def plan(template: Tree, answers: Answers, pin: Template, url: str = "") -> Plan:
    """The files of a new copy of a tree of the template; `url` is where the copy will be cloned from.

    Raises as `init.plan`.
    """
    table = skeleton.read_table(template)
    files = dict(skeleton.read_files(template, (*table.owned, *table.once)))
    planned = init.plan(DictTree(files), answers)
    files |= planned.files
    files[settings.PATH] = pinned(files[settings.PATH], pin)
    values = {"name": answers.name, "url": url or NOWHERE, "source": pin.source}
    files[README] = Text(files[README].decode()).substitute(values).encode()
    files |= generated_files.expected(DictTree(files))
    return Plan(files, (), (*planned.changes, f"{settings.PATH}: template {pin.source} {pin.version} ({pin.commit})"))


def pinned(data: bytes, pin: Template) -> bytes:
    """`registry.yaml` with the template that the copy is made of."""
    fields = {"source": pin.source, "version": pin.version, "commit": pin.commit}
    return documents.edit_yaml(data, {("template",): fields | ({"wheel": pin.wheel} if pin.wheel else {})})


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or nothing but Git's own folder."""
    return not folder.exists() or {file.name for file in folder.iterdir()} <= {".git"}


def require_free(folder: Path) -> None:
    """Raise Refused for a folder that a copy cannot be made in: it is not empty, or in another repository."""
    if not is_empty(folder):
        raise Refused(f"{folder} is not empty", fix="name a new folder: registry init FOLDER")
    top = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.is_dir())
    with suppress(NotFound):
        if (root := git.find_root(top)) != folder.resolve():
            fix = "cd to a folder outside of it"
            raise Refused(f"{folder} would be inside of the Git repository {root}, expected one of its own", fix=fix)


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a copy into a folder, which becomes a Git repository; a program (`#!`) may be executed."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git.run(folder, "init", "--quiet", "--initial-branch=main")
    for path, data in files.items():
        write_atomically(folder / path, data, mode=_EXECUTABLE if data.startswith(b"#!") else _READABLE)
