"""Training results: the lock, metrics and plots that a training job passes to the job that pushes them.

Code of the pull request wrote these files, so they are untrusted: only paths that the model's `dvc.yaml` names, regular
files of limited size, and the formats that DVC writes are accepted. None of them is run or checked out.
"""

import json
import re
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import NamedTuple

from registry.core import documents, layout, pointers, schema
from registry.core.tree import Tree, under
from registry.core.values import ArtifactId, Kind
from registry.errors import InvalidData, InvalidDocument
from registry.integrations import git, git_commits, git_trees

MAX_FILES = 1_000
MAX_BYTES = documents.MAX_BYTES  # of one file, as in `registry check`
PLAIN = re.compile(r"[A-Za-z0-9_. /-]+")
FIX = "check the log of the training job; its results were not accepted"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The commit that a report is about, and whether the branch has moved since that report was started."""

    commit: str
    stale: bool


def result_paths(tree: Tree, model: ArtifactId) -> tuple[str, ...]:
    """The files and folders in Git that a training of `model` writes: `dvc.lock`, uncached metrics and plots."""
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
    """Copy the training results of `models` to `folder`, which is replaced; returns their paths."""
    tree = git_trees.WorkTree(root)
    paths = [path for model in models for path in _files_at(tree, result_paths(tree, model))]
    shutil.rmtree(folder, ignore_errors=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(tree.read(path))
    return tuple(paths)


def _files_at(tree: Tree, allowed: Collection[str]) -> Iterator[str]:
    """The files of a tree at or below these paths."""
    return (entry.path for entry in tree.list() if any(under(entry.path, place) for place in allowed))


# --- accepting --------------------------------------------------------------------------------------------------------


def accept(root: Path, folder: Path, head: str, branch: str) -> Accepted:
    """Commit training results on top of `head`, and push the commit to `branch` if it still points to `head`.

    A missing folder means no results. Where the branch has moved, nothing is pushed. Raises InvalidData and
    InvalidDocument for anything that a training does not write.
    """
    stale = git.refs(root, "origin").get(f"refs/heads/{branch}") != head
    with git_trees.Revision(root, head) as tree:
        changes = validate(tree, folder)
    commit = head if stale else git_commits.commit_files(root, head, changes, _message(changes))
    if commit != head:
        git_commits.push_branch(root, commit, branch)
    return Accepted(commit, stale)


def validate(tree: Tree, folder: Path) -> Mapping[str, bytes | None]:
    """Path → its bytes (None: the training no longer writes it), for each training result for `tree`."""
    files = _read(folder)
    models = sorted({owner for path in files if (owner := layout.owner_of(path)) and owner.kind is Kind.MODEL})
    known = [model for model in models if tree.has(layout.manifest_path(model))]
    allowed = [place for model in known for place in result_paths(tree, model)]
    unexpected = [path for path in files if not PLAIN.fullmatch(path) or not any(under(path, at) for at in allowed)]
    if unexpected:
        raise InvalidData("unexpected files among the training results", unexpected, fix=FIX)
    for path, data in files.items():
        _require_form(path, data)
    return {**dict.fromkeys(_files_at(tree, allowed)), **files}


def _read(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode))
    names = {path: str(path.relative_to(folder)) for path in found}
    odd = [name for path, name in names.items() if not stat.S_ISREG(path.lstat().st_mode)]
    odd += [name for path, name in names.items() if path.lstat().st_size > MAX_BYTES]
    if odd or len(names) > MAX_FILES:
        expected = f"expected at most {MAX_FILES:,} regular files of at most {MAX_BYTES:,} bytes as training results"
        raise InvalidData(expected, odd or [f"{len(names):,} files"], fix=FIX)
    return {name: path.read_bytes() for path, name in names.items()}


def _require_form(path: str, data: bytes) -> None:
    """Raise InvalidDocument for an invalid lock, one with outputs outside of its model's folder, or invalid JSON."""
    if path.endswith("/dvc.lock"):
        document = documents.read_yaml(data, path)
        schema.require(document, "lock")
        outs = pointers.parse_lock(document).outs
        folder = path.removesuffix("dvc.lock")
        if outside := [out.path for out in outs if not out.path.startswith(folder)]:
            raise InvalidDocument(path, f"output {outside[0]} is outside of {folder}", fix=FIX)
    elif path.endswith("/metrics.json"):
        try:
            documents.read_json(data, path)
        except InvalidDocument as error:
            raise InvalidDocument(path, error.fault, line=error.line, fix=FIX) from error
    elif path.endswith(".json"):  # plots may have infinite thresholds, which JSON does not know
        try:
            json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidDocument(path, "is not valid JSON", fix=FIX) from error


def _message(files: Mapping[str, bytes | None]) -> str:
    models = sorted({str(layout.owner_of(path)) for path in files})
    return f"Train {', '.join(models)}\n\nResults of `dvc repro` in the pull request's training job.\n"


# --- commit status ----------------------------------------------------------------------------------------------------

STATES = {"ready": "success", "needs an owner": "success", "blocked": "failure"}


class CommitStatus(NamedTuple):
    """A commit status at GitHub: its state (`success` or `failure`) and its description, one line."""

    state: str
    description: str


def commit_status(data: bytes, jobs: Mapping[str, str]) -> CommitStatus:
    """The commit status for a report.json and the results of earlier jobs.

    A change that needs an owner succeeds, because branch protection requires the owner's review separately. Raises
    InvalidDocument where `data` is not a report.
    """
    try:
        report = documents.read_json(data, "report.json")
        state, words = STATES[report["verdict"]], f"{report['verdict']}: {report['headline']}"
    except (InvalidDocument, KeyError, TypeError) as error:
        raise InvalidDocument("report.json", "is not a report of `registry report`", fix=FIX) from error
    failed = [f"{job}: {result}" for job, result in jobs.items() if result != "success"]
    if failed and state == "success":
        state, words = "failure", f"{', '.join(failed)} ({words})"
    return CommitStatus(state, " ".join(words.split()))
