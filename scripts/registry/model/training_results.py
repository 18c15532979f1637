"""What a job that trains hands to the job that may push: a training's lock, metrics and plots, trusted by nobody.

Code of the pull request made these files, so the one who takes them demands paths that the model's `dvc.yaml` names,
plain files of a sensible size, and the forms that DVC writes. Nothing of them is run or checked out.
"""

import json
import re
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from registry.core import documents, layout, pointers, schema
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, Kind
from registry.errors import InvalidData, InvalidDocument
from registry.integrations import git, git_commits, git_trees

MAX_FILES = 1_000
MAX_BYTES = documents.MAX_BYTES  # of one file: what `registry check` lets into Git
PLAIN = re.compile(r"[A-Za-z0-9_. /-]+")
FIX = "look at the job that trained; what it wrote is not taken"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The commit that a report speaks of, and whether the branch has moved on from what it was made for."""

    commit: str
    stale: bool


def places(tree: Tree, model: ArtifactId) -> tuple[str, ...]:
    """The files and folders that a training of `model` writes into Git: `dvc.lock`, and metrics and plots uncached."""
    path = f"{model}/dvc.yaml"
    document = documents.read_yaml(tree.read(path), path)
    schema.require(document, "pipeline")
    found = (
        normpath(f"{model}/{name}")
        for stage in document.data["stages"].values()
        for kind in ("metrics", "plots")
        for one in stage.get(kind, ())
        if isinstance(one, dict)
        for name, options in one.items()
        if options.get("cache") is False
    )
    return (layout.lock_path(model), *(place for place in found if place.startswith(f"{model}/")))


def pack(root: Path, models: Iterable[ArtifactId], folder: Path) -> tuple[str, ...]:
    """Copy what a training of `models` wrote into Git's files to `folder`; the paths. What was there is removed."""
    tree = git_trees.WorkTree(root)
    paths = [path for model in models for path in _held(tree, places(tree, model))]
    shutil.rmtree(folder, ignore_errors=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(tree.read(path))
    return tuple(paths)


def _held(tree: Tree, allowed: Collection[str]) -> Iterator[str]:
    """The files of a tree at these places."""
    return (entry.path for entry in tree.list() if any(under(entry.path, place) for place in allowed))


# --- taking it --------------------------------------------------------------------------------------------------------


def accept(root: Path, folder: Path, head: str, branch: str) -> Accepted:
    """Put what was handed over on top of the commit `head`, and push it to `branch`, if that is still there.

    A folder that is not there holds nothing. Where the branch moved on, nothing is pushed. Raises InvalidData for
    anything that a training does not write.
    """
    stale = git.refs(root, "origin").get(f"refs/heads/{branch}") != head
    with git_trees.Revision(root, head) as tree:
        changes = judge(tree, folder)
    commit = head if stale else git_commits.commit_files(root, head, changes, _message(changes))
    if commit != head:
        git_commits.push_branch(root, commit, branch)
    return Accepted(commit, stale)


def judge(tree: Tree, folder: Path) -> Mapping[str, bytes | None]:
    """Path → its bytes (None: the training no longer writes it), for each file that was handed over for `tree`."""
    files = _read(folder)
    models = sorted({owner for path in files if (owner := layout.owner_of(path)) and owner.kind is Kind.MODEL})
    known = [model for model in models if tree.has(layout.manifest_path(model))]
    allowed = [place for model in known for place in places(tree, model)]
    strange = [path for path in files if not PLAIN.fullmatch(path) or not any(under(path, at) for at in allowed)]
    if strange:
        raise InvalidData("files were handed over that no training writes", strange, fix=FIX)
    for path, data in files.items():
        _require_form(path, data)
    return {**dict.fromkeys(_held(tree, allowed)), **files}


def _read(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode))
    names = {path: str(path.relative_to(folder)) for path in found}
    odd = [name for path, name in names.items() if not stat.S_ISREG(path.lstat().st_mode)]
    odd += [name for path, name in names.items() if path.lstat().st_size > MAX_BYTES]
    if odd or len(names) > MAX_FILES:
        what = f"what was handed over are not at most {MAX_FILES:,} plain files of at most {MAX_BYTES:,} bytes"
        raise InvalidData(what, odd or [f"{len(names):,} files"], fix=FIX)
    return {name: path.read_bytes() for path, name in names.items()}


def _require_form(path: str, data: bytes) -> None:
    """Raise InvalidDocument unless a lock is one and names outputs of its own model, and JSON is JSON."""
    if path.endswith("/dvc.lock"):
        document = documents.read_yaml(data, path)
        schema.require(document, "lock")
        outs, _ = pointers.parse_lock(document)
        folder = path.removesuffix("dvc.lock")
        if outside := [out.path for out in outs if not out.path.startswith(folder)]:
            raise InvalidDocument(path, f"the output {outside[0]} lies outside {folder}", fix=FIX)
    elif path.endswith(".json"):
        try:
            json.loads(data)
        except ValueError as error:
            raise InvalidDocument(path, "is no JSON", fix=FIX) from error


def _message(files: Mapping[str, bytes | None]) -> str:
    models = sorted({str(layout.owner_of(path)) for path in files})
    return f"Train {', '.join(models)}\n\nWhat `dvc repro` wrote in the pull request's job.\n"


# --- the verdict ------------------------------------------------------------------------------------------------------

STATES = {"ready": "success", "needs an owner": "success", "blocked": "failure"}


def read_status(data: bytes, jobs: Mapping[str, str]) -> tuple[str, str]:
    """A report.json and the results of the jobs before as a commit status: its state, and one line of words.

    A change that needs an owner's eye passes: the owner's review is what branch protection asks for besides. Raises
    InvalidDocument where it is no report.
    """
    try:
        told = json.loads(data)
        state, words = STATES[told["verdict"]], f"{told['verdict']}: {told['sentence']}"
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidDocument("report.json", "is no report of `registry report`", fix=FIX) from error
    failed = [f"{job}: {result}" for job, result in jobs.items() if result != "success"]
    if failed and state == "success":
        state, words = "failure", f"{', '.join(failed)} ({words})"
    return state, " ".join(words.split())
