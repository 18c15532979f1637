"""A copy of the template as files: its skeleton, with the settings and the pinned tooling of one registry."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from string import Template as Text

from registry.core import documents, settings
from registry.core.atomic_write import write_atomically
from registry.core.settings import Template
from registry.core.tree import DictTree, Tree
from registry.core.values import Kind
from registry.core.wording import plural
from registry.errors import NotFound, Refused
from registry.integrations import git
from registry.scaffold import generated_files, init, skeleton
from registry.scaffold.init import Answers, Plan

README = "README.md"
NOWHERE = "https://github.com/ORGANIZATION/REPOSITORY"  # in README.md, until the address is known
_EXECUTABLE, _READABLE = 0o755, 0o644


def plan(
    template: Tree, answers: Answers, pin: Template, url: str = "", *, local: bytes = b"", vendored: bool = False
) -> Plan:
    """The files of a new copy of a tree of the template; `url` is where the copy will be cloned from.

    A `vendored` copy has the code of the tooling. `local` is as for `init.plan`. Raises as `init.plan`.
    """
    table = skeleton.read_table(template)
    files = dict(skeleton.read_files(template, (*table.owned, *table.once)))
    if vendored:
        files |= {entry.path: template.read(entry.path) for entry in template.list() if table.is_code(entry.path)}
    planned = init.plan(DictTree(files), answers, local=local)
    files |= planned.files
    files[settings.PATH] = pinned(files[settings.PATH], pin)
    values = {"name": answers.name, "url": url or NOWHERE, "source": pin.source}
    files[README] = Text(files[README].decode()).substitute(values).encode()
    files |= generated_files.expected(DictTree(files))
    return Plan(files, (), (*planned.changes, f"{settings.PATH}: template {pin.source} {pin.version} ({pin.commit})"))


def thin(tree: Tree, made: Plan, brought: Iterable[str], *, keep_example: bool) -> Plan:
    """How a copy that has the tooling's code becomes one as `made` (see `plan`); artifacts of the team stay.

    `brought` are the paths that came with the template: of these, what the table calls the tooling's is removed.
    """
    brought = tuple(brought)
    table = skeleton.read_table(tree)
    examples = () if keep_example else tuple(path for path in brought if path.startswith(tuple(_below(init.EXAMPLE))))
    code = (path for path in brought if table.is_tooling(path) and path not in made.files)
    removed = tuple(sorted(path for path in {*examples, *code} if tree.has(path)))
    kept = (entry.path for kind in Kind for entry in tree.list(kind.folder) if entry.path not in removed)
    files = {**made.files, **{path: tree.read(path) for path in kept}}
    generated = generated_files.expected(DictTree(files))
    files = {path: data for path, data in {**made.files, **generated}.items() if _differs(tree, path, data)}
    told = f"{plural(len(removed), 'file')} of the template removed, such as the tests of the tooling"
    return Plan(files, removed, (*made.changes, told))


def _below(folders: Iterable[str]) -> Iterator[str]:
    return (f"{folder}/" for folder in folders)


def _differs(tree: Tree, path: str, data: bytes) -> bool:
    return not tree.has(path) or tree.read(path) != data


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


def make(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a new copy into a folder, which becomes a Git repository."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git.run(folder, "init", "--quiet", "--initial-branch=main")
    write(Plan(files, (), ()), folder)


def write(plan: Plan, folder: Path) -> None:
    """Write and remove files, and the folders that become empty; a program (`#!`) may be executed."""
    for path, data in plan.files.items():
        write_atomically(folder / path, data, mode=_EXECUTABLE if data.startswith(b"#!") else _READABLE)
    for path in plan.removed:
        (folder / path).unlink(missing_ok=True)
        for above in (folder / path).parents:
            if above == folder or not above.is_dir() or any(file.name != "__pycache__" for file in above.iterdir()):
                break
            shutil.rmtree(above)
